"""A LossGraph on one small batch in as many digits as one likes: no torch, no padding, no rewriting.

It is what generated code is compared with (`halo.loss.validation`), so it shares nothing with it but the graph and the
`exact` column of the vocabulary. Rows are ragged lists. The conventions are those of `halo.loss.inputs` and `words`: a
reduction of nothing is 0 (logsumexp: -inf), rank 1 is best and equal ranks are ties, the first best completion is the
best, a completion without tokens is absent from its list. What is not a real number (log of -1, 0 / 0) is nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mpmath import mp

from halo.compiler.graph import Node
from halo.compiler.indices import ExactBatch, Indices, Key, row_of
from halo.objective.vocabulary import FUNCTIONS

Rounding = Callable[[Node, int, Any], Any]
"""What becomes of the i-th number of a computed node; `validation` studies rounding errors with it."""

GROWING = ("exp", "expm1", "sinh", "cosh", "tanh")
FAR = 2**40  # past it these see infinity: exp(1e217) has 200 digits of exponent and takes seconds


def evaluate(
    outputs: Sequence[Node],
    batch: ExactBatch,
    parameters: Mapping[str, Any],
    digits: int = 60,
    frozen: Mapping[Node, Any] | None = None,
) -> dict[Node, Any]:
    """The value of every output, and of every `stop` node met: an mpf, or a dict by Key for a node with axes.

    `frozen` fixes the values of `stop` nodes (as returned by an earlier call), so that finite differences treat them as
    the constants that they are for the gradient. Parameters are floats, Fractions or mpfs, and running statistics stand
    among them, as the constants that they are. A mask's values are bools.
    """
    return Evaluator(batch, parameters, digits).values(outputs, batch, frozen)


class Evaluator:
    """Evaluates on batches that differ in the numbers of their rows only: which index meets which is found once."""

    def __init__(self, batch: ExactBatch, parameters: Mapping[str, Any], digits: int = 60) -> None:
        self.m = mp.clone()  # a context of its own: nobody else's precision changes, and nobody changes ours
        self.m.dps = digits
        for name in GROWING:
            setattr(self.m, name, _far(getattr(self.m, name), self.m.inf))
        self.shape = batch
        self.parameters = {name: self.number(value) for name, value in parameters.items()}
        self.indices = Indices(batch)

    def number(self, value: Any) -> Any:
        """An int, float, Fraction or mpf as a number of this precision."""
        if isinstance(value, Fraction):
            return self.m.mpf(value.numerator) / value.denominator
        return self.m.mpf(value)

    def values(
        self, outputs: Iterable[Node], batch: ExactBatch, frozen: Mapping[Node, Any] | None = None, rounding: Rounding | None = None
    ) -> dict[Node, Any]:
        """See `evaluate`."""
        wanted, given = list(outputs), frozen or {}
        done: dict[Node, list[Any]] = {}
        for node in _ordered(wanted, given):
            if node in given:
                done[node] = self._numbers(node, given[node])
                continue
            done[node] = self._computed(node, batch, [done[a] for a in node.args])
            if rounding is not None and node.op in ("number", "apply", "reduce"):  # an order rounds nothing
                done[node] = [x if isinstance(x, bool) else rounding(node, i, x) for i, x in enumerate(done[node])]
        shown = [*wanted, *(node for node in done if node.op == "stop")]
        return {node: self._value(node, done[node]) for node in shown}

    def _numbers(self, node: Node, value: Any) -> list[Any]:
        """A node's value, as `evaluate` gives it, as a list in the order of its keys."""
        if node.axes:
            return [value[key] for key in self.indices.keys(node)]
        return [value]

    def _value(self, node: Node, numbers: list[Any]) -> Any:
        """The other way round."""
        if node.axes:
            return dict(zip(self.indices.keys(node), numbers, strict=True))
        return numbers[0]

    # -- values ----------------------------------------------------------------------------------------------------

    def _computed(self, node: Node, batch: ExactBatch, args: list[list[Any]]) -> list[Any]:
        if node.op == "number":
            return [self.number(node.data)]
        if node.op in ("parameter", "statistic"):
            return [self.parameters[node.data]]
        if node.op == "examples":
            return [self.number(self.shape.examples)]
        if node.op == "input":
            return [self.number(self._input(node, batch, key)) for key in self.indices.keys(node)]
        if node.op == "mask":
            return [self.shape.holds(str(node.data), key) for key in self.indices.keys(node)]
        if node.op in ("view", "stop"):
            return args[0]
        if node.op == "order":
            return self._ordered(node, args[0])
        picks = self.indices.picks(node)
        if node.op == "reduce":
            kept = [[args[0][i] for i, j in group if j is None or args[1][j]] for group in picks]
            return [self._reduced(str(node.data), values) for values in kept]
        if node.op == "select":
            return [args[0][i] for i in picks]
        return [self.applied(str(node.data), [arg[i] for arg, i in zip(args, pick, strict=True)]) for pick in picks]

    def _ordered(self, node: Node, values: list[Any]) -> list[Any]:
        """A rank or a sort along one axis."""
        where, result = node.axes.index(node.over[0]), list(values)
        groups: dict[Key, list[int]] = {}
        for i, key in enumerate(self.indices.keys(node)):
            groups.setdefault(key[:where] + key[where + 1 :], []).append(i)
        for group in groups.values():
            placed = self._placed(str(node.data), [values[i] for i in group])
            for i, value in zip(group, placed, strict=True):
                result[i] = value
        return result

    def _placed(self, way: str, values: list[Any]) -> list[Any]:
        """The numbers in rising order, or the rank of each: the first of equals ranks first. What is compared with no number is none."""
        if any(x != x for x in values):
            return [self.m.nan] * len(values)
        if way == "sort":
            return sorted(values)
        ranks = list(values)
        falling = sorted(range(len(values)), key=lambda i: -values[i])
        for place, i in enumerate(falling):
            ranks[i] = self.m.mpf(place + 1)
        return ranks

    def _input(self, node: Node, batch: ExactBatch, key: Key) -> Any:
        name = str(node.data)
        if not node.axes:
            return getattr(batch, name)
        if not node.slot:
            return batch.columns[name][key[0]]
        row = row_of(batch, node.slot, key)
        if name == "length":
            return len(row.logp)
        if name == "position":
            return key[-1] + 1
        value = getattr(row, name) if name in ("logp", "ref_logp", "old_logp") else row.columns[name]
        if "token" in node.axes:
            return value[key[-1]]
        return value

    def applied(self, word: str, given: list[Any]) -> Any:
        """One element-wise function of numbers; nan where it is not defined."""
        m = self.m
        if word == "and":
            return all(given)
        if word == "only":
            return given[1] if given[0] else m.mpf(0)
        if word == "where" and given[0] == given[0]:  # what is not chosen may be nan
            return given[1] if given[0] else given[2]
        if any(x != x for x in given):
            return m.nan
        if word == "at_least_one":
            return max(given[0], m.mpf(1))
        try:
            result = FUNCTIONS[word].exact(m, *given)
        except (ValueError, ArithmeticError):
            return m.nan
        if isinstance(result, m.mpc):
            return m.nan
        return result

    def _reduced(self, way: str, values: list[Any]) -> Any:
        m, n = self.m, len(values)
        if way == "count":
            return m.mpf(n)
        if way == "any":
            return any(values)
        if not values and way == "logsumexp":
            return -m.inf
        if not values:
            return m.mpf(0)
        if any(x != x for x in values):
            return m.nan
        if way == "largest":
            return max(values)
        if way == "smallest":
            return min(values)
        if way == "logsumexp":
            return m.log(m.fsum(self.applied("exp", [x]) for x in values))
        total = m.fsum(values)
        if way == "total":
            return total
        if way == "mean":
            return total / n
        assert way == "std", way
        if n == 1:
            return m.mpf(0)
        return m.sqrt(m.fsum((x - total / n) ** 2 for x in values) / (n - 1))


def _far(function: Callable[..., Any], infinity: Any) -> Callable[..., Any]:
    """A function that grows as exp does, at infinity where its argument is far out."""

    def bounded(x: Any) -> Any:
        if abs(x) <= FAR:
            return function(x)
        if x > 0:
            return function(infinity)
        return function(-infinity)

    return bounded


def _ordered(outputs: Iterable[Node], given: Mapping[Node, Any]) -> list[Node]:
    """Every node that is needed, arguments first; nothing below a node whose value is given."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node in order:
            return
        if node not in given:
            for argument in node.args:
                visit(argument)
        order[node] = None

    for output in outputs:
        visit(output)
    return list(order)
