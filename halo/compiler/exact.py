"""A LossGraph on one small batch in as many digits as one likes: no torch, no padding, no rewriting.

It is what generated code is compared with (`halo.loss.validation`), so it shares nothing with it but the graph and the
`exact` column of the vocabulary. Rows are ragged lists. The conventions are those of `halo.loss.inputs` and `words`: a
reduction of nothing is 0 (logsumexp: -inf), rank 1 is best and equal ranks are ties, the first best completion is the
best, a completion without tokens is absent from its list. What is not a real number (log of -1, 0 / 0) is nan.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mpmath import mp

from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS

Key = tuple[int, ...]
"""One number for each axis of a node, in their order: which example, completion, other completion, token."""

Rounding = Callable[[Node, int, Any], Any]
"""What becomes of the i-th number of a computed node; `validation` studies rounding errors with it."""

GROWING = ("exp", "expm1", "sinh", "cosh", "tanh")
FAR = 2**40  # past it these see infinity: exp(1e217) has 200 digits of exponent and takes seconds


@dataclass(frozen=True)
class Row:
    """One completion: a number for each scored token. Floats stand for their exact value.

    columns   numbers from the data by name (`score` is one of them): one number, or one for each token; and the
              full-vocabulary words (`entropy`, ...), one for each token
    """

    logp: Sequence[Any]
    ref_logp: Sequence[Any] = ()
    old_logp: Sequence[Any] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExactBatch:
    """One effective batch, ragged.

    rows       by slot, for each example its Row; for the slot `completion` of ranked and scored feedback a list of Rows
    desirable  labelled feedback: for each example whether it is
    ranks      ranked and scored feedback: for each example the rank of each completion
    columns    example columns by name: a number for each example
    vocab_size how many tokens the model's head chooses from
    """

    rows: Mapping[str, Sequence[Any]]
    desirable: Sequence[bool] = ()
    ranks: Sequence[Sequence[int]] = ()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    vocab_size: int = 0

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(next(iter(self.rows.values())))


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
        self.present = [
            [k for k, row in enumerate(rows) if len(row.logp)] if isinstance(rows, Sequence) else []
            for rows in batch.rows.get("completion", [()] * batch.examples)
        ]
        self._keys: dict[Node, list[Key]] = {}
        self._picks: dict[Node, Any] = {}

    def number(self, value: Any) -> Any:
        """An int, float, Fraction or mpf as a number of this precision."""
        return self.m.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else self.m.mpf(value)

    def values(
        self, outputs: Iterable[Node], batch: ExactBatch, frozen: Mapping[Node, Any] | None = None, rounding: Rounding | None = None
    ) -> dict[Node, Any]:
        """See `evaluate`."""
        wanted, given = list(outputs), frozen or {}
        done: dict[Node, list[Any]] = {}
        for node in _ordered(wanted, given):
            if node in given:
                done[node] = [given[node][key] for key in self.keys(node)] if node.axes else [given[node]]
                continue
            done[node] = self._computed(node, batch, [done[a] for a in node.args])
            if rounding is not None and node.op in ("number", "apply", "reduce"):  # an order rounds nothing
                done[node] = [x if isinstance(x, bool) else rounding(node, i, x) for i, x in enumerate(done[node])]
        shown = [*wanted, *(node for node in done if node.op == "stop")]
        return {n: dict(zip(self.keys(n), done[n], strict=True)) if n.axes else done[n][0] for n in shown}

    # -- which indices there are -----------------------------------------------------------------------------------

    def keys(self, node: Node) -> list[Key]:
        """Every index the node has a value at."""
        if node not in self._keys:
            self._keys[node] = self._found_keys(node)
        return self._keys[node]

    def _found_keys(self, node: Node) -> list[Key]:
        if node.op in ("view", "stop", "order"):
            return self.keys(node.args[0])
        if node.op == "select":
            where = node.args[0].axes.index("list")
            chosen = [self.selected(str(node.data), b) for b in range(self.shape.examples)]
            return [key[:where] + key[where + 1 :] for key in self.keys(node.args[0]) if key[where] == chosen[key[0]]]
        if node.op in ("input", "mask") and "token" in node.axes:
            outer = self.without_tokens(node.axes[:-1])
            return [(*key, t) for key in outer for t in range(len(self._row(self.shape, node.slot, key).logp))]
        return self.spread(node.axes, node.args)

    def without_tokens(self, axes: Sequence[str]) -> list[Key]:
        """Every index of axes that are not the tokens."""
        if not axes:
            return [()]
        return [(b, *rest) for b in range(self.shape.examples) for rest in itertools.product(*(self.present[b] for _ in axes[1:]))]

    def spread(self, axes: Sequence[str], args: Sequence[Node]) -> list[Key]:
        """Every index of what is made of `args` and has `axes`; the tokens are those of the argument that has some."""
        source = next((a for a in args if "token" in a.axes), None)
        if "token" not in axes or source is None:
            return self.without_tokens(axes)
        missing = [axis for axis in axes if axis not in source.axes]
        result = []
        for key in self.keys(source):
            at = dict(zip(source.axes, key, strict=True))
            for rest in itertools.product(*(self.present[key[0]] for _ in missing)):
                at.update(zip(missing, rest, strict=True))
                result.append(tuple(at[axis] for axis in axes))
        return result

    def selected(self, which: str, b: int) -> int:
        """Index of the first best or worst completion of an example."""
        ranks = self.shape.ranks[b]
        return min(self.present[b], key=lambda k: ranks[k] if which == "best" else -ranks[k])

    def _row(self, batch: ExactBatch, slot: str, key: Key) -> Row:
        row = batch.rows[slot][key[0]]
        found: Row = row if isinstance(row, Row) else row[key[1]]
        return found

    # -- values ----------------------------------------------------------------------------------------------------

    def _computed(self, node: Node, batch: ExactBatch, args: list[list[Any]]) -> list[Any]:
        if node.op == "number":
            return [self.number(node.data)]
        if node.op in ("parameter", "statistic"):
            return [self.parameters[node.data]]
        if node.op == "examples":
            return [self.number(self.shape.examples)]
        if node.op == "input":
            return [self.number(self._input(node, batch, key)) for key in self.keys(node)]
        if node.op == "mask":
            return [self._mask(str(node.data), key) for key in self.keys(node)]
        if node.op in ("view", "stop"):
            return args[0]
        if node.op == "order":
            return self._ordered(node, args[0])
        picks = self.picks(node)
        if node.op == "reduce":
            kept = [[args[0][i] for i, j in group if j is None or args[1][j]] for group in picks]
            return [self._reduced(str(node.data), values) for values in kept]
        if node.op == "select":
            return [args[0][i] for i in picks]
        return [self.applied(str(node.data), [arg[i] for arg, i in zip(args, pick, strict=True)]) for pick in picks]

    def picks(self, node: Node) -> Any:
        """Where the arguments' numbers lie: for each number of an `apply` one of each, of a `reduce` a group of pairs."""
        if node not in self._picks:
            self._picks[node] = self._found_picks(node)
        return self._picks[node]

    def _found_picks(self, node: Node) -> Any:
        index = [{key: i for i, key in enumerate(self.keys(a))} for a in node.args]
        if node.op == "apply":
            return [tuple(at[key] for at, key in zip(index, _projected(node, key), strict=True)) for key in self.keys(node)]
        if node.op == "select":
            where = node.args[0].axes.index("list")
            return [index[0][(*key[:where], self.selected(str(node.data), key[0]), *key[where:])] for key in self.keys(node)]
        axes = [axis for axis in ("example", "list", "other", "token") if any(axis in a.axes for a in node.args)]
        groups: dict[Key, list[tuple[int, int | None]]] = {key: [] for key in self.keys(node)}
        for key in self.spread(axes, node.args):
            at = dict(zip(axes, key, strict=True))
            own = [places[tuple(at[axis] for axis in a.axes)] for places, a in zip(index, node.args, strict=True)]
            groups[tuple(at[axis] for axis in node.axes)].append((own[0], own[1] if len(own) > 1 else None))
        return list(groups.values())

    def _ordered(self, node: Node, values: list[Any]) -> list[Any]:
        """A rank or a sort along one axis: the order of the keys breaks ties. What is compared with no number is none."""
        where, result = node.axes.index(node.over[0]), list(values)
        groups: dict[Key, list[int]] = {}
        for i, key in enumerate(self.keys(node)):
            groups.setdefault(key[:where] + key[where + 1 :], []).append(i)
        for group in groups.values():
            rising = sorted(group, key=lambda i: values[i] if node.data == "sort" else -values[i])
            for place, i in enumerate(rising):
                result[i] = self.m.mpf(place + 1) if node.data == "rank" else values[i]
            if node.data == "sort":
                for i, source in zip(group, rising, strict=True):
                    result[i] = values[source]
            if any(values[i] != values[i] for i in group):
                result = [self.m.nan if i in group else x for i, x in enumerate(result)]
        return result

    def _input(self, node: Node, batch: ExactBatch, key: Key) -> Any:
        name = str(node.data)
        if not node.axes:
            return getattr(batch, name)
        if not node.slot:
            return batch.columns[name][key[0]]
        row = self._row(batch, node.slot, key)
        if name == "length":
            return len(row.logp)
        if name == "position":
            return key[-1] + 1
        value = getattr(row, name) if name in ("logp", "ref_logp", "old_logp") else row.columns[name]
        return value[key[-1]] if "token" in node.axes else value

    def _mask(self, name: str, key: Key) -> bool:
        if name in ("mask", "present", "all"):  # indices exist only where this holds
            return True
        if name in ("desirable", "undesirable"):
            return bool(self.shape.desirable[key[0]]) == (name == "desirable")
        own, other = (self.shape.ranks[key[0]][k] for k in key[1:])
        holds = {"pairs": own < other, "worse": own < other, "better": own > other, "suffix": own <= other, "others": key[1] != key[2]}
        return holds[name]

    def applied(self, word: str, given: list[Any]) -> Any:
        """One element-wise function of numbers; nan where it is not defined."""
        m = self.m
        if word == "and":
            return all(given)
        if word == "only":
            return given[1] if given[0] else m.mpf(0)
        if word == "where":
            return m.nan if given[0] != given[0] else given[1] if given[0] else given[2]
        if any(x != x for x in given):
            return m.nan
        if word == "at_least_one":
            return max(given[0], m.mpf(1))
        try:
            result = FUNCTIONS[word].exact(m, *given)
        except (ValueError, ArithmeticError):
            return m.nan
        return m.nan if isinstance(result, m.mpc) else result

    def _reduced(self, way: str, values: list[Any]) -> Any:
        m, n = self.m, len(values)
        if way == "count":
            return m.mpf(n)
        if way == "any":
            return any(values)
        if not values:
            return -m.inf if way == "logsumexp" else m.mpf(0)
        if any(x != x for x in values):
            return m.nan
        if way in ("largest", "smallest"):
            return max(values) if way == "largest" else min(values)
        if way == "logsumexp":
            return m.log(m.fsum(self.applied("exp", [x]) for x in values))
        total = m.fsum(values)
        if way == "total":
            return total
        if way == "mean":
            return total / n
        assert way == "std", way
        return m.sqrt(m.fsum((x - total / n) ** 2 for x in values) / (n - 1)) if n > 1 else m.mpf(0)


def _far(function: Callable[..., Any], infinity: Any) -> Callable[..., Any]:
    """A function that grows as exp does, at infinity where its argument is far out."""

    def bounded(x: Any) -> Any:
        if abs(x) <= FAR:
            return function(x)
        return function(infinity if x > 0 else -infinity)

    return bounded


def _projected(node: Node, key: Key) -> list[Key]:
    at = dict(zip(node.axes, key, strict=True))
    return [tuple(at[axis] for axis in a.axes) for a in node.args]


def _ordered(outputs: Iterable[Node], given: Mapping[Node, Any]) -> list[Node]:
    """Every node that is needed, arguments first; nothing below a node whose value is given."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in order:
            for argument in () if node in given else node.args:
                visit(argument)
            order[node] = None

    for output in outputs:
        visit(output)
    return list(order)
