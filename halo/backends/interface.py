"""What a backend supplies: an `Accelerator` set up for some number of processes, and how the policy lies on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo.backends.placement import Placement


@dataclass(frozen=True)
class BackendContext:
    """What the settings say that an Accelerator must know.

    mixed_precision  `no` or `bf16`
    trackers         names for `log_with`; `folder` is where they may write
    cpu              forced
    max_grad_norm    of the whole gradient; 0 is no clipping. For an engine that clips by itself: others read it in `Placement.update`
    """

    mixed_precision: str
    trackers: tuple[str, ...]
    folder: str
    cpu: bool = False
    max_grad_norm: float = 0.0


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
