"""The reference is a frozen copy of the model that the policy starts from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halo.reference.interface import ReferenceContext
from halo.scoring.distributions import Distributions
from halo.scoring.rows import RowBatch


class FrozenReference:
    """A second copy of the weights, never trained."""

    def __init__(self, context: ReferenceContext) -> None:
        model: Any = context.load_model()
        model.requires_grad_(False)
        self._score = context.scorer(model)
        self._name = context.name

    @torch.no_grad()
    def logps(self, rows: RowBatch) -> Tensor:
        return self._score(rows)

    @torch.no_grad()
    def states(self, rows: RowBatch) -> Distributions:
        return self._score.states(rows)

    def describe(self) -> str:
        return f"frozen copy of {self._name}"
