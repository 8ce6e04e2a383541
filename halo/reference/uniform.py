"""The reference gives every token the same probability, 1 / vocabulary size."""

from __future__ import annotations

from torch import Tensor

from halo.reference.interface import ReferenceContext
from halo.scoring.distributions import LOGP, Uniform
from halo.scoring.rows import RowBatch


class UniformReference:
    """-log V for each token; no model."""

    def __init__(self, context: ReferenceContext) -> None:
        self._vocabulary = context.vocabulary

    def logps(self, rows: RowBatch) -> Tensor:
        return self.states(rows).scored()[LOGP]

    def states(self, rows: RowBatch) -> Uniform:
        positions = int(rows.scored.sum())
        if rows.score_prefix:
            positions += int(rows.prefix_length.sum())
        return Uniform(positions, self._vocabulary, rows.tail_ids.device)

    def describe(self) -> str:
        return "uniform over tokens"
