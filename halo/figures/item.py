"""One item of an objective as exact numbers: v, the loss and its slope at any margin, and the margin at policy = reference.

Evaluated from the graph as declared, to 40 digits: `z` is replaced by a number, and data that stands beside it (columns, list
words) is held at a stated value.
"""

from __future__ import annotations

import random
from typing import Any, Literal

import mpmath

from halo.compiler.graph import Node, Part, text, topological
from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError
from halo.objective.vocabulary import FUNCTIONS

EXACT = mpmath.MPContext()
EXACT.dps = 40
STEP = EXACT.mpf("1e-12")  # of the central difference: its error is of order STEP**2, far below a float's
SWITCHES = ("min", "max", "clip", "relu", "abs", "sign", "where")
LOGS = ("logp", "ref_logp", "old_logp")
UNDEFINED = (ValueError, ZeroDivisionError, OverflowError)
Against = Literal["z", "gap"]


class Item:
    """The loss of one item as a function of x: z itself, or the gap that z is made of.

    Raises SettingsError where the gap makes no z by itself; its functions raise `UNDEFINED` outside their domain.
    """

    def __init__(self, compiled: CompiledObjective, part: Part, parameters: dict[str, float], against: Against) -> None:
        self.compiled, self.part, self.against = compiled, part, against
        self.parameters = {name: EXACT.mpf(repr(value)) for name, value in parameters.items()}
        self.moving = {node for node in topological([part.value]) if part.z in topological([node])}
        self.switches = [node for node in topological([part.value]) if node in self.moving and node.data in SWITCHES and node is not part.z]
        self.held: dict[str, float] = {}
        self.scale, self.shift = EXACT.mpf(1), EXACT.mpf(0)
        if against == "gap":
            self.scale, self.shift = (self.plain(node, default) for node, default in ((part.normalizer, 1), (part.margin, 0)))

    def plain(self, node: Node | None, default: int) -> Any:
        if node is None:
            return EXACT.mpf(default)
        if not node.plain:
            what, place = text(node, self.compiled.declared.labels), Place("--against")
            raise SettingsError(
                "wrong-value", f"{self.compiled.objective.name}: {what} is no fixed number", place=place, hint="--against z"
            )
        return self.evaluate(node, {})

    def z(self, x: Any) -> Any:
        return self.scale * x - self.shift

    def value(self, x: Any) -> Any:
        return self.evaluate(self.part.value, {self.part.z: self.z(x)})

    def loss(self, x: Any) -> Any:
        weight = self.evaluate(self.part.weight, {})
        constant = self.evaluate(self.part.constant, {}) if self.part.constant else 0
        return weight * self.part.sign * self.value(x) + constant

    def slope(self, x: Any) -> Any:
        return (self.loss(x - STEP) - self.loss(x + STEP)) / (2 * STEP)

    def evaluate(self, node: Node, known: dict[Node | None, Any]) -> Any:
        """The node's number; `known` holds z and takes what is computed."""
        if node not in known:
            known[node] = self.computed(node, known)
        return known[node]

    def computed(self, node: Node, known: dict[Node | None, Any]) -> Any:
        if node.op == "number":
            return EXACT.mpf(node.data.numerator) / node.data.denominator
        if node.op == "parameter":
            return self.parameters[node.data]
        if node.op == "view" or (node.op == "order" and node.data == "rank"):  # another completion's z, and the place among them
            return self.hold(node)
        if node.op != "apply" and node in self.moving:  # z over one token or in one list: a reduction of one number is that number
            self.held["items at once"] = 1.0
            return self.evaluate(node.args[0], known)
        if node.op != "apply" or (node in self.compiled.declared.labels and not node.plain and node not in self.moving):
            return self.hold(node)
        return applied(node.data, [self.evaluate(argument, known) for argument in node.args])

    def hold(self, node: Node) -> Any:
        """Data beside z: a column at its default, anything else at 1."""
        column = self.compiled.objective.declaration.columns.get(node.data) if node.op == "input" else None
        value = float(column.default) if column and column.default is not None else 1.0
        self.held[text(node, self.compiled.declared.labels)] = value
        return EXACT.mpf(repr(value))

    def sides(self, x: Any) -> tuple[int, ...] | None:
        """Which side every switch (min, clip, where, ...) takes at x; None where v is not defined."""
        known: dict[Node | None, Any] = {self.part.z: self.z(x)}
        try:
            self.evaluate(self.part.value, known)
        except UNDEFINED:
            return None
        return tuple(_side(node.data, [known[a] for a in node.args]) for node in self.switches)


