"""The sign of a polynomial on a box: never against a sample, and in one variable exactly what sympy's real roots say."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sampled import QUICK, members, numbers, spans

from halo.analysis.algebra.bernstein import Budget, Spent, constant_sign, evaluated
from halo.analysis.ranges import POSITIVE, REALS, Span

F = Fraction
coefficients = st.integers(-5, 5)
X = sympy.Symbol("x")


def polynomial(*rising: int) -> dict[tuple[int, ...], Fraction]:
    return {(power,): F(c) for power, c in enumerate(rising) if c}


@QUICK
@given(st.data(), st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 2)), coefficients.filter(bool), min_size=1, max_size=5), st.booleans())
def test_no_sample_contradicts_a_sign(data: st.DataObject, terms: dict[tuple[int, int], int], strict: bool) -> None:
    box = [data.draw(spans), data.draw(spans)]
    sign = constant_sign({powers: F(c) for powers, c in terms.items()}, box, strict, Budget(20_000))
    for _ in range(6):
        value = evaluated({powers: F(c) for powers, c in terms.items()}, [data.draw(members(span)) for span in box])
        assert sign is None or sign * value > 0 or (value == 0 and not strict)


@QUICK
@given(st.lists(coefficients, min_size=2, max_size=6).filter(any), st.tuples(st.integers(-3, 2), st.integers(1, 4)))
def test_one_variable_is_decided_as_its_real_roots_say(rising: list[int], ends: tuple[int, int]) -> None:
    low, high = ends[0], ends[0] + ends[1]
    poly = sympy.Poly(rising[::-1], X)
    roots = poly.count_roots(low, high) if poly.degree() > 0 else 0
    sign = constant_sign(polynomial(*rising), [Span(F(low), F(high))], True, Budget())
    if roots:
        assert sign is None
    else:  # away from 0 on a closed range: the cuts converge
        assert sign == sympy.sign(poly.eval(sympy.Rational(low + high, 2)))


@pytest.mark.parametrize(
    ("rising", "span", "weak", "strict"),
    [
        ((0, 0, 1), REALS, None, None),  # x**2 is 0 at the first point tried: a factor of its own is what shows its sign
        ((1, 0, 1), REALS, 1, 1),
        ((1, -2, 1), Span(F(1), inf, True), 1, 1),  # (x - 1)**2 beyond 1
        ((1, -2, 1), Span(F(1), F(5)), 1, None),
        ((-1, 0, -1), REALS, -1, -1),  # -1 - x**2
        ((0, 1), POSITIVE, 1, 1),
        ((-2, 1), Span(F(2), inf), 1, None),
        ((-1, 1), Span(F(0), F(2)), None, None),  # changes its sign at 1
    ],
)
def test_signs(rising: tuple[int, ...], span: Span, weak: int | None, strict: int | None) -> None:
    found = [constant_sign(polynomial(*rising), [span], how, Budget()) for how in (False, True)]
    assert found == [weak, strict]


def test_what_would_cost_too_much_is_left_open() -> None:
    terms = {(a, b, c): F(1) for a in range(4) for b in range(4) for c in range(4)}
    assert constant_sign(terms, [POSITIVE] * 3, True, Budget(50)) is None
    assert constant_sign(terms, [POSITIVE] * 3, True, Budget()) == 1


@QUICK
@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), coefficients, min_size=1, max_size=6), numbers, numbers)
def test_a_polynomial_has_sympys_value(terms: dict[tuple[int, int], int], x: Fraction, y: Fraction) -> None:
    poly = sympy.Poly.from_dict(dict(terms), X, sympy.Symbol("y"))
    there = poly.eval((sympy.Rational(x.numerator, x.denominator), sympy.Rational(y.numerator, y.denominator)))
    assert evaluated({powers: F(c) for powers, c in terms.items()}, [x, y]) == F(int(there.p), int(there.q))


@QUICK
@given(st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 2)), coefficients.filter(bool), min_size=1, max_size=4))
def test_on_few_points_it_is_what_enumeration_says(terms: dict[tuple[int, int], int]) -> None:
    """A box of two single numbers, and one that is a line: every value can be looked at."""
    exact = {powers: F(c) for powers, c in terms.items()}
    there = evaluated(exact, [F(2), F(-3)])
    assert constant_sign(exact, [Span.point(2), Span.point(-3)], True, Budget()) == ((there > 0) - (there < 0) or None)


def test_a_budget_is_spent_once() -> None:
    budget = Budget(10)
    budget.spend(7)
    budget.spend(3)
    assert budget.left == 0
    with pytest.raises(Spent):
        budget.spend(1)
