"""Scalars: graph nodes without axes, over variables. What the checks reason about instead of tensors.

A scalar is a `Node` like any other (numbers, parameters, inputs, functions), so that the vocabulary table speaks about
both. `Scalars` makes them with the trivial simplifications, differentiates and substitutes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any

from halo.analysis.budgets import MAX_BITS, MAX_POWER
from halo.analysis.numbers.rationals import Nothing, length, rational_value
from halo.compiler.graph import Builder, Node, topological
from halo.objective.formula import Formula, Name, Number, parsed
from halo.objective.vocabulary import FUNCTIONS, LETTERS, Kink

LEAVES = ("number", "parameter", "input", "reduce")
"""A reduction that survives as a scalar is opaque: a variable with a known definition."""


class Scalars(Builder):
    """Makes scalar nodes; equal ones are one object. Constants fold, 0 and 1 disappear where they do nothing."""

    def variable(self, name: str, slot: str = "", axes: tuple[str, ...] = ()) -> Node:
        """A free quantity."""
        return self.make(op="input", data=name, slot=slot, axes=axes)

    def call(self, function: str, *args: Node) -> Node:
        """A function of scalars, simplified. A word that is shorthand becomes its definition."""
        rule = _SIMPLER.get(function)
        simpler = rule(self, *args) if rule else self._of_numbers(function, args)
        if simpler is not None:
            return simpler
        row = FUNCTIONS[function]
        if row.shorthand:
            return self.formula(row.definition, **dict(zip(LETTERS, args, strict=False)))
        return self.apply(function, *args)

    def _of_numbers(self, function: str, args: tuple[Node, ...]) -> Node | None:
        """The value at literals, where it is a fraction of few digits."""
        if function in COMPARE or not all(map(is_number, args)):
            return None
        try:
            value = rational_value(function, [a.data for a in args])
        except Nothing:
            return None
        if value is None:
            return None
        return self.short(value)

    def short(self, value: Fraction) -> Node | None:
        """A literal, if it has few digits."""
        if length(value) > MAX_BITS:
            return None
        return self.number(value)

    def formula(self, text: str, **letters: Node) -> Node:
        """A formula of the language over the given letters."""
        return self._read(parsed(text), letters)

    def _read(self, formula: Formula, letters: Mapping[str, Node]) -> Node:
        if isinstance(formula, Number):
            return self.number(formula.value)
        if isinstance(formula, Name):
            return letters[formula.name]
        return self.call(formula.function, *(self._read(a, letters) for a in formula.arguments))

    def substitute(self, node: Node, values: Mapping[Node, Node]) -> Node:
        """The node with variables (or any sub-nodes) replaced; opaque reductions are left as they are."""
        done: dict[Node, Node] = dict(values)

        def visit(current: Node) -> Node:
            if current not in done:
                if current.op in LEAVES:
                    done[current] = current
                elif current.op == "apply":
                    done[current] = self.call(current.data, *(visit(a) for a in current.args))
                else:
                    done[current] = self.make(op=current.op, data=current.data, args=tuple(visit(a) for a in current.args))
            return done[current]

        return visit(node)

    def derivative(self, node: Node, x: Node) -> Node:
        """d node / d x almost everywhere: at a kink, one of the two slopes. What stands under `stop` is constant."""
        zero, one = self.number(0), self.number(1)
        done: dict[Node, Node] = {x: one}

        def visit(current: Node) -> Node:
            if current not in done:
                if current.op != "apply" or x not in topological([current]):
                    done[current] = zero
                else:
                    done[current] = self._chained(current, [visit(a) for a in current.args])
            return done[current]

        return visit(node)

    def _chained(self, node: Node, slopes: list[Node]) -> Node:
        if node.data in _KINKED:
            return _KINKED[node.data](self, node.args, slopes)
        row, letters = FUNCTIONS[node.data], dict(zip(LETTERS, node.args, strict=False))
        if row.kink is not None and not row.derivative:
            return self._slope_of_pieces(row.kink, letters, slopes)
        total = self.number(0)
        for text, slope in zip(row.derivative, slopes, strict=True):
            if not is_number(slope, 0):
                total = self.call("add", total, self.call("mul", self.formula(text, **letters), slope))
        return total

    def _slope_of_pieces(self, kink: Kink, letters: Mapping[str, Node], slopes: list[Node]) -> Node:
        """That of the piece above where the first of the pair is larger, else that of the piece below."""
        (first, second), *_ = kink.pairs
        beyond = self.apply("gt", self.formula(first, **letters), self.formula(second, **letters))
        along = dict(zip(letters, slopes, strict=True))
        above, below = (self._slope_of_piece(text, along) for text in (kink.above, kink.below))
        return self.call("where", beyond, above, below)

    def _slope_of_piece(self, text: str, along: Mapping[str, Node]) -> Node:
        piece = parsed(text)
        if isinstance(piece, Number):
            return self.number(0)
        assert isinstance(piece, Name), "a row whose pieces are formulas says its derivative itself"
        return along[piece.name]


def variables(node: Node) -> list[Node]:
    """The free quantities of a scalar: inputs, parameters and opaque reductions, in order of appearance."""
    return [n for n in topological_scalar(node) if n.op in ("input", "parameter", "reduce")]


def variables_of(nodes: Iterable[Node]) -> list[Node]:
    """The free quantities of several scalars, each once."""
    found: dict[Node, None] = {}
    for node in nodes:
        found |= dict.fromkeys(variables(node))
    return list(found)


def inner_variables(node: Node) -> list[Node]:
    """The free quantities of a scalar, each opaque reduction followed by the quantities inside it."""
    found = []
    for v in variables(node):
        found.append(v)
        if v.op == "reduce":
            found += inner_variables(v.args[0])
    return found


def topological_scalar(node: Node) -> list[Node]:
    """Every node of a scalar, arguments first; opaque reductions are not entered."""
    order: dict[Node, None] = {}

    def visit(current: Node) -> None:
        if current in order:
            return
        if current.op not in LEAVES:
            for argument in current.args:
                visit(argument)
        order[current] = None

    visit(node)
    return list(order)


def switching_pairs(node: Node) -> list[tuple[Node, Node]]:
    """The pairs of scalars whose order decides a kink or jump of the node."""
    s = Scalars()
    found: list[tuple[Node, Node]] = []
    for inner in topological_scalar(node):
        if inner.op != "apply":
            continue
        kink = FUNCTIONS[inner.data].kink
        if inner.data in COMPARE:
            found.append((inner.args[0], inner.args[1]))
        elif kink is not None and kink.pairs:
            letters = dict(zip(LETTERS, inner.args, strict=False))
            found += [(s.formula(a, **letters), s.formula(b, **letters)) for a, b in kink.pairs]
        elif kink is not None and inner.data != "where":  # the sides of its condition were found there
            found += list(combinations(inner.args, 2))
    return found


def is_number(node: Node, value: int | None = None) -> bool:
    """Whether the node is a literal (equal to `value`, if one is given)."""
    return node.op == "number" and (value is None or node.data == value)


def _is(node: Node, function: str) -> bool:
    return node.op == "apply" and node.data == function


def _folded(s: Scalars, operation: Callable[[Fraction, Fraction], Fraction], a: Node, b: Node) -> Node | None:
    """The value at two literals."""
    if not (is_number(a) and is_number(b)):
        return None
    return s.short(operation(a.data, b.data))


def _add(s: Scalars, a: Node, b: Node) -> Node | None:
    if is_number(a, 0):
        return b
    if is_number(b, 0):
        return a
    if _is(b, "neg"):
        return s.call("sub", a, b.args[0])
    return _folded(s, operator.add, a, b)


def _sub(s: Scalars, a: Node, b: Node) -> Node | None:
    if is_number(b, 0):
        return a
    if a is b:
        return s.number(0)
    if _is(b, "neg"):
        return s.call("add", a, b.args[0])
    if _is(b, "sub") and b.args[0] is a:
        return b.args[1]
    if _is(a, "add") and a.args[0] is b:
        return a.args[1]
    if _is(a, "sub") and a.args[0] is b:
        return s.call("neg", a.args[1])
    if is_number(a, 0):
        return s.call("neg", b)
    return _folded(s, operator.sub, a, b)


def _mul(s: Scalars, a: Node, b: Node) -> Node | None:
    for one, other in ((a, b), (b, a)):
        if is_number(one, 0):
            return s.number(0)
        if is_number(one, 1):
            return other
        if is_number(one, -1):
            return s.call("neg", other)
    if _is(a, "neg"):
        return s.call("neg", s.call("mul", a.args[0], b))
    if _is(b, "neg"):
        return s.call("neg", s.call("mul", a, b.args[0]))
    return _folded(s, operator.mul, a, b)


def _div(s: Scalars, a: Node, b: Node) -> Node | None:
    if is_number(b, 1):
        return a
    if is_number(a, 0):
        return s.number(0)
    if _is(a, "neg"):
        return s.call("neg", s.call("div", a.args[0], b))
    if is_number(b, 0):
        return None
    return _folded(s, operator.truediv, a, b)


def _neg(s: Scalars, a: Node) -> Node | None:
    if is_number(a):
        return s.number(-a.data)
    if _is(a, "neg"):
        return a.args[0]
    if _is(a, "sub"):
        return s.call("sub", a.args[1], a.args[0])
    return None


def _pow(s: Scalars, a: Node, b: Node) -> Node | None:
    if is_number(b, 1):
        return a
    if not (is_number(a) and is_number(b)):
        return None
    whole = b.data.denominator == 1 and 0 <= b.data <= MAX_POWER
    if whole and length(a.data) * b.data <= MAX_BITS:
        return s.number(a.data ** int(b.data))
    return None


def _where(s: Scalars, condition: Node, a: Node, b: Node) -> Node | None:
    if a is b:
        return a
    left, right = condition.args
    if not (is_number(left) and is_number(right)):
        return None
    holds = COMPARE[condition.data](left.data, right.data)
    return a if holds else b


def _extreme(way: Callable[[Any], Any]) -> Callable[..., Node | None]:
    def rule(s: Scalars, *args: Node) -> Node | None:
        if all(map(is_number, args)):
            return s.number(way(a.data for a in args))
        if all(a is args[0] for a in args):
            return args[0]
        return None

    return rule


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}

_SIMPLER: dict[str, Callable[..., Node | None]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _neg, "pow": _pow, "where": _where,
    "min": _extreme(min), "max": _extreme(max),
}  # fmt: skip
"""What the operators and switches leave out. Any other function of literals is its value, where that is a fraction."""


def _chosen(function: str, comparison: str) -> Callable[[Scalars, tuple[Node, ...], list[Node]], Node]:
    """The slope of min or max: that of the argument that is chosen (the earlier one at a tie)."""

    def slope(s: Scalars, args: tuple[Node, ...], slopes: list[Node]) -> Node:
        value, result = args[0], slopes[0]
        for argument, other in zip(args[1:], slopes[1:], strict=True):
            result = s.call("where", s.apply(comparison, value, argument), result, other)
            value = s.call(function, value, argument)
        return result

    return slope


def _clip(s: Scalars, args: tuple[Node, ...], slopes: list[Node]) -> Node:
    above = s.call("where", s.apply("gt", args[0], args[2]), slopes[2], slopes[0])
    return s.call("where", s.apply("lt", args[0], args[1]), slopes[1], above)


_KINKED: dict[str, Callable[[Scalars, tuple[Node, ...], list[Node]], Node]] = {
    "min": _chosen("min", "le"),
    "max": _chosen("max", "ge"),
    "clip": _clip,
    "where": lambda s, args, slopes: s.call("where", args[0], slopes[1], slopes[2]),
    **{name: lambda s, args, slopes: s.number(0) for name in COMPARE},
}
