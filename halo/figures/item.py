"""One item of an objective as a curve: v, the loss and its slope at any margin, and the margin at policy = reference.

The graph as declared is read as scalars of z, with data that stands beside it (columns, list words) held at a stated value;
these are evaluated to 40 digits.
"""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any, Literal

import mpmath

from halo.analysis.numbers.digits import Digits
from halo.analysis.scalar import Scalars, is_number, switching_pairs, topological_scalar, variables
from halo.analysis.values import Program
from halo.compiler.graph import Node, Part, topological
from halo.compiler.graph_text import text
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError

EXACT = mpmath.MPContext()
EXACT.dps = 40
STEP = EXACT.mpf("1e-12")  # of the central difference: its error is of order STEP**2, far below a float's
LOGS = ("logp", "ref_logp", "old_logp")
Against = Literal["z", "gap"]


class Item:
    """The loss of one item as a function of x: z itself, or the gap that z is made of.

    Raises SettingsError where the gap makes no z by itself; its functions are nan outside their domain.
    """

    def __init__(self, compiled: CompiledObjective, part: Part, parameters: dict[str, float], against: Against) -> None:
        self.compiled, self.part, self.against = compiled, part, against
        self.s = Scalars()
        self.parameters = {name: self.literal(value) for name, value in parameters.items()}
        self.moving = {node for node in topological([part.value]) if part.z in topological([node])}
        self.held: dict[str, float] = {}
        self.scale, self.shift = EXACT.mpf(1), EXACT.mpf(0)
        if against == "gap":
            self.scale, self.shift = (self.plain(node, default) for node, default in ((part.normalizer, 1), (part.margin, 0)))
        self.margin = self.s.variable("z")
        self.known: dict[Node | None, Node] = {part.z: self.margin}
        value = self.read(part.value)
        loss = self.s.call("mul", self.s.call("mul", self.read(part.weight), self.s.number(part.sign)), value)
        if part.constant is not None:
            loss = self.s.call("add", loss, self.read(part.constant))
        self._value, self._loss = (Program([node], [self.margin], Digits(EXACT)) for node in (value, loss))
        pairs = [pair for pair in switching_pairs(value) if any(self.margin in topological_scalar(side) for side in pair)]
        self._switches = Program([side for pair in pairs for side in pair], [self.margin], Digits(EXACT))

    def literal(self, value: float) -> Node:
        """The number that a float is written as."""
        return self.s.number(Fraction(repr(value)))

    def plain(self, node: Node | None, default: int) -> Any:
        """A number of the objective that no data decides."""
        if node is None:
            return EXACT.mpf(default)
        if not node.plain:
            what, place = text(node, self.compiled.declared.labels), Place("--against")
            raise SettingsError(
                "wrong-value", f"{self.compiled.objective.name}: {what} is no fixed number", place=place, hint="--against z"
            )
        self.known = {}
        return Program([self.read(node)], [], Digits(EXACT))([])[0]

    def z(self, x: Any) -> Any:
        return self.scale * x - self.shift

    def value(self, x: Any) -> Any:
        return self._value([self.z(x)])[0]

    def loss(self, x: Any) -> Any:
        return self._loss([self.z(x)])[0]

    def slope(self, x: Any) -> Any:
        return (self.loss(x - STEP) - self.loss(x + STEP)) / (2 * STEP)

    def sides(self, x: Any) -> tuple[bool, ...] | None:
        """Which side every switch (min, clip, where, ...) takes at x; None where v is not defined."""
        value = self.value(x)
        if value != value:
            return None
        numbers = self._switches([self.z(x)])
        return tuple(bool(first > second) for first, second in zip(numbers[::2], numbers[1::2], strict=True))

    # -- from the graph to scalars ---------------------------------------------------------------------------------------

    def read(self, node: Node) -> Node:
        """The node as a scalar of z."""
        if node not in self.known:
            self.known[node] = self._read(node)
        return self.known[node]

    def _read(self, node: Node) -> Node:
        if node.op == "number":
            return self.s.number(node.data)
        if node.op == "parameter":
            return self.parameters[node.data]
        if node.op == "view" or (node.op == "order" and node.data == "rank"):  # another completion's z, and the place among them
            return self.hold(node)
        if node.op != "apply" and node in self.moving:  # z over one token or in one list: a reduction of one number is that number
            self.held["items at once"] = 1.0
            return self.read(node.args[0])
        if node.op != "apply" or (node in self.compiled.declared.labels and not node.plain and node not in self.moving):
            return self.hold(node)
        return applied(self.s, node.data, [self.read(argument) for argument in node.args])

    def hold(self, node: Node) -> Node:
        """Data beside z: a column at its default, anything else at 1."""
        value = 1.0
        if node.op == "input":
            column = self.compiled.objective.declaration.columns.get(node.data)
            if column is not None and column.default is not None:
                value = float(column.default)
        self.held[text(node, self.compiled.declared.labels)] = value
        return self.literal(value)


