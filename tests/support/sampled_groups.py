"""Groups of sampled answers of any size: the same numbers as halo's padded tensors and as the oracle's exact rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from mpmath import mpf
from torch import Tensor

import halo
from halo.loss.function import LossFunction

Tokens = list[list[list[float]]]
"""A number for each token of each answer of each prompt."""


@dataclass
class Groups:
    """The same numbers as tensors and as the oracle's rows. A token's log-probs, and a group's scores, are lists."""

    logp: Tokens
    old: Tokens
    ref: Tokens
    scores: list[list[float]]

    @property
    def exact(self) -> dict[str, Any]:
        columns = zip(self.logp, self.old, self.ref, self.scores, strict=True)
        return {"lists": [[_row(*answer) for answer in zip(*group, strict=True)] for group in columns]}

    def inputs(self) -> tuple[halo.LossInputs, Tensor]:
        """The padded inputs, and the log-probs that a gradient is asked of."""
        size, width = max(map(len, self.logp)), max(len(row) for group in self.logp for row in group) + 1
        logp, old, ref = (_padded(rows, size, width) for rows in (self.logp, self.old, self.ref))
        mask = _padded([[[1.0] * len(row) for row in group] for group in self.logp], size, width) > 0
        score = torch.full((len(self.scores), size), 77.0, dtype=torch.float64)
        ranks = torch.zeros(len(self.scores), size, dtype=torch.long)
        for i, own in enumerate(self.scores):
            score[i, : len(own)] = torch.tensor(own, dtype=torch.float64)
            ranks[i, : len(own)] = torch.tensor([1 + sum(other > s for other in own) for s in own])
        logp.requires_grad_()
        completion = halo.Completions(token_logps=logp, mask=mask, ref_token_logps=ref, old_token_logps=old, columns={"score": score})
        return halo.LossInputs({"completion": completion}, ranks=ranks), logp

    def gradient(self, loss: LossFunction) -> tuple[float, Tokens]:
        """The loss, and its derivative by every token."""
        inputs, logp = self.inputs()
        value = loss(inputs).loss
        value.backward()
        assert logp.grad is not None
        return value.item(), _cut(logp.grad, self.logp)


def _row(logp: list[float], old: list[float], ref: list[float], score: float) -> dict[str, Any]:
    return {"logp": [*map(mpf, logp)], "old": [*map(mpf, old)], "ref": [*map(mpf, ref)], "score": mpf(score)}


def _padded(rows: Tokens, size: int, width: int) -> Tensor:
    table = torch.zeros(len(rows), size, width, dtype=torch.float64)
    for i, group in enumerate(rows):
        for k, row in enumerate(group):
            table[i, k, : len(row)] = torch.tensor(row, dtype=torch.float64)
    return table


def _cut(table: Tensor, like: Tokens) -> Tokens:
    """Without the padding, which must be 0."""
    cut = [[table[i, k, : len(row)].tolist() for k, row in enumerate(group)] for i, group in enumerate(like)]
    assert table.abs().sum().item() == pytest.approx(sum(abs(x) for group in cut for row in group for x in row))
    return cut


def one_of_three(rng: random.Random) -> float:
    return rng.choice([0.1, 0.7, 1.3])


def drawn(seed: int, sizes: Sequence[int] = (), score: Callable[[random.Random], float] = one_of_three) -> Groups:
    """Groups of 2 to 8 answers of 1 to 12 tokens. All scores of the second are equal. A third of the ratios are 1, others far out."""
    rng = random.Random(seed)
    batch = Groups([], [], [], [])
    for i, size in enumerate(sizes or [rng.randint(2, 8) for _ in range(4)]):
        lengths = [rng.randint(1, 12) for _ in range(size)]
        batch.logp.append([[-rng.expovariate(0.7) for _ in range(length)] for length in lengths])
        batch.old.append([[x + rng.choice([0, rng.gauss(0, 0.1), rng.gauss(0, 0.5)]) for x in row] for row in batch.logp[-1]])
        batch.ref.append([[x + rng.gauss(0, 0.3) for x in row] for row in batch.logp[-1]])
        batch.scores.append([0.1] * size if i == 1 else [score(rng) for _ in range(size)])
    return batch


def rows_of(table: Tokens) -> list[list[float]]:
    """The answers of all prompts, one after the other."""
    return [row for group in table for row in group]
