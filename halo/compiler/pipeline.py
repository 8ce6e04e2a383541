"""The compiler on one screen: source -> Objective -> LossGraph -> torch source. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from halo.compiler import units
from halo.compiler.codegen.printer import printed
from halo.compiler.codegen.source import generate
from halo.compiler.graph import LossGraph, topological
from halo.compiler.graph_text import show, text
from halo.compiler.lowering.statistics import SHARE
from halo.compiler.lowering.whole import lower
from halo.compiler.stability import stabilise
from halo.errors import ObjectiveError, Place
from halo.objective.loading import Objective, load

LIKELY_VOCABULARY = 32_000
"""The size with which numbers made of vocab_size are tried."""


@dataclass(frozen=True)
class CompiledObjective:
    """Every stage of one objective, each printable.

    `declared` is the graph as the file says it, which the checks read; `graph` the same made stable in floating point,
    which `source`, the text of the torch function, is printed from.
    """

    objective: Objective
    declared: LossGraph
    graph: LossGraph
    source: str
    parameters: dict[str, float]
    units: dict[str, Fraction | None]

    def stage(self, name: str) -> str:
        """The text of a stage: `objective`, `graph` or `source`."""
        makers: dict[str, Callable[[], str]] = {
            "objective": self.objective.to_yaml,
            "graph": lambda: show(self.graph),
            "source": lambda: self.source,
        }
        return makers[name]()


def check_values(graph: LossGraph, objective: Objective, values: Mapping[str, float]) -> None:
    """Raises ObjectiveError for parameters that are in their domains and still make no loss."""
    _check_numbers(graph, objective, values)
    _check_decays(graph, objective, values)


def _check_numbers(graph: LossGraph, objective: Objective, values: Mapping[str, float]) -> None:
    """What is a plain number at run time is computed once here, so that 1 / alpha at alpha = 0 is a message and no crash."""
    nodes = topological(graph.everything())
    needed = {argument for node in nodes if not node.plain for argument in node.args if argument.plain and argument.op == "apply"}
    builtins = {"min": min, "max": max, "abs": abs, "float": float}
    scope = {"__builtins__": builtins, "math": math, "batch": SimpleNamespace(vocab_size=LIKELY_VOCABULARY), **values}
    for node in needed:
        try:
            usable = math.isfinite(eval(printed(node, {}), scope))  # our own text, printed from our own graph
        except (ArithmeticError, ValueError, TypeError):
            usable = False
        if not usable:
            given = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            message, hint = f"{text(node, {})} is no finite number for {given}", "change the value, or the parameter's domain"
            raise ObjectiveError("out-of-domain", message, place=Place(objective.file), hint=hint)


def _check_decays(graph: LossGraph, objective: Objective, values: Mapping[str, float]) -> None:
    """An ema whose share is a parameter: every value of it keeps less than all of the past, and not less than nothing."""
    for name, running in graph.statistics.items():
        if isinstance(running.decay, str) and values[running.decay] not in SHARE:
            message = f"{running.decay} = {values[running.decay]:g} is what {name} keeps of the past, and that is from 0 to below 1"
            place = objective.place(("statistics", name, "update"))
            raise ObjectiveError("out-of-domain", message, place=place, hint='give the parameter the domain "[0, 1)"')


STAGES = ("objective", "graph", "source")


def compile_source(
    source: str | Path | Mapping[str, Any],
    parameters: Mapping[str, float] | None = None,
    find: Callable[[str], Path | None] = lambda name: None,
) -> CompiledObjective:
    """Compiles a name, a file, YAML text or a mapping, with parameter values over the defaults. Raises ObjectiveError."""
    return compile_loaded(load(source, find), parameters)


def compile_loaded(objective: Objective, parameters: Mapping[str, float] | None = None) -> CompiledObjective:
    """Compiles what was loaded. Raises ObjectiveError."""
    values = objective.with_parameters(parameters or {})
    declared = lower(objective)
    inferred = units.infer(declared)
    graph = stabilise(declared)
    check_values(graph, objective, values)
    return CompiledObjective(objective, declared, graph, generate(graph), values, inferred)
