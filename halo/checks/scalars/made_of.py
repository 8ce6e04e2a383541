"""What is known between a reduction and what it is made of: a scalar is rewritten so that ranges and algebra see it.

A largest is a member plus something that is not negative; a sum of `f` over tokens, `f` convex, is n f of the mean plus such a
thing (Jensen); a summed log-prob is a token's less one. Each rewriting holds everywhere, so that a proof of what it gives is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from halo.analysis.curvature import Box
from halo.analysis.ranges import NONNEGATIVE, Span
from halo.analysis.scalar import variables
from halo.checks.scalars.inputs import SUM_OF, SUMMED
from halo.checks.scalars.view import View
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS

OWN = ("all", "suffix")
"""Populations that the completion at hand belongs to."""
LARGEST, SMALLEST = "own less largest", "own less smallest"
"""Gaps that are at most as wide as what is reduced."""


@dataclass
class MadeOf:
    """The rewritings of one scalar; `box` is the view's, with the ranges of what they bring in."""

    view: View
    box: dict[Node, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s, self.box = self.view.s, dict(self.view.box)

    def rewritten(self, node: Node) -> Iterator[tuple[Node, Box]]:
        """The scalar itself, then what the relations make of it, each kind alone and all in turn."""
        yield node, self.box
        chained = node
        for rule in (self._between, self._of_members, self._of_tokens, self._of_a_token):
            swap = rule(chained)
            if swap:
                chained = self.s.substitute(chained, swap)
                yield chained, self.box
                alone = self.s.substitute(node, rule(node))
                if alone is not chained:
                    yield alone, self.box

    def _gap(self, name: str, of: Node, span: Span = NONNEGATIVE) -> Node:
        """A number of one sign: how far a reduction is from what it is written by."""
        gap = self.s.make(op="reduce", args=of.args or (of,), data=name, slot=of.slot, batch=of.batch)
        self.box[gap] = span
        return gap

    def _between(self, node: Node) -> dict[Node, Node]:
        """Reductions of the same things by each other: smallest <= mean <= largest <= logsumexp."""
        groups: dict[tuple[tuple[Node, ...], str, bool], dict[str, Node]] = {}
        for v in variables(node):
            if v.op == "reduce" and v.slot not in ("better", "worse"):
                groups.setdefault((v.args, v.slot, v.batch), {})[v.data.removeprefix("batch ")] = v
        swap: dict[Node, Node] = {}
        for group in groups.values():
            ordered = [group[way] for way in ("smallest", "mean", "largest", "logsumexp") if way in group]
            for lower, upper in pairwise(ordered):
                swap[upper] = self.s.call("sub", swap.get(lower, lower), self._gap(f"{lower.data} less {upper.data}", upper, -NONNEGATIVE))
        return swap

    def _of_members(self, node: Node) -> dict[Node, Node]:
        """A largest, a smallest or a logsumexp by the example or completion at hand, which is one of those that it is of."""
        swap: dict[Node, Node] = {}
        for v in variables(node):
            if v.op != "reduce" or not (v.batch or v.slot in OWN) or v in self.view.maybe_empty:
                continue
            own = v.args[0]
            if not v.batch:
                member = _member(node, v.slot)
                own = self.s.substitute(own, {w: self.s.variable(w.data, member, w.axes) for w in variables(own) if w.slot == "other"})
            way = v.data.removeprefix("batch ")
            if way in ("largest", "logsumexp"):
                name = LARGEST if way == "largest" else "own less logsumexp"
                swap[v] = self.s.call("sub", own, self._gap(name, v, -NONNEGATIVE))
            elif way == "smallest":
                swap[v] = self.s.call("sub", own, self._gap(SMALLEST, v))
        return swap

    def _of_tokens(self, node: Node) -> dict[Node, Node]:
        """Jensen: the mean of a convex function of tokens is not below the function of their mean; of a concave one, not above."""
        swap: dict[Node, Node] = {}
        for v in variables(node):
            inner = v.args[0] if v.op == "reduce" and v.data in ("total", "mean") and v.slot else None
            bend = _bend(inner)
            if inner is None or bend is None or self.view.linear(inner.args[0]) is None:
                continue
            over = "mean" if inner.data != "abs" else v.data  # a multiple of an absolute value is that of the multiple
            at_mean = self.s.call(inner.data, self.view.over_tokens(over, inner.args[0], v.slot), *inner.args[1:])
            swap[v] = self.s.call(bend, at_mean, self._gap("beyond that of the mean", v))
            if v.data != over:
                swap[v] = self.s.call("mul", self.view.length(v.slot), swap[v])
        self.box |= {v: span for v, span in self.view.box.items() if v not in self.box}
        return swap

    def _of_a_token(self, node: Node) -> dict[Node, Node]:
        """A sum over tokens by one of them, where all have the same sign; a length by a position in it."""
        swap: dict[Node, Node] = {}
        found = variables(node)
        for token in (v for v in found if "token" in v.axes and v.op == "input"):
            name, span = SUMMED.get(token.data, f"{SUM_OF}{token.data}"), self.box.get(token)
            way = "sub" if span is not None and span.nonpositive else "add"
            if token.data == "position":
                name = "length"
            total = self.s.variable(name, token.slot)
            if total in found and span is not None and span.sign() is not None:
                swap[total] = self.s.call(way, token, self._gap("the other tokens", total))
        return swap


def _member(node: Node, population: str) -> str:
    """A completion that the scalar speaks of and that belongs to the population; every one of the list belongs to all."""
    named = (v.slot for v in variables(node) if v.slot in ("best", "worst"))
    if population != "all":
        return "completion"
    return next(named, "completion")


def _bend(node: Node | None) -> str | None:
    """`add` for a convex function of one argument (or a square), `sub` for a concave one: on which side of its mean it lies."""
    if node is None or node.op != "apply":
        return None
    if node.data == "pow" and node.args[1].op == "number" and node.args[1].data == 2:
        return "add"
    if len(node.args) != 1:
        return None
    words: dict[str, str] = {"convex": "add", "concave": "sub"}
    return words.get(FUNCTIONS[node.data].curvature)
