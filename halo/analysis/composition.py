"""The rules of disciplined convex programming: the shape of a sum, product, power or kink from the shapes of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf

from halo.analysis.ranges import NONNEGATIVE, POSITIVE, REALS, Span

UP, DOWN, CONSTANT, UNKNOWN = "up", "down", "constant", "none"
AFFINE, CONVEX, CONCAVE = "affine", "convex", "concave"


@dataclass(frozen=True)
class Shape:
    """What is known of a scalar on a box: its range, and how it runs along the variable asked for.

    `defined` says that it is proved to have a value everywhere on the box.
    """

    span: Span
    trend: str
    curvature: str
    defined: bool = True

    @property
    def constant(self) -> bool:
        """Whether it does not depend on the variable."""
        return self.trend == CONSTANT


def _flipped(trend: str) -> str:
    return {UP: DOWN, DOWN: UP}.get(trend, trend)


def _mirrored(curvature: str) -> str:
    return {CONVEX: CONCAVE, CONCAVE: CONVEX}.get(curvature, curvature)


def joined_trend(a: str, b: str) -> str:
    """Of a sum: up + up = up, with constants anywhere."""
    return _agreed(a, b, CONSTANT)


def joined_curvature(a: str, b: str) -> str:
    """Of a sum: convex + convex = convex, with affine anywhere."""
    return _agreed(a, b, AFFINE)


def _agreed(a: str, b: str, neutral: str) -> str:
    """What both say, where `neutral` agrees with anything."""
    if a == neutral:
        return b
    if b in (neutral, a):
        return a
    return UNKNOWN


def _scaled(shape: Shape, factor: Span) -> tuple[str, str]:
    """Trend and curvature of shape * a constant in `factor`."""
    if factor.nonnegative:
        return shape.trend, shape.curvature
    if factor.nonpositive:
        return _flipped(shape.trend), _mirrored(shape.curvature)
    if shape.curvature == AFFINE:
        return UNKNOWN, AFFINE
    return UNKNOWN, UNKNOWN


def composed(trend: str, curvature: str, inner: Shape) -> tuple[str, str]:
    """f(g): the trend and curvature of f on g's range with those of g."""
    if inner.constant:
        return CONSTANT, AFFINE
    total = {UP: inner.trend, DOWN: _flipped(inner.trend)}.get(trend, UNKNOWN)
    if inner.curvature == AFFINE:
        return total, curvature
    keeps = (trend == UP and inner.curvature == curvature) or (trend == DOWN and inner.curvature == _mirrored(curvature))
    if keeps and curvature in (CONVEX, CONCAVE):
        return total, curvature
    return total, UNKNOWN


def _add(shapes: list[Shape]) -> Shape:
    a, b = shapes
    return Shape(a.span + b.span, joined_trend(a.trend, b.trend), joined_curvature(a.curvature, b.curvature))


def _neg(shapes: list[Shape]) -> Shape:
    (a,) = shapes
    return Shape(-a.span, _flipped(a.trend), _mirrored(a.curvature))


def _sub(shapes: list[Shape]) -> Shape:
    return _add([shapes[0], _neg(shapes[1:])])


def _mul(shapes: list[Shape]) -> Shape:
    a, b = shapes
    span = a.span * b.span
    if a.constant:
        return Shape(span, *_scaled(b, a.span))
    if b.constant:
        return Shape(span, *_scaled(a, b.span))
    left, right = _scaled(a, b.span)[0], _scaled(b, a.span)[0]  # the trends of a'b and ab'
    return Shape(span, joined_trend(left, right), UNKNOWN)


def _reciprocal(shape: Shape) -> Shape:
    span = shape.span.reciprocal()
    if span is None:
        return Shape(REALS, UNKNOWN, UNKNOWN, defined=False)
    trend, curvature = composed(DOWN, CONVEX if span.positive else CONCAVE, shape)
    return Shape(span, trend, curvature)


def _div(shapes: list[Shape]) -> Shape:
    inverse = _reciprocal(shapes[1])
    product = _mul([shapes[0], inverse])
    return Shape(product.span, product.trend, product.curvature, inverse.defined)


