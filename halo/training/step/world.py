"""The processes of a run, as far as a step asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Processes(Protocol):
    """The processes of a run, as far as a step asks for them: `halo.backends.Placement`, or a `World`."""

    rank: int
    size: int

    def gather(self, value: Any) -> list[Any]:
        """What every rank gave, in rank order."""

    def no_sync(self) -> AbstractContextManager[Any]:
        """Around every micro-batch but the last."""

    def backward(self, outputs: Sequence[Any], grads: Sequence[Any]) -> None:
        """Backpropagates gradients from what the scorer gave."""


@dataclass
class World:
    """Processes as plain values: one, unless they say otherwise."""

    rank: int = 0
    size: int = 1
    gather: Callable[[Any], list[Any]] = lambda value: [value]
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext
    backward: Callable[[Sequence[Tensor], Sequence[Tensor]], None] = torch.autograd.backward
