"""Random whole batches for any objective: several examples, lengths of their own, missing labels, ties, ends of domains."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from batches import VOCAB_SIZE, WORDS
from torch import Tensor

from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.objective.schema import Column, Interval

Scale = float | tuple[float, ...] | None
SCALES = (0.001, 0.3, 1.0, 1.0, 4.0, 20.0)
"""Nats of a token: sure ones, ordinary ones, and such as no sampler would draw."""


@dataclass(frozen=True)
class Shape:
    """How large a batch is: examples, the longest completion, the longest list."""

    examples: int
    tokens: int = 5
    listed: int = 4


def inputs(loss: LossFunction, rng: random.Random, shape: Shape, dtype: torch.dtype = torch.float64, scale: Scale = None) -> LossInputs:
    """A batch that the loss can be given; `scale` sets the nats of its tokens, which are else drawn; of several each completion has one."""
    declared = loss.compiled.objective.declaration.columns
    feedback, needs = loss.feedback, loss.needs
    listed = rng.randint(2, shape.listed) if feedback.is_list else None
    slots = dict.fromkeys([*feedback.completions, *needs.slots])
    completions = {}
    for slot in slots:
        of_list = listed if feedback.is_list and slot in feedback.completions else None
        mask = _mask(rng, shape, of_list)
        columns = {name: declared[name] for name in needs.own_columns.get(slot, ()) if name in declared}
        columns |= {word: Column(level="token", domain=WORDS[word]) for word in needs.vocabulary.get(slot, ())}
        completions[slot] = _completions(rng, mask, columns, dtype, scale, scored=feedback.has_scores and slot in feedback.completions)
    marks: dict[str, Any] = {}
    if feedback.labels:
        marks["desirable"] = _labels(rng, shape.examples)
    if listed is not None:
        marks["ranks"] = torch.tensor([[rng.randint(1, 3) for _ in range(listed)] for _ in range(shape.examples)])
    if feedback.has_scores:  # who has the higher score ranks above; those who are not there have none
        (slot,) = feedback.completions
        score = completions[slot].columns["score"].masked_fill(~completions[slot].mask.any(-1), -torch.inf)
        marks["ranks"] = 1 + (score[:, None, :] > score[:, :, None]).sum(-1)
    examples = {name: torch.tensor([inside(declared[name], rng) for _ in range(shape.examples)], dtype=dtype) for name in needs.columns}
    return LossInputs(completions, columns=examples, vocab_size=VOCAB_SIZE, **marks)


def _labels(rng: random.Random, examples: int) -> Tensor:
    """Every third batch has examples of one label only."""
    alone = rng.choice([None, None, True, False]) if examples > 1 else None
    return torch.tensor([rng.random() < 0.5 if alone is None else alone for _ in range(examples)])


def _mask(rng: random.Random, shape: Shape, listed: int | None) -> Tensor:
    rows = shape.examples * (listed or 1)
    lengths = torch.tensor([rng.randint(1, shape.tokens) for _ in range(rows)])
    mask = torch.arange(shape.tokens) < lengths[:, None]
    if listed is None:
        return mask
    mask = mask.reshape(shape.examples, listed, shape.tokens)
    for example in mask:  # lists have two completions or more, and end where they end
        example[rng.randint(2, listed) :] = False
    return mask


def _completions(rng: random.Random, mask: Tensor, columns: Mapping[str, Column], dtype: torch.dtype, scale: Scale, scored: bool) -> Completions:
    def nats() -> Tensor:
        size = scale if isinstance(scale, float) else rng.choice(scale or SCALES)
        return -torch.tensor([size * rng.uniform(0.05, 2) for _ in range(mask.numel())], dtype=dtype).reshape(mask.shape)

    own = {}
    for name, column in columns.items():
        shape = mask.shape if column.level == "token" else mask.shape[:-1]
        own[name] = torch.tensor([inside(column, rng) for _ in range(shape.numel())], dtype=dtype).reshape(shape)
    if scored:
        own["score"] = torch.tensor([rng.choice([-1.0, 0.0, 0.0, 0.5, 2.0]) for _ in range(mask[..., 0].numel())], dtype=dtype).reshape(mask.shape[:-1])
    logps = nats()
    references = logps.clone() if rng.random() < 0.1 else nats()
    return Completions(token_logps=logps, mask=mask, ref_token_logps=references, old_token_logps=nats(), columns=own)


def inside(column: Column, rng: random.Random) -> float:
    """A number of the domain: an end that belongs to it, the default, or one between."""
    interval = Interval.parse(column.domain)
    ends = [float(end) for end, closed in ((interval.low, interval.low_closed), (interval.high, interval.high_closed)) if end is not None and closed]
    known = [*ends, *([float(column.default)] if column.default is not None else [])]
    if known and rng.random() < 0.3:
        return rng.choice(known)
    return between(interval, rng)


def between(interval: Interval, rng: random.Random) -> float:
    """A number inside, near and far from the ends."""
    low, high = (None if end is None else float(end) for end in (interval.low, interval.high))
    if low is not None and high is not None:
        return low + (high - low) * rng.choice([0.002, 0.1, 0.4, 0.7, 0.98])
    away = rng.choice([0.002, 0.1, 0.5, 1.0, 3.0, 8.0])
    if low is not None:
        return low + away
    if high is not None:
        return high - away
    return rng.choice([-1, 1]) * away


def parameters(loss: LossFunction, rng: random.Random) -> dict[str, float]:
    """Values of the objective's parameters, all over their domains."""
    declared = loss.compiled.objective.declaration.parameters
    found = {}
    for name, parameter in declared.items():
        interval = Interval.parse(parameter.domain)
        closed = [float(end) for end, is_in in ((interval.low, interval.low_closed), (interval.high, interval.high_closed)) if end is not None and is_in]
        if closed and rng.random() < 0.2:
            found[name] = rng.choice(closed)
        else:
            found[name] = rng.choice([float(parameter.default), between(interval, rng)])
    return found


def with_logps(batch: LossInputs, changed: Mapping[str, Mapping[str, Any]]) -> LossInputs:
    """The same batch with other fields of some completions, by slot."""
    completions = {slot: replace(c, **changed.get(slot, {})) for slot, c in batch.completions.items()}
    return replace(batch, completions=completions)
