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

    def _over_tokens(self, way: str, inner: Node, slot: str) -> Node:
        length = self.length(slot)
        if way == "count":
            return length
        linear = self.linear(inner)
        if linear is None or way not in ("total", "mean"):
            return self._opaque(way, inner, slot)
        total = self.s.number(0)
        for variable, factor in linear.items():
            summed = self._sum_of(variable) if variable is not None else length
            total = self.s.call("add", total, self.s.call("mul", factor, summed))
        return self._quotient(total, length) if way == "mean" else total

    def _quotient(self, a: Node, b: Node) -> Node:
        """a / b; of a product with b, where b is never 0, what is left of it, so that its range stays known."""
        span = Calculus(self.box).span(b)
        rest = self._without(a, b) if span.positive or span.negative else None
        return self.s.call("div", a, b) if rest is None else rest

    def _without(self, a: Node, factor: Node) -> Node | None:
        """A product less one factor, or None if it has none such."""
        if a is factor:
            return self.s.number(1)
        for i, inner in enumerate(a.args if a.op == "apply" and a.data == "mul" else ()):
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
        total = self.s.variable(SUMMED.get(token.data, f"{SUM_OF}{token.data}"), token.slot)
        return self.declare(total, REALS if span.sign() is None else span)

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
                right = parts[1] if node.data == "add" else {k: self.s.call("neg", v) for k, v in parts[1].items()}
                return {k: self._plus(parts[0].get(k), right.get(k)) for k in {**parts[0], **right}}
            case "neg":
                return {k: self.s.call("neg", v) for k, v in parts[0].items()}
            case "mul" if any("token" not in a.axes for a in node.args):
                constant = next(i for i, a in enumerate(node.args) if "token" not in a.axes)
                return {k: self.s.call("mul", node.args[constant], v) for k, v in parts[1 - constant].items()}
            case "div" if "token" not in node.args[1].axes:
                return {k: self.s.call("div", v, node.args[1]) for k, v in parts[0].items()}
            case _:
                return None

    def _plus(self, a: Node | None, b: Node | None) -> Node:
        return self.s.call("add", a or self.s.number(0), b or self.s.number(0))

    def _combined(self, way: str, items: list[Node], lengths: list[Node]) -> Node:
        if way == "count":
            return self._added(lengths) if lengths else self.s.number(len(items))
        if not items:
            return self.s.number(0)
        if way in ("total", "mean"):
            count = self._added(lengths) if lengths else self.s.number(len(items))
            total = self._added(items)
            return total if way == "total" else self.s.call("div", total, count)
        if way in ("largest", "smallest"):
            word = "max" if way == "largest" else "min"
            return self.s.call(word, *items) if len(items) > 1 else items[0]
        if way == "logsumexp":
            return self.s.call("log", self._added([self.s.call("exp", item) for item in items])) if len(items) > 1 else items[0]
        if way == "std":
            if len(items) < 2:
                return self.s.number(0)
            gap = self.s.call("abs", self.s.call("sub", *items[:2]))
            return self.s.call("div", gap, self.s.call("sqrt", self.s.number(2)))
        return self.s.number(1)

    def _added(self, items: list[Node]) -> Node:
        total = items[0]
        for item in items[1:]:
            total = self.s.call("add", total, item)
        return total
