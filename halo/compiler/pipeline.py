"""The compiler on one screen: source -> Objective -> LossGraph -> torch source. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from halo.compiler import units
from halo.compiler.codegen.source import generate
from halo.compiler.graph import LossGraph, show
from halo.compiler.lowering import lower
from halo.compiler.stability import stabilise
from halo.objective.loading import Objective, load


@dataclass(frozen=True)
class CompiledObjective:
    """Every stage of one objective, each printable. `source` is the text of the torch function."""

    objective: Objective
    graph: LossGraph
    source: str
    parameters: dict[str, float]
    units: dict[str, Fraction | None]

    def stage(self, name: str) -> str:
        """The text of a stage: `objective`, `graph` or `source`."""
        return {"objective": self.objective.to_yaml, "graph": lambda: show(self.graph), "source": lambda: self.source}[name]()


STAGES = ("objective", "graph", "source")


def compile_source(
    source: str | Path | Mapping[str, Any], parameters: Mapping[str, float] | None = None, find: Callable[[str], Path | None] = lambda name: None
) -> CompiledObjective:
    """Compiles a name, a file, YAML text or a mapping, with parameter values over the defaults. Raises ObjectiveError."""
    objective = load(source, find)
    values = objective.with_parameters(parameters or {})
    declared = lower(objective)
    inferred = units.infer(declared)
    graph = stabilise(declared)
    return CompiledObjective(objective, graph, generate(graph), values, inferred)
