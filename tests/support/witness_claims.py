"""Refutations, held against whole batches through the compiled loss: a witness is completed to a batch and evaluated there.

What the witness says of parameters, lengths, sums of log-probs and columns is put into a random batch; what it does not say stays as it
was drawn. A function returns what is against the refutation (that no batch was found which shows it), nothing where it was shown,
None where whole batches say nothing of it.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

import torch
import value_claims
from batch_claims import SEEN, Case, Claim, agreeing, longer, total_likelihood
from mpmath import mp, mpf
from reader import TooLarge
from reading import read
from told_batches import shown_by_its_batch
from torch import Tensor
from value_claims import DIGITS, VALUE_REFUTED
from whole_batches import Shape, inputs, with_logps

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs

Witness = Mapping[str, str]
TRIES = 60
FEW = 6
SEARCH = "no batch was found that shows it, "
LOGPS = {"log π": "token_logps", "log ref": "ref_token_logps", "log old": "old_token_logps"}
TOKENS = 8


def known(witness: Witness, suffix: str = "") -> dict[str, float]:
    """The numbers of a witness, of one of its points."""
    found = {}
    for key, text in witness.items():
        if not key.endswith(suffix) or (not suffix and re.search(r" \((up|down|first|second)\)$", key)):
            continue
        try:
            found[key.removesuffix(suffix)] = float(Fraction(text))
        except (ValueError, OverflowError):
            continue
    return found


def completed(loss: LossFunction, rng: random.Random, numbers: Mapping[str, float], examples: int = 1) -> Case:
    """A batch that has what the witness says of its first example, and parameters of which it says the same."""
    case = Case.drawn(loss, rng, examples=examples, tokens=TOKENS, scale=rng.choice([None, 0.3]))  # beside large numbers small ones are not seen
    case.numbers |= {name: x for name, x in numbers.items() if name in case.numbers}
    completions = {slot: _told(c, slot, numbers) for slot, c in case.batch.completions.items()}
    columns = {name: _first(x, numbers.get(name, numbers.get(f"example.{name}"))) for name, x in case.batch.columns.items()}
    case.batch = replace(case.batch, completions=completions, columns=columns)
    case.carried = {name: torch.tensor(numbers.get(name, float(x)), dtype=torch.float64) for name, x in loss.statistics().items()}
    return case


def _first(x: Tensor, value: float | None) -> Tensor:
    if value is None:
        return x
    changed = x.clone()
    changed[0] = value
    return changed


def _told(c: Completions, slot: str, numbers: Mapping[str, float]) -> Completions:
    """The first example's completion with the length, sums and columns that are said of it."""
    if c.mask.ndim > 2:
        return c
    mask = c.mask.clone()
    length = numbers.get(f"{slot}.length")
    if length is not None and length == int(length) and 1 <= length <= mask.shape[-1]:
        mask[0] = torch.arange(mask.shape[-1]) < int(length)
    count, changed = int(mask[0].sum()), {}
    for word, field in LOGPS.items():
        mean = numbers.get(f"{slot}.mean {word}")
        total = numbers.get(f"{slot}.{word}")
        if mean is None and total is not None:
            mean = total / count
        if mean is not None and getattr(c, field) is not None:
            changed[field] = _first(getattr(c, field), mean)
    columns = {name: _first(x, numbers.get(f"{slot}.{name}")) for name, x in c.columns.items()}
    return replace(c, mask=mask, columns=columns, **changed)


def domain(loss: LossFunction, rng: random.Random, witness: Witness, claim: Claim) -> str | None:
    """Some batch has a loss that is no number."""
    for _ in range(TRIES):
        case = completed(loss, rng, known(witness), rng.choice([1, 1, 2, 3]))
        if not math.isfinite(case.value()) or value_claims.without_value(loss, case.batch, case.numbers):
            return ""
        same = with_logps(case.batch, {slot: agreeing(c) for slot, c in case.batch.completions.items()})
        if not math.isfinite(case.value(same)):
            return ""
    with mp.workdps(DIGITS):
        return "" if value_claims.domain(loss, rng, claim) else f"{SEARCH}of {dict(witness)}"


