"""What each verdict says of whole batches: a function for each check that looks for a batch against it.

A function returns what it found against the claim, in words; nothing where it found nothing; None where whole batches say
nothing of the claim. Only the compiled loss is asked: its value, and its
gradient by autograd. Float64 keeps 16 digits; what is called a violation is a million roundings large.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
import value_claims
from mpmath import mp, mpf
from reader import Loss as Reader
from torch import Tensor
from value_claims import DIGITS, VALUE_CLAIMS
from whole_batches import Shape, inputs, parameters, with_logps

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.objective.functions import FUNCTIONS

SEEN = 1e-9
"""Relative to the largest number on the way; rounding is 1e-16 of it for each of some hundred steps."""
TRIES = 8
SIZES = (1, 2, 2, 3, 5)


@dataclass(frozen=True)
class Claim:
    """A verdict as anybody may read it in `halo check --json`."""

    check: str
    verdict: str
    value: str | None
    scope: str


@dataclass
class Case:
    """One drawing: a batch and parameters. The statistics are as they start, or have seen a batch, or are `carried`."""

    loss: LossFunction
    rng: random.Random
    batch: LossInputs
    numbers: dict[str, float]
    carried: dict[str, Tensor] | None = None

    @classmethod
    def drawn(cls, loss: LossFunction, rng: random.Random, examples: int | None = None, tokens: int = 5, **more: Any) -> Case:
        return cls(loss, rng, inputs(loss, rng, Shape(examples or rng.choice(SIZES), tokens), **more), parameters(loss, rng))

    def value(self, batch: LossInputs | None = None) -> float:
        return float(self.loss(self.batch if batch is None else batch, self.numbers, self.carried).loss)

    def gradients(self) -> tuple[float, dict[str, Tensor]]:
        """The loss, and its gradient by every token's log-prob that it has one in."""
        leaves = {slot: c.token_logps.clone().requires_grad_() for slot, c in self.batch.completions.items()}
        loss = self.loss(with_logps(self.batch, {slot: {"token_logps": leaf} for slot, leaf in leaves.items()}), self.numbers, self.carried).loss
        if not loss.requires_grad:
            return float(loss), {slot: torch.zeros_like(leaf) for slot, leaf in leaves.items()}
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return float(loss.detach()), {
            slot: torch.zeros_like(leaf) if g is None else g for (slot, leaf), g in zip(leaves.items(), found, strict=True)
        }


