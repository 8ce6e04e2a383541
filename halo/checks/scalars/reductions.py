"""Reductions, ranks and sorts of a graph as scalars, for whoever stands along the axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import inf

from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import is_number, variables
from halo.checks.scalars.inputs import NEVER_EMPTY, Where
from halo.checks.scalars.sums import Sums
from halo.compiler.graph import Node, topological


@dataclass
class Reductions(Sums):
    """Reads what ranges over tokens, the list, the example or the batch."""

    def _holds(self, mask: Node, where: Where) -> bool:
        """Whether the item at hand exists: its label fits, and of an instantiated list, its place does."""
        if mask.op == "apply":
            return all(self._holds(a, where) for a in mask.args)
        if mask.op in ("view", "select", "reduce"):
            return self._holds(mask.args[0], where)
        if mask.data in ("desirable", "undesirable"):
            return where.label in ("", mask.data)
        if where.members and mask.data in _POPULATION:
            return _POPULATION[mask.data](where.members.index(where.list), where.members.index(where.other))
        return True

    def _reduced(self, node: Node, where: Where) -> Node:
        if node.over == ("token",):
            return self.over_tokens(node.data, self.scalar(node.args[0], where), self._owner(node, where))
        if where.members and {"list", "other"} & set(node.over):
            return self._over_members(node, where)
        if {"list", "other"} & set(node.over):
            return self._over_list(node, where)
        if node.batch:
            return self._over_batch(node, where)
        return self._over_example(node, where)

    def _over_list(self, node: Node, where: Where) -> Node:
        inner, population = self.scalar(node.args[0], where), ""
        if len(node.args) > 1:
            population = node.args[1].data
        if self.graph.feedback.has_scores and population in ("worse", "better"):
            own, other = (self.s.variable("score", slot) for slot in (where.list, where.other))
            ranked = self._lower(own, where.other)
            if population == "better":  # as far above as that is below
                ranked = self.s.call("add", own, self.s.call("sub", own, ranked))
            inner = self.s.substitute(inner, {other: ranked})
        slope = self._common_slope(inner)
        if slope is None:
            return self._opaque(node.data, inner, population, maybe_empty=population == "pairs")
        still = self.variant(shifts={}).scalar(node, where)
        if is_number(slope, 0) or node.data == "std":
            return still
        if node.data == "logsumexp" or (node.data in ("mean", "largest", "smallest") and population in NEVER_EMPTY):
            return self.s.call("add", still, self.s.call("mul", slope, self.s.variable("c")))
        return self._opaque(node.data, inner, population, maybe_empty=population == "pairs")

    def _common_slope(self, inner: Node) -> Node | None:
        """k, if log Z(x) = c adds k c to the quantity of every completion of the list; None if that is not so, or not asked."""
        if not self.shifts:
            return None
        c, plain = self.s.variable("c"), self.unstopped(inner)
        slope = self.s.derivative(plain, c)
        hidden = any(c in topological([v]) for v in variables(plain) if v.op == "reduce")
        own = any(v is c or v is self.z or v.slot or v.op == "reduce" for v in variables(slope))
        if hidden or own:
            return None
        return slope

    def _ordered(self, node: Node, where: Where) -> Node:
        """A place among the others: a variable. Of two it is written out, and a sort in a batch of one is its number."""
        inner = self.scalar(node.args[0], where)
        if node.data == "sort" and self.alone:
            return inner
        if node.data == "sort":
            return self._opaque("batch sort", inner, "")
        if self._common_slope(inner) is not None:
            return self.variant(shifts={}).scalar(node, where)
        if where.members:
            return self._rank_of_two(node, where)
        return self._opaque(f"rank of {where.list}", inner, "all", Span(Fraction(1), inf))

    def _rank_of_two(self, node: Node, where: Where) -> Node:
        """1 or 2. Which of equal ones is the earlier is a coin that nobody knows the fall of; that of the other falls opposite."""
        first, second = (self.scalar(node.args[0], self._moved(where, "list", member)) for member in where.members)
        zero, one, two = (self.s.number(n) for n in (0, 1, 2))
        coin = self.declare(self.s.variable("order of equal ones"), REALS)

        def chosen(word: str, left: Node, then: Node, otherwise: Node) -> Node:
            return self.s.call("where", self.s.apply(word, left, zero), then, otherwise)

        gap = self.s.call("sub", first, second)
        rank = chosen("gt", gap, one, chosen("lt", gap, two, chosen("gt", coin, one, two)))
        if where.list == where.members[0]:
            return rank
        return self.s.call("sub", self.s.number(3), rank)

    def _owner(self, node: Node, where: Where) -> str:
        slot, axis = node.args[0].tokens or ("", "")
        if axis == "other":
            return where.other
        if self.is_list and slot == "completion":
            return where.list
        return slot

    def _over_members(self, node: Node, where: Where) -> Node:
        """A list or pair reduction over two completions, written out."""
        value, masks = node.args[0], _masks(node)
        spots = [where]
        for axis in ("list", "other"):
            if axis in node.over:
                spots = [self._moved(spot, axis, member) for spot in spots for member in where.members]
        kept = [spot for spot in spots if all(self._holds(mask, spot) for mask in masks)]
        items = [self.scalar(value, spot) for spot in kept]
        if "token" not in node.over:
            return self._combined(node.data, items, [])
        items = [self.over_tokens("total", item, spot.list) for item, spot in zip(items, kept, strict=True)]
        return self._combined(node.data, items, [self.length(spot.list) for spot in kept])

    def _moved(self, spot: Where, axis: str, member: str) -> Where:
        if axis == "list":
            return Where(member, spot.other, spot.members, spot.label)
        return Where(spot.list, member, spot.members, spot.label)

    def _over_batch(self, node: Node, where: Where) -> Node:
        """A reduction over the batch: opaque among several examples, the value itself in a batch of one."""
        if self.shifts:  # the other examples have constants of their own: here 0
            return self.variant(shifts={}).scalar(node, where)
        inner = self.scalar(node.args[0], where)
        if not self.alone:
            return self._opaque(f"batch {node.data}", inner, "", maybe_empty=any(map(_may_be_nowhere, node.args[1:])))
        if node.data == "std" or not all(self._holds(mask, where) for mask in node.args[1:]):
            return self.s.number(0)
        return inner

    def _over_example(self, node: Node, where: Where) -> Node:
        """The last reductions in a batch of one example."""
        inner = self.scalar(node.args[0], where)
        if not all(self._holds(mask, where) for mask in _masks(node)):
            return self.s.number(0)
        if "token" in node.over and node.args[0].tokens:
            return self.over_tokens(node.data, inner, self._owner(node, where))
        if node.data in ("count", "any"):
            return self.s.number(1)
        return inner


def _masks(reduction: Node) -> list[Node]:
    """Which items a reduction takes: by its own mask, and by that of what it reduces."""
    value, *masks = reduction.args
    if value.op == "apply" and value.data == "only":
        masks.append(value.args[0])
    return masks


def _may_be_nowhere(mask: Node) -> bool:
    """Whether no item of a batch may have it: a label that no example has, or pairs of lists whose completions are all as good."""
    return any(node.op == "mask" and node.data in ("desirable", "undesirable", "pairs") for node in topological([mask]))


_POPULATION: dict[str, Callable[[int, int], bool]] = {
    "pairs": lambda i, j: i < j,
    "all": lambda i, j: True,
    "others": lambda i, j: i != j,
    "better": lambda i, j: j < i,
    "worse": lambda i, j: j > i,
    "suffix": lambda i, j: j >= i,
}  # fmt: skip
"""Which completions a word means, seen from the one at place i of the list, best first."""
