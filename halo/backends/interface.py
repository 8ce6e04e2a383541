"""What a backend supplies: an `Accelerator` set up for some number of processes, and how the policy lies on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halo.backends.context import BackendContext
from halo.backends.placement import Placement


@dataclass(frozen=True)
class Backend:
    """name: what `--backend` calls it; build: BackendContext -> accelerate.Accelerator.

    place  Accelerator, BackendContext -> Placement: how the policy is laid on the devices, pulled back into, updated, gathered and loaded. Left out:
           every process holds the whole policy, and accelerate's `prepare` wraps it. A backend that shards gives its own.
    """

    name: str
    meaning: str
    build: Callable[[BackendContext], Any]
    place: Callable[[Any, BackendContext], Placement] | None = None