def direction(loss: LossFunction, rng: random.Random, witness: Witness, claim: Claim) -> str | None:
    """Some token pulls up, and some token pulls down."""
    role = claim.check.split(".")[1]
    slot = loss.feedback.roles.get(role, role)
    if loss.feedback.is_list:
        return None
    seen = set()
    for _ in range(TRIES):
        for suffix in (" (up)", " (down)"):
            case = completed(loss, rng, known(witness, suffix), rng.choice([1, 1, 2, 3]))
            if role in loss.feedback.labels and case.batch.desirable is not None:
                case.batch.desirable[0] = role == loss.feedback.labels[0]
            value, slopes = case.gradients()
            if slot not in slopes:
                return None
            found = slopes[slot][case.batch.completions[slot].mask]
            noise = SEEN * 1e-3 * (1 + (abs(value) if math.isfinite(value) else 0))  # past the largest float some part may have a slope
            seen |= {1 for s in found if s > noise} | {-1 for s in found if s < -noise}
        if len(seen) == 2:
            return ""
    return f"{SEARCH}of {dict(witness)}"


def at_reference(loss: LossFunction, rng: random.Random, witness: Witness, claim: Claim) -> str | None:
    """Two batches in which the policy is the reference have other losses, at the same parameters."""
    values, numbers = [], None
    for _ in range(TRIES):
        for suffix in (" (first)", " (second)"):
            case = completed(loss, rng, known(witness, suffix), rng.choice([1, 2]))
            if "." in claim.check and case.batch.desirable is not None:
                case.batch.desirable[:] = claim.check.split(".")[1] == loss.feedback.labels[0]
            numbers = numbers or case.numbers
            case.numbers = numbers
            value = case.value(with_logps(case.batch, {slot: agreeing(c) for slot, c in case.batch.completions.items()}))
            values += [value] * math.isfinite(value)
        if values and max(values) - min(values) > SEEN * (1 + abs(values[0])):
            return ""
    return f"{SEARCH}of {dict(witness)}"


def symmetry(loss: LossFunction, rng: random.Random, witness: Witness, claim: Claim) -> str | None:
    """The likelihoods of a pair and of the pair swapped add up to something else than 1."""
    if not loss.feedback.is_pair:
        return None
    for _ in range(TRIES):
        if total_likelihood(completed(loss, rng, known(witness), rng.choice([1, 2]))) is not None:
            return ""
    return f"{SEARCH}of {dict(witness)}"


def length_neutral(loss: LossFunction, rng: random.Random, witness: Witness, claim: Claim) -> str | None:
    """With other lengths, at the same means, the loss is another. A change that float64 does not see is looked for in many digits."""
    for attempt in range(TRIES):
        case = completed(loss, rng, known(witness), rng.choice([1, 2, 3]))
        for slot in case.batch.completions:
            both = longer(case, rng, slot)
            before, after = (case.value(batch) for batch in both)
            if not abs(before - after) <= SEEN * (1 + abs(before)) or (attempt < FEW and _differ(case, both)):
                return ""
    return f"{SEARCH}of {dict(witness)}"


def _differ(case: Case, both: tuple[LossInputs, LossInputs]) -> bool:
    with mp.workdps(DIGITS):
        try:
            before, after = (read(case.loss, batch, case.numbers).total() for batch in both)
        except (TooLarge, ZeroDivisionError):
            return False
        return bool(abs(before - after) > mpf(10) ** (10 - DIGITS) * (1 + abs(before)))


REFUTED: dict[str, Callable[[LossFunction, random.Random, Witness, Claim], str | None]] = {
    "domain": domain,
    "direction": direction,
    "at_reference": at_reference,
    "symmetry": symmetry,
    "length_neutral": length_neutral,
}


def shown_by(loss: LossFunction, rng: random.Random, claim: Claim, witness: Witness) -> str | None:
    """What is against a refutation, in words; nothing where a batch shows it; None where it was not asked."""
    name = claim.check.split(".")[0]
    if claim.verdict != "refuted":
        return None
    if name in VALUE_REFUTED:
        with mp.workdps(DIGITS):
            return VALUE_REFUTED[name](loss, rng, claim, known(witness))
    if claim.scope in loss.compiled.graph.statistics:  # a batch has a loss there, and no next value of the statistic
        return None
    told = shown_by_its_batch(loss, claim, witness)
    if told is not None:
        return told
    rule = REFUTED.get(name)
    if rule is None:
        return None
    if loss.compiled.graph.statistics:
        loss.update_statistics(inputs(loss, rng, Shape(3)))
    return rule(loss, rng, witness, claim)
