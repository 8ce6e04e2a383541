"""A reference that never calls a token impossible: q(y) = (1 - share) * frozen(y) + share / V."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from halo.plugin import ReferenceContext


class MixedReference:
    """A second copy of the weights, never trained, and a share of 1 / V for every token."""

    def __init__(self, context: ReferenceContext) -> None:
        self._share = context.options.share
        model = context.load_model()
        model.requires_grad_(False)
        self._score, self._name = context.scorer(model), context.name
        self._uniform = math.log(self._share / context.vocabulary)

    @torch.no_grad()
    def logps(self, rows: Any) -> Tensor:
        """Flat log-probs of the scored tokens."""
        frozen = self._score(rows) + math.log1p(-self._share)
        return torch.logaddexp(frozen, torch.full_like(frozen, self._uniform))

    def describe(self) -> str:
        """One line for the run's output."""
        return f"{1 - self._share:g} of {self._name}, {self._share:g} uniform"
