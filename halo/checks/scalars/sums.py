"""Sums over tokens, and over the members of a list: a linear form stays linear, whatever else becomes a variable of its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import REALS
from halo.checks.scalars.inputs import SUM_OF, SUMMED, Inputs
from halo.compiler.graph import Node


@dataclass
class Sums(Inputs):
    """Adds up token quantities of one completion, and items of several completions."""

    def over_tokens(self, way: str, inner: Node, slot: str) -> Node:
        """A sum, mean or count over the tokens of a completion."""
        length = self.length(slot)
        if way == "count":
            return length
        linear = self.linear(inner)
        if linear is None and way == "total" and Calculus(self.box).span(inner).bounded:
            return self.s.call("mul", length, self._opaque("mean", inner, slot))  # which lies between the same ends
        if linear is None or way not in ("total", "mean"):
            return self._opaque(way, inner, slot)
        total = self.s.number(0)
        for variable, factor in linear.items():
            summed = length if variable is None else self._sum_of(variable)
            total = self.s.call("add", total, self.s.call("mul", factor, summed))
        if way == "total":
            return total
        return self._quotient(total, length)

    def _quotient(self, a: Node, b: Node) -> Node:
        """a / b; of a product with b, where b is never 0, what is left of it, so that its range stays known."""
        span = Calculus(self.box).span(b)
        if span.positive or span.negative:
            rest = self._without(a, b)
            if rest is not None:
                return rest
        return self.s.call("div", a, b)

    def _without(self, a: Node, factor: Node) -> Node | None:
        """A product less one factor, or None if it has none such."""
        if a is factor:
            return self.s.number(1)
        if a.op != "apply" or a.data != "mul":
            return None
        for i, inner in enumerate(a.args):
            rest = self._without(inner, factor)
            if rest is not None:
                return self.s.call("mul", a.args[1 - i], rest)
        return None

    def _sum_of(self, token: Node) -> Node:
        """A free variable; of what lies between two ends, the length times a mean between them."""
        span = self.box[token]
        if inf not in (-span.low, span.high):
            mean = self.declare(self.s.variable(f"mean of {token.data}", token.slot), span)
            return self.s.call("mul", self.length(token.slot), mean)
        if span.sign() is None:
            span = REALS
        return self.declare(self.s.variable(SUMMED.get(token.data, f"{SUM_OF}{token.data}"), token.slot), span)

    def linear(self, node: Node) -> dict[Node | None, Node] | None:
        """The node as a linear form in token variables (key None: the constant), or None if it is not one."""
        if "token" not in node.axes:
            return {None: node}
        if node.op == "input":
            return {node: self.s.number(1)}
        if node.op != "apply":
            return None
        forms = [self.linear(a) for a in node.args]
        if any(form is None for form in forms):
            return None
        parts = [form for form in forms if form is not None]
        match node.data:
            case "add" | "sub":
                left, right = parts
                if node.data == "sub":
                    right = {k: self.s.call("neg", v) for k, v in right.items()}
                zero = self.s.number(0)
                return {k: self.s.call("add", left.get(k, zero), right.get(k, zero)) for k in {**left, **right}}
            case "neg":
                return {k: self.s.call("neg", v) for k, v in parts[0].items()}
            case "mul" if any("token" not in a.axes for a in node.args):
                constant = next(i for i, a in enumerate(node.args) if "token" not in a.axes)
                return {k: self.s.call("mul", node.args[constant], v) for k, v in parts[1 - constant].items()}
            case "div" if "token" not in node.args[1].axes:
                return {k: self.s.call("div", v, node.args[1]) for k, v in parts[0].items()}
            case _:
                return None

    def _combined(self, way: str, items: list[Node], lengths: list[Node]) -> Node:
        """A reduction over the items of up to two completions; `lengths` where it is one over their tokens too."""
        count = self._added(lengths) if lengths else self.s.number(len(items))
        if way == "count":
            return count
        if not items:
            return self.s.number(0)
        match way:
            case "total":
                return self._added(items)
            case "mean":
                return self.s.call("div", self._added(items), count)
            case "std":
                return self._spread(items)
            case "largest" | "smallest" | "logsumexp" if len(items) == 1:
                return items[0]
            case "largest":
                return self.s.call("max", *items)
            case "smallest":
                return self.s.call("min", *items)
            case "logsumexp":
                return self.s.call("log", self._added([self.s.call("exp", item) for item in items]))
            case _:
                return self.s.number(1)

    def _spread(self, items: list[Node]) -> Node:
        """The standard deviation of one or two numbers."""
        if len(items) < 2:
            return self.s.number(0)
        gap = self.s.call("abs", self.s.call("sub", *items[:2]))
        return self.s.call("div", gap, self.s.call("sqrt", self.s.number(2)))

    def _added(self, items: list[Node]) -> Node:
        total = items[0]
        for item in items[1:]:
            total = self.s.call("add", total, item)
        return total
