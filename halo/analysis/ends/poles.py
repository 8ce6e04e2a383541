"""Poles: where a denominator passes through 0 between two points, however irrational the place.

A pole is shown by two numbers a < b: a factor of the denominator has opposite signs there and no gap between them, so that it is
0 at some place in [a, b]; the numerator and the other factors are 0 nowhere in [a, b]. So the scalar grows without end there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from mpmath import iv
from sympy import Expr

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.points import GRID, Point
from halo.analysis.ranges import Span
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node

OFF = Fraction(1, 997)
"""By which the places tried are moved, so that a usual pole, a whole number or a half, is no place itself."""
NARROW = Fraction(1, 10**6)
HALVINGS = 40
"""Of an interval around a zero: after them it is short enough that nothing else is 0 in it."""
DIGITS = 60
PLACES = 10**6


@dataclass(frozen=True)
class Pole:
    """Between which numbers it lies, the sign of the scalar on its two sides, and the values of the rest."""

    low: Fraction
    high: Fraction
    signs: tuple[int, int]
    fixed: Mapping[Node, Fraction]

    @property
    def place(self) -> tuple[str, str]:
        """Decimals that it lies between."""
        return str(float(Fraction(floor(self.low * PLACES), PLACES))), str(float(Fraction(ceil(self.high * PLACES), PLACES)))


def pole(s: Scalars, node: Node, x: Node, region: Span, fixed: Point) -> Pole | None:
    """The first pole found along x in the region, with the rest at the values of `fixed`."""
    there = s.substitute(node, {v: s.number(value) for v, value in fixed.items()})
    algebra = Algebra({x: region})
    try:
        coefficient, factors = algebra.factored(algebra.normal(there))
    except OutOfReach:
        return None
    places = sorted(place for place in (*(g + OFF for g in GRID), *_beside_ends(region)) if place in region)
    for base, count in factors:
        if count > 0 or x not in algebra.variables_in(base):
            continue
        for a, b in _changes(algebra, base, x, places):
            found = _narrowed(algebra, base, x, a, b)
            others = [other for other, _ in factors if other is not base]
            if found is not None and all(_sign(algebra, other, x, *found) for other in others):
                way = 1 if coefficient > 0 else -1
                left, right = (way * _sign_of_product(algebra, factors, x, end) for end in found)
                if left and right:
                    return Pole(*found, (left, right), dict(fixed))
    return None


def _beside_ends(region: Span) -> list[Fraction]:
    """A pole may lie between an end and the last of the usual places."""
    return [end + side * NARROW for end, side in ((region.low, 1), (region.high, -1)) if isinstance(end, Fraction)]


def _changes(algebra: Algebra, base: Expr, x: Node, places: list[Fraction]) -> Iterator[tuple[Fraction, Fraction]]:
    """Neighbours between which the factor changes its sign."""
    signs = [(place, _sign(algebra, base, x, place, place)) for place in places]
    for (a, left), (b, right) in pairwise(signs):
        if left * right < 0:
            yield a, b


def _narrowed(algebra: Algebra, base: Expr, x: Node, a: Fraction, b: Fraction) -> tuple[Fraction, Fraction] | None:
    """A short interval around a zero of the factor, on the whole of which the factor is continuous."""
    left = _sign(algebra, base, x, a, a)
    for _ in range(HALVINGS):
        middle = (a + b) / 2 + (b - a) * OFF
        sign = _sign(algebra, base, x, middle, middle)
        if sign == 0:
            return None
        if sign == left:
            a = middle
        else:
            b = middle
    if _value(algebra, base, x, a, b) is None:
        return None
    return a, b


def _sign_of_product(algebra: Algebra, factors: list[tuple[Expr, int]], x: Node, place: Fraction) -> int:
    total = 1
    for base, count in factors:
        total *= _sign(algebra, base, x, place, place) ** (count % 2)
    return total


def _sign(algebra: Algebra, form: Expr, x: Node, a: Fraction, b: Fraction) -> int:
    """The strict sign on the whole of [a, b], or 0 where it is not settled."""
    value = _value(algebra, form, x, a, b)
    if value is None:
        return 0
    if value.a > 0:
        return 1
    return -1 if value.b < 0 else 0


def _value(algebra: Algebra, form: Expr, x: Node, a: Fraction, b: Fraction) -> iv.mpf | None:
    """An interval around all values on [a, b]; of what is made of numbers, x, exponentials, logarithms and hinges: these are continuous."""
    before, iv.dps = iv.dps, DIGITS
    try:
        return _enclosed(algebra, form, x, iv.mpf([iv.mpf(a.numerator) / a.denominator, iv.mpf(b.numerator) / b.denominator]))
    except (OutOfReach, ArithmeticError, ValueError):
        return None
    finally:
        iv.dps = before


def _enclosed(algebra: Algebra, form: Expr, x: Node, at: iv.mpf) -> iv.mpf:
    if form.is_Rational:
        return iv.mpf(int(form.p)) / int(form.q)
    if form.is_Add:
        return sum((_enclosed(algebra, term, x, at) for term in form.args), iv.mpf(0))
    if form.is_Mul:
        product = iv.mpf(1)
        for factor in form.args:
            product = product * _enclosed(algebra, factor, x, at)
        return product
    if form.is_Pow and form.exp.is_Integer and form.exp > 0:
        return _enclosed(algebra, form.base, x, at) ** int(form.exp)
    generator = algebra.by_symbol.get(form)
    if generator is None:
        raise OutOfReach("no continuous form")
    if generator.kind == "v" and generator.key is x:
        return at
    if generator.kind == "w":
        return iv.exp(_enclosed(algebra, generator.key[0], x, at) / generator.key[1])
    if generator.kind == "r":
        inner = _enclosed(algebra, generator.key, x, at)
        return iv.mpf([max(inner.a, iv.mpf(0).a), max(inner.b, iv.mpf(0).b)])
    if generator.kind == "l":
        inner = _enclosed(algebra, generator.key, x, at)
        if inner.a > 0:
            return iv.log(inner)
    raise OutOfReach("no continuous form")
