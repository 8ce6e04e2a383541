"""The rules of composition, each on functions whose values on a grid are exact: no claim of a rule is contradicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from operator import add, mul, neg, sub, truediv

import pytest

from halo.analysis.composition import (
    AFFINE,
    CONCAVE,
    CONSTANT,
    CONVEX,
    DOWN,
    RULES,
    UNKNOWN,
    UP,
    Shape,
    composed,
    joined_curvature,
    joined_trend,
)
from halo.analysis.ranges import POSITIVE, REALS, Span

F = Fraction
Real = Callable[[Fraction], Fraction]


@dataclass(frozen=True)
class Known:
    """A function with what is true of it on all numbers."""

    name: str
    of: Real
    trend: str
    curvature: str

    def __str__(self) -> str:
        return self.name


KNOWN = [
    Known("3", lambda x: F(3), CONSTANT, AFFINE), Known("-1/2", lambda x: F(-1, 2), CONSTANT, AFFINE), Known("0", lambda x: F(0), CONSTANT, AFFINE),
    Known("2x", lambda x: 2 * x, UP, AFFINE), Known("1 - x", lambda x: 1 - x, DOWN, AFFINE), Known("x**3", lambda x: x**3, UP, UNKNOWN),
    Known("-x**3", lambda x: -(x**3), DOWN, UNKNOWN), Known("x**2", lambda x: x**2, UNKNOWN, CONVEX), Known("1 - x**2", lambda x: 1 - x**2, UNKNOWN, CONCAVE),
    Known("max(0, x)", lambda x: max(F(0), x), UP, CONVEX), Known("min(1, x)", lambda x: min(F(1), x), UP, CONCAVE),
    Known("max(0, -x)", lambda x: max(F(0), -x), DOWN, CONVEX), Known("min(1, -x)", lambda x: min(F(1), -x), DOWN, CONCAVE),
    Known("x**3 - x**2", lambda x: x**3 - x**2, UNKNOWN, UNKNOWN),
]  # fmt: skip
GRID = [F(n, 2) for n in range(-6, 7)]


def contradicted(values: list[Fraction], trend: str, curvature: str) -> str:
    """What of the claims is not so of values at equal steps; nothing where all holds."""
    rises = all(a <= b for a, b in pairwise(values))
    falls = all(a >= b for a, b in pairwise(values))
    bends = [a + b - 2 * c for a, c, b in zip(values, values[1:], values[2:], strict=False)]
    holds = {
        UP: rises, DOWN: falls, CONSTANT: rises and falls, UNKNOWN: True,
        CONVEX: min(bends) >= 0, CONCAVE: max(bends) <= 0, AFFINE: min(bends) >= 0 >= max(bends),
    }  # fmt: skip
    return " and ".join(claim for claim in (trend, curvature) if not holds[claim])


def on(function: Real, grid: list[Fraction]) -> list[Fraction]:
    return [function(x) for x in grid]


@pytest.mark.parametrize("one", KNOWN, ids=str)
def test_the_table_of_this_test_is_right(one: Known) -> None:
    assert not contradicted(on(one.of, GRID), one.trend, one.curvature)


@pytest.mark.parametrize("one", KNOWN, ids=str)
def test_a_sum(one: Known) -> None:
    for other in KNOWN:
        check_sum(one, other)


def check_sum(one: Known, other: Known) -> None:
    values = [a + b for a, b in zip(on(one.of, GRID), on(other.of, GRID), strict=True)]
    trend, curvature = joined_trend(one.trend, other.trend), joined_curvature(one.curvature, other.curvature)
    assert not contradicted(values, trend, curvature)
    if UNKNOWN not in (one.trend, other.trend):  # what can be known is known
        assert (trend == UNKNOWN) == ({one.trend, other.trend} == {UP, DOWN})
    if UNKNOWN not in (one.curvature, other.curvature):
        assert (curvature == UNKNOWN) == ({one.curvature, other.curvature} == {CONVEX, CONCAVE})


@pytest.mark.parametrize("outer", KNOWN, ids=str)
def test_a_function_of_a_function(outer: Known) -> None:
    for inner in KNOWN:
        values = [outer.of(y) for y in on(inner.of, GRID)]
        claimed = composed(outer.trend, outer.curvature, Shape(REALS, inner.trend, inner.curvature))
        assert not contradicted(values, *claimed), str(inner)
        if {outer.trend, inner.trend} <= {UP, DOWN}:
            assert claimed[0] == (UP if outer.trend == inner.trend else DOWN)


# -- operators on boxes ----------------------------------------------------------------------------------------------------

BOXES = {"below 0": (F(-3), F(-1)), "around 0": (F(-1), F(2)), "above 0": (F(1), F(4)), "from 0": (F(0), F(2))}


def whole_power(base: Fraction, exponent: Fraction) -> Fraction:
    return base ** int(exponent)


OPERATORS: dict[str, Callable[..., Fraction]] = {
    "add": add, "sub": sub, "mul": mul, "div": truediv, "neg": neg, "max": max, "min": min, "pow": whole_power,
    "sign": lambda x: F((x > 0) - (x < 0)),
}  # fmt: skip


def shape_on(one: Known, grid: list[Fraction]) -> Shape:
    """Exact: every turning point of the table's functions but that of x**3 - x**2 lies on the grid, and that one is not drawn."""
    values = on(one.of, grid)
    return Shape(Span(min(values), max(values)), one.trend, one.curvature)