def domain(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved: every batch has a loss that is a number."""
    for _ in range(TRIES):
        case = Case.drawn(loss, rng, scale=rng.choice([0.001, 0.3, 1.0]))  # of moderate numbers no exponential is past float64
        value = case.value()
        if not math.isfinite(value) and not value_claims.only_too_large(loss, case.batch, case.numbers):
            return f"a loss of {value} with {case.numbers}, {case.batch.completions}"
    return value_claims.domain(loss, rng, claim)


def direction(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved up: no token's log-prob of that role has a positive slope. Down: none has a negative one. None: none has any."""
    role = claim.check.split(".")[1]
    if loss.feedback.is_list and role in ("best", "worst"):
        return _direction_in_lists(loss, rng, claim, role)
    slot, label = loss.feedback.roles.get(role, role), role if role in loss.feedback.labels else None
    for _ in range(TRIES):
        case = Case.drawn(loss, rng)
        value, slopes = case.gradients()
        if slot not in slopes:
            return None
        slope = torch.where(case.batch.completions[slot].mask, slopes[slot], 0.0)
        if label is not None:
            assert case.batch.desirable is not None
            slope = slope[case.batch.desirable == (label == loss.feedback.labels[0])]
        if wrong := _wrong_way(claim.value, value, slope):
            return f"{wrong} in a batch of {len(slope)} with {case.numbers}"
    return ""


def _direction_in_lists(loss: LossFunction, rng: random.Random, claim: Claim, role: str) -> str:
    """The best and the worst of lists of two, which are what the finding speaks of."""
    for _ in range(TRIES):
        case = of_two(loss, rng)
        value, slopes = case.gradients()
        (slot,) = loss.feedback.completions
        assert case.batch.ranks is not None
        slope = slopes[slot][case.batch.ranks == (1 if role == "best" else 2)]
        if wrong := _wrong_way(claim.value, value, slope):
            return f"{wrong} in lists of two with {case.numbers}"
    return ""


def of_two(loss: LossFunction, rng: random.Random) -> Case:
    """Lists of two, the first of which is better."""
    while True:
        case = Case.drawn(loss, rng)
        (slot,) = loss.feedback.completions
        if case.batch.completions[slot].mask.shape[1] == 2:
            case.batch.ranks = torch.tensor([[1, 2]] * _size(case.batch))
            score = case.batch.completions[slot].columns.get("score")
            if score is not None and loss.feedback.has_scores:
                score[:, 0] = score[:, 1] + torch.tensor([rng.choice([0.1, 1.0, 3.0]) for _ in score], dtype=score.dtype)
            return case


def _wrong_way(way: str | None, value: float, slope: Tensor) -> str:
    """What is against `way` among the slopes of one role's tokens, in words."""
    if not slope.numel() or not torch.isfinite(slope).all():
        return ""
    noise = SEEN * (1 + abs(value)) * (1 + float(slope.abs().max())) * 1e-3
    rises, falls = float(slope.max()) > noise, float(slope.min()) < -noise
    if (way in ("up", "none") and rises) or (way in ("down", "none") and falls):
        return f"slopes from {float(slope.min()):.3g} to {float(slope.max()):.3g}"
    return ""


def at_reference(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved: wherever policy and reference agree, a batch of any size has the loss that is said."""
    for _ in range(TRIES):
        case = of_two(loss, rng) if loss.feedback.is_list else Case.drawn(loss, rng, scale=rng.choice([0.3, 1.0, 4.0]))
        if "." in claim.check and case.batch.desirable is not None:
            wanted = claim.check.split(".")[1] == loss.feedback.labels[0]
            case.batch.desirable = torch.full_like(case.batch.desirable, wanted)
        same = with_logps(case.batch, {slot: agreeing(c) for slot, c in case.batch.completions.items()})
        formula = str(claim.value).replace("re(", "(")
        if set(re.findall(r"[A-Za-z_]\w*", formula)) - case.numbers.keys() - FUNCTIONS.keys():
            return None  # a formula of the batch
        said = Reader({"columns": {}}, {name: mpf(x) for name, x in case.numbers.items()}, []).at(formula, 0, "")
        found = case.value(same)
        if abs(found - float(said)) > SEEN * (1 + abs(found)):
            return f"{found} and not {float(said)} in a batch of {_size(case.batch)} with {case.numbers}"
    return ""


def length_neutral(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved: at fixed mean log-probs the loss of a batch does not depend on any length."""
    for _ in range(TRIES):
        case = Case.drawn(loss, rng)
        if claim.scope in loss.feedback.labels and case.batch.desirable is not None:
            case.batch.desirable = torch.full_like(case.batch.desirable, claim.scope == loss.feedback.labels[0])
        slot = rng.choice(list(case.batch.completions))
        before, after = (case.value(batch) for batch in longer(case, rng, slot))
        if math.isfinite(before) and abs(before - after) > SEEN * (1 + abs(before)):
            return f"{before} and {after} for other lengths of {slot} in a batch of {_size(case.batch)} with {case.numbers}"
    return ""


def longer(case: Case, rng: random.Random, slot: str) -> tuple[LossInputs, LossInputs]:
    """The batch, and that in which completions of a slot have their tokens several times over: all means per token are the same."""
    c = case.batch.completions[slot]
    width = c.mask.shape[-1]
    times = torch.tensor([rng.choice([1, 2, 3]) for _ in range(c.mask[..., 0].numel())]).reshape(*c.mask.shape[:-1], 1)
    lengths = c.mask.sum(-1, keepdim=True)
    places = torch.arange(3 * width) % lengths.clamp(min=1)
    changed: dict[str, Any] = {"mask": torch.arange(3 * width) < lengths * times}
    for word in ("token_logps", "ref_token_logps", "old_token_logps"):
        tokens = getattr(c, word)
        changed[word] = None if tokens is None else tokens.gather(-1, places)
    changed["columns"] = {name: x.gather(-1, places) if x.ndim == c.mask.ndim else x for name, x in c.columns.items()}
    return case.batch, with_logps(case.batch, {slot: changed})


def symmetry(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved: the likelihoods of a pair and of the pair swapped add up to 1, for each pair of a batch."""
    if not loss.feedback.is_pair:
        return None
    for _ in range(TRIES):
        case = Case.drawn(loss, rng, examples=rng.choice([1, 1, 2]))
        if (total := total_likelihood(case)) is not None:
            return f"they add up to {total} in a batch of {_size(case.batch)} with {case.numbers}"
    return ""


def total_likelihood(case: Case) -> float | None:
    """The likelihoods of all ways to swap the pairs of a batch, added up; None where they make 1.

    That of a batch is the product of its pairs', so its loss counts as often as there are pairs, or once where the loss is their sum.
    """
    first, second = case.loss.feedback.completions[:2]
    there, size = dict(case.batch.completions), _size(case.batch)
    losses = []
    for which in product([False, True], repeat=size):
        swap = torch.tensor(which)
        exchanged = {first: _chosen_from(there[second], there[first], swap), second: _chosen_from(there[first], there[second], swap)}
        losses.append(case.value(replace(case.batch, completions={**there, **exchanged})))
    totals = [math.fsum(math.exp(-min(700.0, max(-700.0, count * loss))) for loss in losses) for count in (size, 1)]
    if any(math.isnan(loss) for loss in losses) or any(abs(total - 1) <= SEEN for total in totals):
        return None
    return totals[0]


def _chosen_from(yes: Completions, no: Completions, swap: Tensor) -> Completions:
    """Row by row the one or the other."""
    where = swap[:, None]

    def picked(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        if a is None or b is None:
            return None
        return torch.where(where if a.ndim > 1 else swap, a, b)

    fields = {name: picked(getattr(yes, name), getattr(no, name)) for name in ("token_logps", "mask", "ref_token_logps", "old_token_logps")}
    return Completions(**fields, columns={name: picked(x, no.columns[name]) for name, x in yes.columns.items()})  # type: ignore[arg-type]


def no_overflow(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """Proved: in float32, at default and search values, sums of log-probs down to -2,000 give a finite loss and finite slopes."""
    declared = loss.compiled.objective.declaration.parameters
    for _ in range(TRIES):
        total = rng.choice([1.0, 60.0, 300.0, 1000.0, 1900.0])
        case = Case(loss, rng, inputs(loss, rng, Shape(rng.choice(SIZES)), torch.float32, total / 10), {})  # 5 tokens of at most twice that
        case.numbers = {name: float(rng.choice([p.default, *(p.search or [])])) for name, p in declared.items()}
        value, slopes = case.gradients()
        if math.isfinite(value) and all(torch.isfinite(s).all() for s in slopes.values()):
            continue
        value, slopes = replace(case, batch=_doubled(case.batch)).gradients()
        if math.isfinite(value) and all(torch.isfinite(s).all() for s in slopes.values()):  # where float64 has none either, it is not float32's fault
            return f"no float32 beside a loss of {value} with {case.numbers}, sums near {total}"
    return ""


def _doubled(batch: LossInputs) -> LossInputs:
    """The same numbers as float64."""
    completions = {}
    for slot, c in batch.completions.items():
        words = {name: None if x is None else x.double() for name, x in vars(c).items() if name.endswith("token_logps")}
        completions[slot] = replace(c, **words, columns={name: x.double() for name, x in c.columns.items()})
    return replace(batch, completions=completions, columns={name: x.double() for name, x in batch.columns.items()})


def agreeing(c: Completions) -> dict[str, Any]:
    """Reference and sampler are the policy: its log-probs, its entropy, and no divergence."""
    columns = dict(c.columns)
    columns |= {name: torch.zeros_like(x) for name, x in columns.items() if name in ("kl_ref_policy", "kl_policy_ref")}
    if "entropy" in columns and "ref_entropy" in columns:
        columns["ref_entropy"] = columns["entropy"]
    return {"ref_token_logps": c.token_logps, "old_token_logps": c.token_logps, "columns": columns}


def _size(batch: LossInputs) -> int:
    return len(next(iter(batch.completions.values())).mask)


PROVED: dict[str, Callable[[LossFunction, random.Random, Claim], str | None]] = {
    "domain": domain,
    "direction": direction,
    "at_reference": at_reference,
    "length_neutral": length_neutral,
    "symmetry": symmetry,
    "no_overflow": no_overflow,
    **VALUE_CLAIMS,
}
"""By the first word of the check's name."""


def against(loss: LossFunction, rng: random.Random, claim: Claim) -> str | None:
    """What was found against a claim, in words; nothing where nothing was; None where it was not attacked."""
    attack = PROVED.get(claim.check.split(".")[0])
    if attack is None or claim.verdict != "proved" or claim.scope == "core":
        return None
    if loss.compiled.graph.statistics:  # what was carried from other batches
        loss.update_statistics(inputs(loss, rng, Shape(3)))
    with mp.workdps(DIGITS):
        return attack(loss, rng, claim)
