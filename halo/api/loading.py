"""`halo.load_objective` and `halo.compile_objective`: an objective as text, and as a loss that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo.compiler.pipeline import CompiledObjective, compile_loaded, compile_source
from halo.plugin.objectives import find_objective

if TYPE_CHECKING:  # a loss needs torch, and a loaded objective does not
    from halo.loss.function import LossFunction

Source = str | Path | Mapping[str, Any] | CompiledObjective
"""A shipped or plugged-in name, a file (with a `/` or ending in .yaml), YAML text (with a line break), a mapping, or what
`load_objective` returned."""


def load_objective(source: Source, parameters: Mapping[str, float] | None = None) -> CompiledObjective:
    """Reads and compiles an objective without torch; `parameters` replace the defaults it declares. Raises HaloError.

    The result has every stage: `objective.declaration`, `graph`, `source` (the text of the torch function), `parameters`.
    """
    if not isinstance(source, CompiledObjective):
        return compile_source(source, parameters, find_objective)
    if not parameters:
        return source
    return compile_loaded(source.objective, {**source.parameters, **parameters})


def compile_objective(source: Source, parameters: Mapping[str, float] | None = None, *, validate: bool = True) -> LossFunction:
    """An objective as a loss function, an `nn.Module`; `parameters` replace the defaults it declares. Raises HaloError.

    validate  compares the generated code with the declared formulas first, in high precision: a second or two
    """
    from halo.loss.function import LossFunction

    return LossFunction(load_objective(source, parameters), validate)
