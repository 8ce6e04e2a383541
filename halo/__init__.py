"""halo: alignment objectives that are declared, not programmed.

    import halo
    loss = halo.compile_objective("kto", beta=0.2)      # an nn.Module

`compile_objective` imports torch; everything else here does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo.errors import HaloError

if TYPE_CHECKING:
    from halo.loss.function import LossFunction

__version__ = "0.1.0"
__all__ = ["HaloError", "compile_objective"]


def compile_objective(source: str | Path | Mapping[str, Any], /, **parameters: float) -> LossFunction:
    """Compiles an objective to a loss function (an `nn.Module`).

    `source` is a shipped or plugged-in name, a file, YAML text (with a line break) or a mapping; `parameters` replace
    the defaults it declares. Raises HaloError for whatever is wrong in it.
    """
    from halo.compiler.pipeline import compile_source
    from halo.loss.function import LossFunction
    from halo.plugin.objectives import find_objective

    return LossFunction(compile_source(source, parameters, find_objective))
