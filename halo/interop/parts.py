"""What both trainers need: a loss, and whether that of a whole batch is a weighted mean of the losses of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import halo
from halo.compiler.graph import LossGraph, Node, topological
from halo.errors import Place, SettingsError
from halo.loss.function import LossFunction


def compiled_loss(source: Any, parameters: Mapping[str, float] | None) -> LossFunction:
    """The loss that is given, or that of an objective's source (see `halo.compile_objective`). Raises HaloError."""
    if not isinstance(source, LossFunction):
        return halo.compile_objective(source, parameters)
    if parameters:
        hint = "halo.compile_objective(source, parameters)"
        raise SettingsError("wrong-value", "a loss has its parameters already", place=Place("parameters"), hint=hint)
    return source


def weighed_by(graph: LossGraph) -> str | None:
    """What the parts of a batch are weighed by: `examples`, or the slot whose scored tokens count; None if by nothing.

    Halo's own trainer evaluates the whole effective batch at once and needs no such answer. None stands for what couples
    examples (a quantity over the batch, a running statistic, an outer function) and for terms of different denominators.
    """
    if graph.statistics or any(node.batch for node in topological([graph.loss])):
        return None
    found = {_denominator(term) for term in graph.terms.values()}
    if len(found) != 1:
        return None
    return found.pop()


def _denominator(term: Node) -> str | None:
    if term.op == "apply" and term.data == "div" and term.args[1].op == "examples":
        return "examples"
    if term.op == "reduce" and term.data == "mean" and term.over == ("example", "token") and term.args[-1].op == "mask":
        return term.args[-1].slot
    return None


def check_whole(name: str, graph: LossGraph, whole: bool) -> None:
    """Raises SettingsError where an objective whose parts weigh nothing does not get its batch as a whole."""
    if whole:
        return
    why = "is no mean over examples alone"
    if graph.statistics:
        why = "carries statistics from batch to batch"
    elif any(node.batch for node in topological([graph.loss])):
        why = "has a quantity over the whole batch"
    message = f"{name} {why}, and this trainer shows it one micro-batch of one process at a time"
    hint = (
        "make a step one micro-batch, or accept quantities over the micro-batch with per_micro_batch=True; `halo train` shows it the whole"
    )
    raise SettingsError("wrong-value", message, place=Place("gradient_accumulation_steps"), hint=hint)


def processes() -> int:
    """How many processes train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1
