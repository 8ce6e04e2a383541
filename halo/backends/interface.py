"""What a backend supplies: an `Accelerator` set up for some number of processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BackendContext:
    """mixed_precision: `no` or `bf16`; trackers: names for `log_with`; folder: where they may write; cpu: forced."""

    mixed_precision: str
    trackers: tuple[str, ...]
    folder: str
    cpu: bool = False


@dataclass(frozen=True)
class Backend:
    """name: what `--backend` calls it; build: BackendContext -> accelerate.Accelerator."""

    name: str
    meaning: str
    build: Callable[[BackendContext], Any]