def _pow(shapes: list[Shape]) -> Shape:
    base, exponent = shapes
    if not exponent.constant:
        return _exponential(base, exponent)
    whole = exponent.span.exact
    if whole is not None and whole.denominator == 1:
        return _whole_power(base, int(whole))
    low, high = exponent.span.low, exponent.span.high
    defined = base.span.positive or (base.span.nonnegative and exponent.span.positive)
    if not base.span.nonnegative:
        return Shape(REALS, UNKNOWN, UNKNOWN, defined=False)
    trend = _away_from(exponent.span, 0)
    curvature = UNKNOWN
    if low >= 1 or high <= 0:
        curvature = CONVEX
    elif low >= 0 and high <= 1:
        curvature = CONCAVE
    span = _log_power_span(base.span, exponent.span)
    return Shape(span, *composed(trend, curvature, base), defined=defined)


def _log_power_span(base: Span, exponent: Span) -> Span:
    """base**exponent for base >= 0: its place against 1 and 0 is enough for signs."""
    grows = base.low >= 1, base.high <= 1
    if (grows[0] and exponent.nonnegative) or (grows[1] and exponent.nonpositive):
        return Span(Fraction(1), inf)
    if (grows[0] and exponent.nonpositive) or (grows[1] and exponent.nonnegative):
        return Span(Fraction(0), Fraction(1), base.positive and base.high != inf, False)
    if base.positive:
        return POSITIVE
    return NONNEGATIVE


def _negative_power(base: Shape, n: int) -> Shape:
    """x**n for a whole n < 0: an even power rises to the left of 0, an odd one falls on both sides."""
    inverse = _reciprocal(base)
    if not inverse.defined:
        return inverse
    even = n % 2 == 0
    trend = UP if even and base.span.negative else DOWN
    curvature = CONVEX if even or base.span.positive else CONCAVE
    return Shape(inverse.span.power(-n), *composed(trend, curvature, base))


def _whole_power(base: Shape, n: int) -> Shape:
    if n < 0:
        return _negative_power(base, n)
    if n == 0:
        return Shape(Span.point(1), CONSTANT, AFFINE)
    span = base.span.power(n)
    if n == 1:
        return Shape(span, base.trend, base.curvature)
    side = _away_from(base.span, 0)
    if n % 2 == 0:
        return Shape(span, *composed(side, CONVEX, base))
    return Shape(span, *composed(UP, {UP: CONVEX, DOWN: CONCAVE}.get(side, UNKNOWN), base))


def _away_from(span: Span, turn: int) -> str:
    """How something runs on the range that falls below the turn and rises above it."""
    if span.low >= turn:
        return UP
    if span.high <= turn:
        return DOWN
    return UNKNOWN


def _exponential(base: Shape, exponent: Shape) -> Shape:
    """base**g for a constant base > 0."""
    if not (base.constant and base.span.positive):
        return Shape(REALS, UNKNOWN, UNKNOWN, defined=base.span.positive)
    trend = _away_from(base.span, 1)
    return Shape(POSITIVE, *composed(trend, CONVEX, exponent))


def _max(shapes: list[Shape]) -> Shape:
    span, trend, curvature = shapes[0].span, shapes[0].trend, shapes[0].curvature
    for shape in shapes[1:]:
        span = span.maximum(shape.span)
        trend = joined_trend(trend, shape.trend)
        both_convex = {curvature, shape.curvature} <= {AFFINE, CONVEX}
        curvature = CONVEX if both_convex else UNKNOWN
    return Shape(span, trend, curvature)


def _min(shapes: list[Shape]) -> Shape:
    return _neg([_max([_neg([shape]) for shape in shapes])])


def _sign(shapes: list[Shape]) -> Shape:
    span = shapes[0].span
    below, there, above = not span.nonnegative, Fraction(0) in span, not span.nonpositive
    found = [sign for sign, is_taken in ((-1, below), (0, there), (1, above)) if is_taken]
    low, high = found[0], found[-1]
    return Shape(Span(Fraction(low), Fraction(high)), composed(UP, UNKNOWN, shapes[0])[0], AFFINE if low == high else UNKNOWN)


RULES = {
    "add": _add, "sub": _sub, "neg": _neg, "mul": _mul, "div": _div, "pow": _pow, "max": _max, "min": _min, "sign": _sign,
}  # fmt: skip
"""For the operators and switches. The shape of any other function follows from its row (`curvature`)."""