def applied(s: Scalars, function: str, arguments: list[Node]) -> Node:
    """A function of scalars. The graph's own helpers are what they are for one item."""
    if function == "only":
        return arguments[1]
    if function == "and":
        return s.number(1)
    if function == "at_least_one":
        return s.call("max", s.number(1), *arguments)
    if function == "where" and is_number(arguments[0]):
        mask, holds, otherwise = arguments
        return otherwise if is_number(mask, 0) else holds
    return s.call(function, *arguments)


def agreement(part: Part, item: Item) -> float | None:
    """x of an item whose policy, reference and sampler agree on every token; None if the data decides."""
    assert part.z is not None
    z = _Agreeing(item).read(part.z, "")
    drawn = variables(z)
    program = Program([z], drawn, Digits(EXACT))
    found = [program([_drawn(draw, str(v.data)) for v in drawn])[0] for draw in (1, 2, 3)]
    if any(not abs(z - found[0]) <= 1e-15 for z in found):  # of 40 digits, and less than a float shows
        return None
    return float((found[0] + item.shift) / item.scale)


def _drawn(draw: int, what: str) -> Any:
    return EXACT.mpf(repr(random.Random(f"{draw} {what}").uniform(1, 3)))


class _Agreeing:
    """The graph as scalars of what data decides, each a variable to be drawn; policy = reference = sampler."""

    def __init__(self, item: Item) -> None:
        self.item, self.s = item, item.s
        self.known: dict[tuple[Node, str], Node] = {}

    def drawn(self, *what: str) -> Node:
        return self.s.variable(" ".join(what))

    def read(self, node: Node, side: str) -> Node:
        """The node as a scalar; `side` tells apart the completions of a list, and the rest of the batch from this example."""
        key = (node, side)
        if key not in self.known:
            self.known[key] = self._read(node, side)
        return self.known[key]

    def _read(self, node: Node, side: str) -> Node:
        if node.op == "number":
            return self.s.number(node.data)
        if node.op == "parameter":
            return self.item.parameters[node.data]
        if node.op == "input":
            return self.given(node, side)
        if node.op in ("mask", "examples"):
            return self.s.number(1)
        if node.op == "statistic":
            return self.item.literal(float(self.item.compiled.declared.statistics[node.data].start))
        if node.op == "order" and node.data == "rank":
            return self.drawn("rank", side)
        if node.op == "view":
            return self.read(node.args[0], "other")
        if node.op == "select":
            return self.read(node.args[0], str(node.data))
        if node.op in ("stop", "order"):
            return self.read(node.args[0], side)
        if node.op == "reduce":
            return self.reduced(node, "batch" if node.batch else side)
        return applied(self.s, node.data, [self.read(argument, side) for argument in node.args])

    def given(self, node: Node, side: str) -> Node:
        """What data or models supply. All log-probs of a completion are one and the same; they are negative."""
        if node.data in LOGS:
            return self.s.call("neg", self.drawn("log", node.slot, side))
        if node.data == "log_sum_sq_probs":
            return self.s.call("neg", self.drawn(node.data, node.slot, side))
        return self.drawn(node.data, node.slot, side)

    def count(self, node: Node, side: str) -> Node:
        """How many a reduction is over: the tokens of a completion have its length."""
        tokens = node.args[0].tokens
        if tokens and node.over == ("token",):
            return self.drawn("length", tokens[0], side)
        return self.drawn("count", *node.over, side)

    def reduced(self, node: Node, side: str) -> Node:
        """What is the same everywhere is its own mean and extreme; a sum of it depends on how many there are."""
        x, count = self.read(node.args[0], side), self.count(node, side)
        if node.data == "total":
            return self.s.call("mul", x, count)
        if node.data == "logsumexp":
            return self.s.call("add", x, self.s.call("log", count))
        if node.data == "std":
            return self.s.call("abs", self.s.call("sub", x, self.read(node.args[0], f"{side} again")))
        return x