def applied(function: str, arguments: list[Any]) -> Any:
    """A function's number. The graph's own helpers are what they are for one item."""
    if function == "only":
        return arguments[1]
    if function == "and":
        return EXACT.mpf(1)
    if function == "at_least_one":
        return max(EXACT.mpf(1), *arguments)
    result = FUNCTIONS[function].exact(EXACT, *arguments)
    if isinstance(result, EXACT.mpc):
        raise ValueError(f"{function} is not defined there")  # mpmath goes on in complex numbers, torch does not
    return result


def _side(function: str, arguments: list[Any]) -> int:
    if function in ("min", "max"):
        return int(arguments.index((min if function == "min" else max)(arguments)))
    if function == "clip":
        return int(arguments[0] > arguments[1]) + int(arguments[0] > arguments[2])
    return int(bool(arguments[0])) if function == "where" else int(arguments[0] > 0)


def agreement(part: Part, item: Item) -> float | None:
    """x of an item whose policy, reference and sampler agree on every token; None if the data decides."""
    assert part.z is not None
    try:
        found = [_Drawn(item, draw).evaluate(part.z, "") for draw in (1, 2, 3)]
    except UNDEFINED:
        return None
    if any(abs(z - found[0]) > 1e-15 for z in found):
        return None
    return float((found[0] + item.shift) / item.scale)


class _Drawn:
    """Numbers drawn for everything that data decides, one set for each `draw`; policy = reference = sampler."""

    def __init__(self, item: Item, draw: int) -> None:
        self.item, self.draw = item, draw
        self.known: dict[tuple[Node, str], Any] = {}

    def drawn(self, *what: str) -> Any:
        return EXACT.mpf(repr(random.Random(f"{self.draw} {' '.join(what)}").uniform(1, 3)))

    def evaluate(self, node: Node, side: str) -> Any:
        """The node's number; `side` tells apart the completions of a list, and the rest of the batch from this example."""
        key = (node, side)
        if key not in self.known:
            self.known[key] = self.computed(node, side)
        return self.known[key]

    def computed(self, node: Node, side: str) -> Any:
        if node.op in ("number", "parameter"):
            return self.item.evaluate(node, {})
        if node.op == "input":
            if node.data == "log_sum_sq_probs":
                return -self.drawn(node.data, node.slot, side)
            return -self.drawn("log", node.slot, side) if node.data in LOGS else self.drawn(node.data, node.slot, side)
        if node.op in ("mask", "examples"):
            return EXACT.mpf(1)
        if node.op == "statistic":
            return EXACT.mpf(repr(float(self.item.compiled.declared.statistics[node.data].start)))
        if node.op == "order" and node.data == "rank":
            return self.drawn("rank", side)
        if node.op == "view":
            return self.evaluate(node.args[0], "other")
        if node.op in ("select", "stop", "order"):
            return self.evaluate(node.args[0], str(node.data) if node.op == "select" else side)
        if node.op == "reduce":
            return self.reduced(node, "batch" if node.batch else side)
        return applied(node.data, [self.evaluate(argument, side) for argument in node.args])

    def reduced(self, node: Node, side: str) -> Any:
        """What is the same everywhere is its own mean and extreme; a sum of it depends on how many there are."""
        x = self.evaluate(node.args[0], side)
        tokens = node.args[0].tokens
        count = self.drawn("length", tokens[0], side) if tokens and node.over == ("token",) else self.drawn("count", *node.over, side)
        if node.data == "total":
            return x * count
        if node.data == "logsumexp":
            return x + EXACT.log(count)
        return abs(x - self.evaluate(node.args[0], f"{side} again")) if node.data == "std" else x
