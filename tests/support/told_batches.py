"""Refutations whose witness tells a whole batch (`example 2 chosen.logp[1]`): the very batch, through the compiled loss and autograd."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from batch_claims import SEEN, Case, Claim, agreeing, total_likelihood
from torch import Tensor
from value_claims import without_value
from whole_batches import Shape, with_logps

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs

LENGTH = re.compile(r"(?:example (\d+) )?(\w+)\.length")
TOKEN = re.compile(r"(?:example (\d+) )?(\w+?)(?: (\d+))?\.(\w+)\[(\d+)\]")
LOGPS = {"token_logps": "logp", "ref_token_logps": "ref_logp", "old_token_logps": "old_logp"}
POINTS = re.compile(r" \((up|down|first|second)\)$")
Told = dict[str, str]


def is_told(witness: Mapping[str, str]) -> bool:
    """Whether the witness tells a batch: the length of every completion, and token by token or one number for all of them."""
    return any(re.fullmatch(r"(example \d+ )?\w+( \d+)?\.logp\[(\d+|each|odd|even)\]", POINTS.sub("", name)) for name in witness)


def part(witness: Mapping[str, str], suffix: str = "") -> Told:
    """What it says of one of its points."""
    own = {name: x for name, x in witness.items() if name.endswith(suffix)}
    return {name.removesuffix(suffix): x for name, x in own.items() if suffix or not POINTS.search(name)}


def batch_of(loss: LossFunction, told: Told) -> Case:
    """The batch and the parameters."""
    lengths = {name: [int(n) for n in x.split(", ")] for name, x in told.items() if LENGTH.fullmatch(name)}
    size = max(int(LENGTH.fullmatch(name)[1] or 1) for name in lengths)  # type: ignore[index]
    shape = Shape(size, max(max(ns) for ns in lengths.values()), max(len(ns) for ns in lengths.values()))
    rng = random.Random(0)
    case = Case.drawn(loss, rng, examples=size, tokens=shape.tokens)
    while loss.feedback.is_list and case.batch.completions[loss.feedback.completions[0]].mask.shape[1] != max(shape.listed, 2):
        case = Case.drawn(loss, rng, examples=size, tokens=shape.tokens)
    whose = [f"example {e + 1} " * (size > 1) for e in range(size)]
    completions = {slot: _completion(c, slot, told, whose) for slot, c in case.batch.completions.items()}
    marks: dict[str, Any] = {}
    if loss.feedback.labels:
        marks["desirable"] = torch.tensor([told[f"{w}label"] == loss.feedback.labels[0] for w in whose])
    if loss.feedback.is_list:
        wide = max(shape.listed, 2)
        ranks = [[int(r) for r in told[f"{w}ranks"].split(", ")] for w in whose]
        marks["ranks"] = torch.tensor([row + [max(row)] * (wide - len(row)) for row in ranks])
        completions = {slot: _scored(c, slot, told, whose, ranks) for slot, c in completions.items()}
    columns = {
        name: torch.tensor([_number(told, f"{w.strip()}.{name}".strip("."), 1.0) for w in whose], dtype=torch.float64)
        for name in case.batch.columns
    }
    size_of_head = int(_number(told, "vocab_size", float(case.batch.vocab_size or 0)))
    case.batch = replace(case.batch, completions=completions, columns=columns, vocab_size=size_of_head, **marks)
    case.numbers = {name: _number(told, name, x) for name, x in case.numbers.items()}
    case.carried = {name: torch.tensor(_number(told, name, float(x)), dtype=torch.float64) for name, x in loss.statistics().items()}
    return case


def _number(told: Told, name: str, otherwise: float) -> float:
    return float(Fraction(told[name])) if name in told else otherwise


def _completion(c: Completions, slot: str, told: Told, whose: list[str]) -> Completions:
    mask, numbers = torch.zeros_like(c.mask), {field: getattr(c, field).clone() for field in LOGPS if getattr(c, field) is not None}
    columns = {name: x.clone() for name, x in c.columns.items()}
    for e, w in enumerate(whose):
        for k, n in enumerate(int(x) for x in told[f"{w}{slot}.length"].split(", ")):
            place: tuple[int, ...] = (e, k) if c.mask.ndim > 2 else (e,)
            name = f"{w}{slot}" + f" {k + 1}" * (c.mask.ndim > 2)
            mask[place] = torch.arange(c.mask.shape[-1]) < n
            for field, word in LOGPS.items():
                for t in range(n if field in numbers else 0):
                    numbers[field][(*place, t)] = _of_token(told, f"{name}.{word}", t)
            for word, x in columns.items():
                if x.ndim == mask.ndim:
                    for t in range(n):
                        x[(*place, t)] = _of_token(told, f"{name}.{word}", t, float(x[(*place, t)]))
                else:
                    x[place] = _number(told, f"{name}.{word}", float(x[place]))
    return replace(c, mask=mask, columns=columns, **numbers)


def _of_token(told: Told, name: str, t: int, otherwise: float = -1.0) -> float:
    alike = _number(told, f"{name}[each]", _number(told, f"{name}[{('odd', 'even')[t % 2]}]", otherwise))
    return _number(told, f"{name}[{t + 1}]", alike)


def _scored(c: Completions, slot: str, told: Told, whose: list[str], ranks: list[list[int]]) -> Completions:
    """Scores fall with the ranks, each next one by its gap."""
    if "score" not in c.columns:
        return c
    score = c.columns["score"].clone()
    for e, (w, own) in enumerate(zip(whose, ranks, strict=True)):
        for k, rank in enumerate(own):
            value = _number(told, f"{w}{slot} {own.index(min(own)) + 1}.score", 0.0)
            for lower in sorted({r for r in own if min(own) < r <= rank}):
                value -= _number(told, f"{w}{slot} {own.index(lower) + 1}.score gap", 1.0)
            score[e, k] = value
    return replace(c, columns={**c.columns, "score": score})


# -- what each refutation says ---------------------------------------------------------------------------------------------


def _domain(loss: LossFunction, witness: Mapping[str, str]) -> bool:
    case = batch_of(loss, part(witness))
    return not math.isfinite(case.value()) or without_value(loss, case.batch, case.numbers)


def _direction(loss: LossFunction, witness: Mapping[str, str]) -> bool:
    signs = []
    for suffix, sign in ((" (up)", -1), (" (down)", 1)):
        case = batch_of(loss, part(witness, suffix))
        e, slot, k, _, t = TOKEN.fullmatch(witness[f"token{suffix}"]).groups()  # type: ignore[union-attr]
        place = (int(e or 1) - 1, *([int(k) - 1] if k else []), int(t) - 1)
        slope = float(case.gradients()[1][slot][place])
        signs.append(sign * slope > 0 or math.isnan(slope))  # autograd has none at sqrt(x - x), which is 0 all around
    return all(signs)


def _at_reference(loss: LossFunction, witness: Mapping[str, str]) -> bool:
    if "more than that of one example" in witness:
        case = batch_of(loss, part(witness))
        values = [case.value(_tied(batch)) for batch in (case.batch, _one(case.batch, 0))]
    else:
        values = [case.value(_tied(case.batch)) for case in (batch_of(loss, part(witness, f" ({which})")) for which in ("first", "second"))]
    return abs(values[0] - values[1]) > SEEN


def _symmetry(loss: LossFunction, witness: Mapping[str, str]) -> bool:
    case = batch_of(loss, part(witness))
    if "sum" in witness:
        return total_likelihood(case) is not None
    alone = [case.value(_one(case.batch, e)) for e in range(2)]
    return abs(case.value() - sum(alone) / 2) > SEEN


def _length(loss: LossFunction, witness: Mapping[str, str]) -> bool:
    first = part(witness)
    values = [batch_of(loss, told).value() for told in (first, first | part(witness, " (second)"))]
    return abs(values[0] - values[1]) > SEEN


def _tied(batch: LossInputs) -> LossInputs:
    return with_logps(batch, {slot: agreeing(c) for slot, c in batch.completions.items()})


def _one(batch: LossInputs, e: int) -> LossInputs:
    """The batch of one of its examples."""

    def own(x: Any) -> Any:
        return x[e : e + 1] if isinstance(x, Tensor) else x

    completions = {}
    for slot, c in batch.completions.items():
        fields = {field: own(getattr(c, field)) for field in ("mask", *LOGPS)}
        completions[slot] = replace(c, columns={name: own(x) for name, x in c.columns.items()}, **fields)
    columns = {name: own(x) for name, x in batch.columns.items()}
    return replace(batch, completions=completions, columns=columns, desirable=own(batch.desirable), ranks=own(batch.ranks))


SHOWN: dict[str, Callable[[LossFunction, Mapping[str, str]], bool]] = {
    "domain": _domain, "direction": _direction, "at_reference": _at_reference, "symmetry": _symmetry, "length_neutral": _length,
}  # fmt: skip


def shown_by_its_batch(loss: LossFunction, claim: Claim, witness: Mapping[str, str]) -> str | None:
    """What is against a refutation that tells its batch, in words; nothing where the batch shows it; None where none is told."""
    rule = SHOWN.get(claim.check.split(".")[0])
    if rule is None or claim.verdict != "refuted" or not is_told(witness):
        return None
    return "" if rule(loss, witness) else f"its batch does not show it: {dict(witness)}"
