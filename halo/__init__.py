"""halo: alignment objectives that are declared, not programmed.

    import halo
    loss = halo.compile_objective("kto", {"beta": 0.2})      # an nn.Module

What a program may rely on is in `__all__`, in `halo.plugin` (what plugins are made of), in `halo.testing` (the contract kit)
and in `halo.interop` (other trainers); docs/api.md says what each takes, gives and raises. Names are imported when they are
first asked for, so `import halo` loads neither torch nor the algebra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from halo.errors import HaloError

if TYPE_CHECKING:  # what the names are, for type checkers
    from halo.api.asking import check, diff
    from halo.api.drawing import plot
    from halo.api.listing import list_objectives
    from halo.api.loading import compile_objective, load_objective
    from halo.api.running import train
    from halo.api.runs import load_run
    from halo.api.workflow import evaluate, pair, sample, score
    from halo.loss.inputs import Completions, LossInputs, LossOutput

__version__ = "0.1.0"
__all__ = [
    "Completions",
    "HaloError",
    "LossInputs",
    "LossOutput",
    "check",
    "compile_objective",
    "diff",
    "evaluate",
    "list_objectives",
    "load_objective",
    "load_run",
    "pair",
    "plot",
    "sample",
    "score",
    "train",
]

_HOMES = {
    "Completions": "halo.loss.inputs",
    "LossInputs": "halo.loss.inputs",
    "LossOutput": "halo.loss.inputs",
    "check": "halo.api.asking",
    "compile_objective": "halo.api.loading",
    "diff": "halo.api.asking",
    "evaluate": "halo.api.workflow",
    "list_objectives": "halo.api.listing",
    "load_objective": "halo.api.loading",
    "load_run": "halo.api.runs",
    "pair": "halo.api.workflow",
    "plot": "halo.api.drawing",
    "sample": "halo.api.workflow",
    "score": "halo.api.workflow",
    "train": "halo.api.running",
}
"""Each name and the module that it is imported from, later (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'halo' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
