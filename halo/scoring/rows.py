"""Tokenized examples -> the tensors that one forward pass scores, and back from flat log-probs to padded roles.

A `RowBatch` holds each example's prefix once and its tails beside it. Inside scoring log-probs are flat, one for each
scored token; a `Layout` says where each belongs: (example, completion, token) of a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halo.data.tokenized import Tail, TokenizedExample
from halo.errors import ModelError

PROMPT = "prompt"
"""The slot of an example's own prompt, which is no completion."""


@dataclass
class RowBatch:
    """M tails of N prefixes. Ids are right-padded with 0; the lengths say what is real.

    prefix_ids (N, P), prefix_length (N); tail_ids (M, R), tail_length (M); owner (M): the prefix of each tail;
    scored (M, R) bool, never true in column 0 unless the prefix is empty; score_prefix: whether log-probs of the prefix
    tokens but the first are wanted too. Flat log-probs list prefixes first, then tails, row by row.

    temperature  (M,) float64: what the logits are divided by in each tail; None: the head's own log-probs, as of every prefix
    tensors      what a model reads beside ids, by the name of its argument: a tensor for each prefix, joined along its first dimension
    """

    prefix_ids: Tensor
    prefix_length: Tensor
    tail_ids: Tensor
    tail_length: Tensor
    owner: Tensor
    scored: Tensor
    score_prefix: bool = False
    temperature: Tensor | None = None
    tensors: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> RowBatch:
        """The same on a device."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        tensors = {name: tuple(one.to(device) for one in each) for name, each in self.tensors.items()}
        return replace(self, **moved, tensors=tensors)

    @property
    def tokens(self) -> int:
        """Real tokens, each prefix counted once."""
        return int(self.prefix_length.sum() + self.tail_length.sum())


@dataclass(frozen=True)
class Layout:
    """Which flat log-probs belong to each slot, in the order example, completion, token."""

    flat: Mapping[str, Tensor]


class _Row(NamedTuple):
    """A completion of an example, by the example's number; of no slot where it only gives the prompt its last token."""

    example: int
    slot: str
    tail: Tail


def build_rows(examples: Sequence[TokenizedExample], slots: Sequence[str]) -> tuple[RowBatch, Layout]:
    """The rows of these examples for the given slots, and where their log-probs go."""
    rows = []
    for number, example in enumerate(examples):
        for slot in slots:
            if slot != PROMPT:
                rows += [_Row(number, slot, tail) for tail in example.tails[slot]]
    if not rows:  # the prompt alone: any tail gives the prefix its last token
        rows = [_Row(number, "", next(iter(example.tails.values()))[0]) for number, example in enumerate(examples)]
    prefix, prefix_length = padded([example.prefix for example in examples])
    ids, length = padded([row.tail.ids for row in rows])
    scored = torch.zeros_like(ids, dtype=torch.bool)
    for at, row in enumerate(rows):
        if row.slot:
            scored[at, : len(row.tail.scored)] = torch.tensor(row.tail.scored)
    owner = torch.tensor([row.example for row in rows])
    temperature, tensors = _temperature(rows), _tensors(examples)
    batch = RowBatch(prefix, prefix_length, ids, length, owner, scored, PROMPT in slots, temperature, tensors)
    return batch, _layout(examples, slots, [(row.slot, sum(row.tail.scored)) for row in rows if row.slot])


def _temperature(rows: Sequence[_Row]) -> Tensor | None:
    """That of each tail, where one has another than the head's own."""
    temperatures = [row.tail.temperature for row in rows]
    if all(temperature == 1.0 for temperature in temperatures):
        return None
    return torch.tensor(temperatures, dtype=torch.float64)


def _tensors(examples: Sequence[TokenizedExample]) -> dict[str, tuple[Tensor, ...]]:
    """By name, what each example has beside ids. Raises ModelError where some of a batch have it and others do not."""
    if not any(example.tensors for example in examples):
        return {}
    names = set(examples[0].tensors)
    for example in examples:
        if set(example.tensors) != names:
            message = f"{example.place} has {_listed(example.tensors)} beside its ids, and {examples[0].place} {_listed(names)}"
            raise ModelError("model", message, hint="the examples of a micro-batch have the same")
    return {name: tuple(example.tensors[name] for example in examples) for name in sorted(names)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _layout(examples: Sequence[TokenizedExample], slots: Sequence[str], tails: list[tuple[str, int]]) -> Layout:
    flat: dict[str, list[int]] = {slot: [] for slot in slots}
    prompts = []
    if PROMPT in slots:
        prompts = [(PROMPT, len(example.prefix)) for example in examples]
    cursor = 0
    for slot, count in prompts + tails:
        flat[slot].extend(range(cursor, cursor + count))
        cursor += count
    return Layout({slot: torch.tensor(indices, dtype=torch.long) for slot, indices in flat.items()})


def scored_counts(example: TokenizedExample, slot: str) -> list[int]:
    """How many scored tokens each completion of a slot has."""
    if slot == PROMPT:
        return [len(example.prefix)]
    return [sum(tail.scored) for tail in example.tails[slot]]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(rows, longest) right-padded with 0, and the lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    result = torch.zeros(len(rows), max(1, int(lengths.max())), dtype=torch.long)
    for i, row in enumerate(rows):
        result[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return result, lengths
