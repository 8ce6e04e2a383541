"""What an objective makes use of beyond the plain equation: the words by which objectives are found, read off its graph."""

from __future__ import annotations

from collections.abc import Callable

from halo.compiler.graph import LossGraph, Node, topological
from halo.compiler.pipeline import CompiledObjective
from halo.objective.schema import Declaration


def _nodes(graph: LossGraph) -> list[Node]:
    return topological([graph.loss])


def _list_reductions(graph: LossGraph) -> bool:
    """Over a list on the way to an item; the reduction of the items themselves is no feature."""
    inner = topological([n for part in graph.parts for n in (part.value, part.weight, part.z, part.margin) if n is not None])
    return any(n.op == "reduce" and {"list", "other"} & set(n.over) for n in inner)


FEATURES: dict[str, tuple[str, Callable[[Declaration, LossGraph], bool]]] = {
    "margin": ("a margin is subtracted from z", lambda d, g: any(part.margin is not None for part in g.parts)),
    "weights": ("examples, pairs or tokens are weighted", lambda d, g: any(p.weight.op != "number" for p in g.parts if not p.regularizer)),
    "detached": ("something is detached with stop(...)", lambda d, g: any(n.op == "stop" for n in _nodes(g))),
    "terms": ("several terms are added", lambda d, g: len({part.name for part in g.parts if not part.regularizer}) > 1),
    "regularizers": ("something is added beside the equation", lambda d, g: any(part.regularizer for part in g.parts)),
    "token": ("an item is one token", lambda d, g: any("token" in part.item.axes for part in g.parts if not part.regularizer)),
    "list": ("a quantity runs over the list of completions", lambda d, g: _list_reductions(g)),
    "batch": ("a quantity runs over the whole batch", lambda d, g: any(n.batch for n in _nodes(g))),
    "sorted": ("numbers are sorted or ranked", lambda d, g: any(n.op == "order" for n in _nodes(g))),
    "running": ("a statistic is carried from step to step", lambda d, g: bool(g.statistics)),
    "vocabulary": ("a quantity runs over the whole vocabulary", lambda d, g: bool(g.needs.words)),
    "columns": ("the data supplies numbers", lambda d, g: bool(g.needs.columns or any(g.needs.own_columns.values()))),
    "roles": ("the data supplies further texts", lambda d, g: bool(d.roles)),
    "control": ("a conditioning text follows the prompt", lambda d, g: bool(d.control)),
    "sampler": ("the sampler's log-probabilities are read", lambda d, g: bool(g.needs.sampler)),
    "moving": ("the reference follows the policy", lambda d, g: d.reference == "moving"),
}
"""Each word with its meaning and how it is seen."""


def features(compiled: CompiledObjective) -> list[str]:
    """The words of `FEATURES` that hold."""
    return [word for word, (_, holds) in FEATURES.items() if holds(compiled.objective.declaration, compiled.declared)]
