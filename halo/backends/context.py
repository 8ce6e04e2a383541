"""What the settings say that a backend must know."""

from __future__ import annotations

from dataclasses import dataclass


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
