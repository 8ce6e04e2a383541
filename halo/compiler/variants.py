"""The same loss for a call that gives more: parameters that are tensors, and examples that stand several times.

A variant is a graph of its own, printed like any other, so the source of the plain call stays as it is. A parameter that is a
tensor keeps its gradient; one with a number for each example has the axis `example`, which whatever reads it then has too. A
weight w enters every reduction over the examples as if its example stood there w times; nothing else knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from halo.compiler.graph import Builder, LossGraph, Node
from halo.errors import ObjectiveError


@dataclass(frozen=True)
class Variant:
    """What a call gives: parameters as one tensor, those with one number for each example, and whether examples have weights."""

    tensors: frozenset[str] = frozenset()
    by_example: frozenset[str] = frozenset()
    weighted: bool = False


PLAIN = Variant()


def varied(graph: LossGraph, variant: Variant) -> LossGraph:
    """The graph of a variant. Raises ObjectiveError where a weight or a parameter for each example has no meaning."""
    rewriter = _Rewriter(graph.name, variant)
    groups = (graph.terms, graph.items, graph.rewards, graph.reference_points)
    terms, items, rewards, points = ({name: rewriter.node(node) for name, node in group.items()} for group in groups)
    loss = rewriter.node(graph.loss)
    statistics = {name: replace(running, observed=rewriter.node(running.observed)) for name, running in graph.statistics.items()}
    if any(node.axes for node in (loss, *terms.values())):
        names = ", ".join(sorted(variant.by_example))
        message = f"{graph.name} uses {names} outside of its items, where one number for each example has no meaning"
        raise ObjectiveError("wrong-level", message, hint="give one number")
    return replace(
        graph,
        loss=loss,
        terms=terms,
        items=items,
        rewards=rewards,
        reference_points=points,
        statistics=statistics,
        labels={rewriter.node(node): label for node, label in graph.labels.items() if node in rewriter.done},
        origins={rewriter.node(node): origin for node, origin in graph.origins.items() if node in rewriter.done},
    )


class _Rewriter:
    """Rebuilds nodes, arguments first."""

    def __init__(self, name: str, variant: Variant) -> None:
        self.name, self.variant = name, variant
        self.build, self.done = Builder(), dict[Node, Node]()
        self.weight = self.build.make(op="weight", axes=("example",))

    def node(self, node: Node) -> Node:
        if node not in self.done:
            self.done[node] = self.rebuilt(node, tuple(self.node(argument) for argument in node.args))
        return self.done[node]

    def rebuilt(self, node: Node, args: tuple[Node, ...]) -> Node:
        if node.op == "parameter" and node.data in self.variant.by_example:
            return self.build.make(op="tensor", data=node.data, axes=("example",))
        if node.op == "parameter" and node.data in self.variant.tensors:
            return self.build.make(op="tensor", data=node.data)
        if self.variant.weighted:
            if node.op == "examples":
                return self.build.make(op="reduce", args=(self.weight,), data="total", over=("example",))
            if node.op == "order" and "example" in node.over:
                message = f"{self.name} sorts or ranks the examples of a batch, among which a weight has no meaning"
                raise ObjectiveError("wrong-value", message, hint="repeat the rows instead")
            if node.op == "reduce" and "example" in node.over:
                args = (*args, self.weight)
            if node.op == "apply" and node.data == "at_least_one":
                return self.build.make(op="apply", args=args, data="one_if_none", axes=args[0].axes)
        kept = {"op": node.op, "data": node.data, "slot": node.slot, "tokens": node.tokens, "over": node.over, "batch": node.batch}
        return self.build.make(**kept, args=args, axes=_axes(node, args))


def _axes(node: Node, args: tuple[Node, ...]) -> tuple[str, ...]:
    """The axes of a node whose arguments may have gained the axis `example`."""
    if not args:
        return node.axes
    if "example" in node.axes or "example" in node.over or not any("example" in argument.axes for argument in args):
        return node.axes
    return ("example", *node.axes)
