"""One bottom-up pass: range, monotonicity and curvature of a scalar, as in disciplined convex programming.

Everything follows from the rows of the vocabulary table and the composition rules below. The pass proves; it never
refutes: a range that is too wide, or a `none`, only means that nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import inf

from mpmath import mp

from halo.analysis.composition import (
    AFFINE,
    CONCAVE,
    CONSTANT,
    CONVEX,
    RULES,
    UNKNOWN,
    UP,
    Shape,
    composed,
    joined_curvature,
    joined_trend,
)
from halo.analysis.numbers.rationals import Nothing, ending, rational_value
from halo.analysis.ranges import REALS, Span, monotone_image
from halo.analysis.scalar import COMPARE, LEAVES
from halo.compiler.graph import Node
from halo.objective.formula import Formula, Name, Number, parsed
from halo.objective.vocabulary import FUNCTIONS, LETTERS

Box = Mapping[Node, Span]
"""The range of every variable and parameter; what is missing ranges over the reals."""


class Calculus:
    """The shapes of scalars over `box`, along `x` (None: ranges only)."""

    def __init__(self, box: Box, x: Node | None = None) -> None:
        self.box, self.x = box, x
        self.known: dict[Node, Shape] = {}
        self.undefined: list[Node] = []

    def shape(self, node: Node) -> Shape:
        """Range, trend and curvature of the node."""
        if node not in self.known:
            read = self._leaf if node.op in LEAVES else self._inner
            self.known[node] = read(node)
        return self.known[node]

    def span(self, node: Node) -> Span:
        """The range of the node."""
        return self.shape(node).span

    def _leaf(self, node: Node) -> Shape:
        if node.op == "number":
            return Shape(Span.point(node.data), CONSTANT, AFFINE)
        trend = UP if node is self.x else CONSTANT
        return Shape(self.box.get(node, REALS), trend, AFFINE)

    def _inner(self, node: Node) -> Shape:
        if node.op == "stop":
            inner = self.shape(node.args[0])
            return Shape(inner.span, inner.trend, inner.curvature, inner.defined)
        if node.data == "where":
            return self._where(node)
        shapes = [self.shape(a) for a in node.args]
        if node.data in COMPARE:  # looked at on its own: true or false
            return Shape(Span(Fraction(0), Fraction(1)), UNKNOWN, UNKNOWN, all(s.defined for s in shapes))
        shape = _applied(node.data, shapes)
        if not shape.defined:
            self.undefined.append(node)
        defined = shape.defined and all(s.defined for s in shapes)
        if all(s.constant for s in shapes):
            return Shape(shape.span, CONSTANT, AFFINE, defined)
        return Shape(shape.span, shape.trend, shape.curvature, defined)

    # -- where: each branch under its guard --------------------------------------------------------------------------

    def _where(self, node: Node) -> Shape:
        condition, first, second = node.args
        yes, no = (self._guarded(condition, holds) for holds in (True, False))
        if yes is None:  # it cannot hold
            assert no is not None
            return self._under(no, second)
        if no is None:
            return self._under(yes, first)
        a, b = self._under(yes, first), self._under(no, second)
        span, defined = a.span.joined(b.span), a.defined and b.defined
        if all(self.shape(side).constant for side in condition.args):
            return Shape(span, joined_trend(a.trend, b.trend), joined_curvature(a.curvature, b.curvature), defined)
        return Shape(span, UNKNOWN, UNKNOWN, defined)

    def _under(self, box: Box, branch: Node) -> Shape:
        if box is self.box:
            return self.shape(branch)
        inner = Calculus(box, self.x)
        shape = inner.shape(branch)
        self.undefined.extend(inner.undefined)
        return shape

    def _guarded(self, condition: Node, holds: bool) -> Box | None:
        """The box on which the comparison holds (or does not), or None if that is empty. A bare variable is narrowed."""
        left, right = condition.args
        word = condition.data if holds else _OTHERWISE[condition.data]
        a, b = self.span(left), self.span(right)
        difference = a - b
        possible = {
            "lt": difference.low < 0,
            "le": difference.low < 0 or Fraction(0) in difference,
            "gt": difference.high > 0,
            "ge": difference.high > 0 or Fraction(0) in difference,
        }
        if not possible[word]:
            return None
        box = self.box
        for variable, other, direction in ((left, b, word), (right, a, _MIRROR[word])):
            if variable.op not in ("input", "parameter", "reduce"):
                continue
            narrowed = box.get(variable, REALS).within(_beside(direction, other))
            if narrowed is None:
                return None
            box = {**box, variable: narrowed}
        return box


_MIRROR = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_OTHERWISE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}
assert set(_MIRROR) == set(_OTHERWISE) == set(COMPARE)


def _beside(word: str, other: Span) -> Span:
    """What compares so with some value of a range: x < y for some y lies below its upper end."""
    strict = word in ("lt", "gt")
    if word in ("lt", "le"):
        return Span(-inf, other.high, True, strict or other.high_open)
    return Span(other.low, inf, strict or other.low_open, True)


# -- functions, from their rows -------------------------------------------------------------------------------------------


def _applied(name: str, shapes: list[Shape]) -> Shape:
    if name in RULES:
        return RULES[name](shapes)
    return _of_row(name, shapes)


def _of_row(name: str, shapes: list[Shape]) -> Shape:
    """A function without a rule of its own: one that has kinks by its definition, a smooth one by its row."""
    row = FUNCTIONS[name]
    if row.kink is not None and row.definition:
        shape = _read(parsed(row.definition), dict(zip(LETTERS, shapes, strict=False)))
        span = shape.span.within(declared(row.range, row.closed))
        assert span is not None
        return Shape(span, shape.trend, shape.curvature, shape.defined)
    return _smooth(name, shapes[0])


def _read(formula: Formula, letters: Mapping[str, Shape]) -> Shape:
    if isinstance(formula, Number):
        return Shape(Span.point(formula.value), CONSTANT, AFFINE)
    if isinstance(formula, Name):
        return letters[formula.name]
    return _applied(formula.function, [_read(a, letters) for a in formula.arguments])


def _smooth(name: str, inner: Shape) -> Shape:
    row = FUNCTIONS[name]
    domain = declared(row.domain, row.closed)
    reached = inner.span.within(domain)
    if reached is None:
        return Shape(declared(row.range, row.closed), UNKNOWN, UNKNOWN, defined=False)
    curvature: str = row.curvature
    if row.inflection:
        curvature = UNKNOWN
        if reached.nonnegative:
            curvature = CONCAVE
        elif reached.nonpositive:
            curvature = CONVEX
    trend, curvature = composed(row.monotone, curvature, inner)
    return Shape(image(name, reached), trend, curvature, _inside(inner.span, domain))


def image(name: str, span: Span) -> Span:
    """The range of a function of one argument over a part of its domain, from its row."""
    row = FUNCTIONS[name]
    domain, limits = (declared(ends, row.closed) for ends in (row.domain, row.range))
    if row.monotone == "none":
        return limits
    return monotone_image(span, lambda v: row.exact(mp, v), row.monotone == "up", domain, limits, lambda v: _rational(name, v))


def _rational(name: str, value: Fraction) -> Fraction | None:
    """The value, where it is a fraction."""
    try:
        found: Fraction | None = rational_value(name, [value])
    except Nothing:
        return None
    return found


def _inside(span: Span, domain: Span) -> bool:
    low = span.low > domain.low or (span.low == domain.low and (span.low_open or not domain.low_open or domain.low == -inf))
    high = span.high < domain.high or (span.high == domain.high and (span.high_open or not domain.high_open or domain.high == inf))
    return low and high


def declared(ends: tuple[str, str], closed: bool) -> Span:
    """A range as a row spells it."""
    low, high = map(ending, ends)
    return Span(low, high, not closed, not closed)
