"""Tokenized examples -> the tensors that one forward pass scores, and back from flat log-probs to padded roles.

A `RowBatch` holds each example's prefix once and its tails beside it. Inside scoring log-probs are flat, one for each
scored token; a `Layout` says where each belongs: (example, completion, token) of a slot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo.data.tokenizing import TokenizedExample


@dataclass
class RowBatch:
    """M tails of N prefixes. Ids are right-padded with 0; the lengths say what is real.

    prefix_ids (N, P), prefix_length (N); tail_ids (M, R), tail_length (M); owner (M): the prefix of each tail;
    scored (M, R) bool, never true in column 0 unless the prefix is empty; score_prefix: whether log-probs of the prefix
    tokens but the first are wanted too. Flat log-probs list prefixes first, then tails, row by row.
    """

    prefix_ids: Tensor
    prefix_length: Tensor
    tail_ids: Tensor
    tail_length: Tensor
    owner: Tensor
    scored: Tensor
    score_prefix: bool = False

    def to(self, device: torch.device | str) -> RowBatch:
        """The same on a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return RowBatch(**moved, score_prefix=self.score_prefix)

    @property
    def tokens(self) -> int:
        """Real tokens, each prefix counted once."""
        return int(self.prefix_length.sum() + self.tail_length.sum())


@dataclass(frozen=True)
class Layout:
    """Which flat log-probs belong to each slot, in the order example, completion, token."""

    flat: Mapping[str, Tensor]


def build_rows(examples: Sequence[TokenizedExample], slots: Sequence[str]) -> tuple[RowBatch, Layout]:
    """The rows of these examples for the given slots, and where their log-probs go."""
    tails = [
        (e, slot, k, tail)
        for e, example in enumerate(examples)
        for slot in slots
        if slot != "prompt"
        for k, tail in enumerate(example.tails[slot])
    ]
    if not tails:  # the prompt alone: any tail gives the prefix its last token
        tails = [(e, "", 0, next(iter(example.tails.values()))[0]) for e, example in enumerate(examples)]
    prefix, prefix_length = padded([example.prefix for example in examples])
    ids, length = padded([tail.ids for _, _, _, tail in tails])
    scored = torch.zeros_like(ids, dtype=torch.bool)
    for row, (_, slot, _, tail) in enumerate(tails):
        if slot:
            scored[row, : len(tail.scored)] = torch.tensor(tail.scored)
    owner = torch.tensor([e for e, _, _, _ in tails])
    batch = RowBatch(prefix, prefix_length, ids, length, owner, scored, "prompt" in slots)
    return batch, _layout(examples, slots, [(slot, sum(tail.scored)) for _, slot, _, tail in tails if slot])


def _layout(examples: Sequence[TokenizedExample], slots: Sequence[str], tails: list[tuple[str, int]]) -> Layout:
    flat: dict[str, list[int]] = {slot: [] for slot in slots}
    prompts = [("prompt", len(example.prefix)) for example in examples] if "prompt" in slots else []
    cursor = 0
    for slot, count in prompts + tails:
        flat[slot].extend(range(cursor, cursor + count))
        cursor += count
    return Layout({slot: torch.tensor(indices, dtype=torch.long) for slot, indices in flat.items()})


def scored_counts(example: TokenizedExample, slot: str) -> list[int]:
    """How many scored tokens each completion of a slot has."""
    return [len(example.prefix)] if slot == "prompt" else [sum(tail.scored) for tail in example.tails[slot]]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(rows, longest) right-padded with 0, and the lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    result = torch.zeros(len(rows), max(1, int(lengths.max())), dtype=torch.long)
    for i, row in enumerate(rows):
        result[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return result, lengths
