"""The reference gives every token the same probability, 1 / vocabulary size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from halo.reference.interface import ReferenceContext
from halo.scoring.rows import RowBatch


class UniformReference:
    """-log V for each token; no model."""

    def __init__(self, context: ReferenceContext) -> None:
        self._logp = -math.log(context.vocabulary)

    def logps(self, rows: RowBatch) -> Tensor:
        prompt = int(rows.prefix_length.sum()) if rows.score_prefix else 0
        return torch.full((int(rows.scored.sum()) + prompt,), self._logp, device=rows.tail_ids.device)

    def describe(self) -> str:
        return "uniform over tokens"
