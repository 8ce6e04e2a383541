"""What the settings say that a backend must know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from halo.options import Options


@dataclass(frozen=True)
class BackendContext:
    """What the settings say of where and in which precision a run happens.

    mixed_precision  `no` or `bf16`
    trackers         names of where numbers are sent; `folder` is where they may write
    cpu              forced
    max_grad_norm    of the whole gradient; 0 is no clipping. For an engine that clips by itself: others read it in `Placement.update`
    timeout          seconds after which a process that comes no further, while the others wait for it, is named and the run ends
    options          of the backend, as given or by default: an instance of its `Backend.options`
    """

    mixed_precision: str
    trackers: tuple[str, ...]
    folder: str
    cpu: bool = False
    max_grad_norm: float = 0.0
    timeout: float = 1800.0
    options: Any = field(default_factory=Options)