def grid_of(box: str) -> list[Fraction]:
    low, high = BOXES[box]
    return [low + (high - low) * F(n, 12) for n in range(13)]


def test_every_rule_is_tried() -> None:
    assert set(OPERATORS) == set(RULES)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("word", [word for word in RULES if word not in ("neg", "sign", "pow")])
def test_an_operator_of_two(word: str, box: str) -> None:
    grid = grid_of(box)
    for one, other in product(KNOWN[:-1], repeat=2):
        shape = RULES[word]([shape_on(one, grid), shape_on(other, grid)])
        if not shape.defined:
            assert word == "div"
            assert F(0) in shape_on(other, grid).span
            continue
        values = [OPERATORS[word](a, b) for a, b in zip(on(one.of, grid), on(other.of, grid), strict=True)]
        assert all(value in shape.span for value in values), (word, str(one), str(other))
        assert not contradicted(values, shape.trend, shape.curvature), (word, str(one), str(other))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("word", ["neg", "sign"])
def test_an_operator_of_one(word: str, box: str) -> None:
    grid = grid_of(box)
    for one in KNOWN[:-1]:
        shape = RULES[word]([shape_on(one, grid)])
        values = [OPERATORS[word](a) for a in on(one.of, grid)]
        assert all(value in shape.span for value in values), (word, str(one))
        assert not contradicted(values, shape.trend, shape.curvature), (word, str(one))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("n", range(-3, 5))
def test_a_whole_power(n: int, box: str) -> None:
    grid = grid_of(box)
    for one in KNOWN[:-1]:
        base = shape_on(one, grid)
        shape = RULES["pow"]([base, Shape(Span.point(n), CONSTANT, AFFINE)])
        if not shape.defined:
            assert n < 0
            assert F(0) in base.span
            continue
        values = [whole_power(a, F(n)) for a in on(one.of, grid)]
        assert all(value in shape.span for value in values), (n, str(one))
        assert not contradicted(values, shape.trend, shape.curvature), (n, str(one))


@pytest.mark.parametrize(("exponent", "trend", "curvature"), [
    (Span.point(F(1, 2)), UP, CONCAVE), (Span.point(F(3, 2)), UP, CONVEX), (Span.point(F(-1, 2)), DOWN, CONVEX), (Span(F(0), F(1)), UP, CONCAVE),
    (Span(F(1), F(2)), UP, CONVEX), (Span(F(-1), F(2)), UNKNOWN, UNKNOWN),
])  # fmt: skip
def test_a_broken_power_of_what_is_positive(exponent: Span, trend: str, curvature: str) -> None:
    """As calculus has it: x**p rises for p > 0, and bends up outside of [0, 1]."""
    shape = RULES["pow"]([Shape(POSITIVE, UP, AFFINE), Shape(exponent, CONSTANT, AFFINE)])
    assert (shape.trend, shape.curvature, shape.defined) == (trend, curvature, True)
    assert shape.span == POSITIVE


@pytest.mark.parametrize(
    ("base", "trend", "span"), [(Span.point(2), UP, POSITIVE), (Span.point(F(1, 2)), DOWN, POSITIVE), (POSITIVE, UNKNOWN, POSITIVE)]
)
def test_an_exponential(base: Span, trend: str, span: Span) -> None:
    shape = RULES["pow"]([Shape(base, CONSTANT, AFFINE), Shape(REALS, UP, AFFINE)])
    assert (shape.span, shape.trend, shape.curvature) == (span, trend, CONVEX)


@pytest.mark.parametrize("base", [REALS, Span(F(-1), F(1)), Span.point(-2)])
def test_an_exponential_of_what_may_be_negative_is_not_shown_to_be_defined(base: Span) -> None:
    assert not RULES["pow"]([Shape(base, CONSTANT, AFFINE), Shape(REALS, UP, AFFINE)]).defined


def test_a_shape_is_constant_by_its_trend() -> None:
    assert [Shape(REALS, trend, AFFINE).constant for trend in (UP, DOWN, CONSTANT, UNKNOWN)] == [False, False, True, False]
