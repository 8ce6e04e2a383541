"""The sign of a product, weak and strict: no sample contradicts it, and what may be 0 is nowhere called strict."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, many, members, spans

from halo.analysis.algebra.factors import Factors, OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars

F = Fraction
BOX = {"x": REALS, "b": POSITIVE, "n": NEGATIVE, "m": NONNEGATIVE, "u": Span(F(0), F(1), True, True), "d": Span(F(-1), F(1))}


def signs(text: str, most: int | None = None) -> tuple[int | None, int | None]:
    s = Scalars()
    letters = {name: s.variable(name) for name in BOX}
    algebra = Algebra({letters[name]: span for name, span in BOX.items()})
    form = algebra.normal(s.formula(text, **letters))
    return algebra.sign(form, most=most), algebra.sign(form, strict=True, most=most)


@pytest.mark.parametrize(
    ("text", "weak", "strict"),
    [
        ("b*n", -1, -1), ("b/n", -1, -1), ("n*n*b", 1, 1), ("m*b", 1, None), ("m*n", -1, None), ("x**2*b", 1, None), ("x*b", None, None),
        ("x**2 + 1", 1, 1), ("1 - u", 1, 1), ("u*(1 - u)*n", -1, -1), ("(1 - d)*(1 + d)", 1, None), ("2 - d", 1, 1), ("b - b", 0, 0),
        ("exp(x)/(1 + exp(x)) - 1", -1, -1), ("exp(b) - 1", 1, 1), ("exp(m) - 1", 1, None), ("-b**3", -1, -1), ("1/n**2", 1, 1),
        ("b*exp(x) - (b + 1)*exp(x)", -1, -1), ("x**2 - 2*x*b + b**2", 1, None), ("log(1 + b)", 1, 1), ("b - log(1 + b)", 1, 1),
        ("(x**2 + 1)*(d - 2)**3", -1, -1), ("exp(b)*exp(-b) - 1", 0, 0),
    ],
)  # fmt: skip
def test_signs(text: str, weak: int | None, strict: int | None) -> None:
    assert signs(text) == (weak, strict)


def test_a_limit_on_coefficients_leaves_ranges_only() -> None:
    assert signs("x**2 - x + 1") == (1, 1)
    assert signs("x**2 - x + 1", most=2) == (None, None)
    assert signs("b*n", most=2) == (-1, -1)


@QUICK
@given(st.data(), st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.sampled_from([1, 1, 2, -1])), min_size=1, max_size=3), st.booleans())
def test_no_sample_contradicts_a_sign(data: st.DataObject, drawn: list[tuple[int, int, int]], strict: bool) -> None:
    """A product of powers of a x + b y + 1 over a drawn box."""
    algebra = Factors({})
    box = [data.draw(spans), data.draw(spans)]
    x, y = (algebra.generator("v", name, span) for name, span in zip("xy", box, strict=True))
    product = sympy.Mul(*((a * x + b * y + 1) ** power for a, b, power in drawn))
    try:
        sign = algebra.sign(product, strict)
    except OutOfReach:
        return
    for _ in range(4):
        at = {x: data.draw(members(box[0])), y: data.draw(members(box[1]))}
        value = product.subs({symbol: sympy.Rational(v.numerator, v.denominator) for symbol, v in at.items()})
        if sign is not None and value.is_finite:
            assert sign * value > 0 or (value == 0 and (not strict or sign == 0))


def test_a_division_by_0_has_no_sign() -> None:
    with pytest.raises(OutOfReach):
        signs("1/(exp(x)*exp(-x) - 1)")


# -- parts, against sympy and against samples ----------------------------------------------------------------------------------


def two(box: list[Span]) -> tuple[Factors, sympy.Symbol, sympy.Symbol]:
    algebra = Factors({})
    x, y = (algebra.generator("v", name, span) for name, span in zip("xy", box, strict=True))
    return algebra, x, y


def at(expression: sympy.Expr, point: dict[sympy.Symbol, Fraction]) -> sympy.Expr:
    return expression.subs({symbol: sympy.Rational(v.numerator, v.denominator) for symbol, v in point.items()})


FEW = settings(QUICK, max_examples=30)
"""sympy factors and expands each of these by itself, which is what takes the time."""

affine = st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.sampled_from([1, 1, 2, -1, -2]))


@FEW
@given(st.lists(affine, min_size=1, max_size=4))
def test_factors_multiply_to_what_was_given(drawn: list[tuple[int, int, int]]) -> None:
    algebra, x, y = two([REALS, REALS])
    given_to = sympy.Mul(*((a * x + b * y + 1) ** power for a, b, power in drawn)) * sympy.Rational(3, 7)
    coefficient, factors = algebra.factored(given_to)
    assert sympy.cancel(coefficient * sympy.Mul(*(base**count for base, count in factors)) - given_to) == 0
    assert all(sympy.Poly(base, x, y).is_irreducible for base, _ in factors)
    assert coefficient.is_Rational


@FEW
@given(st.lists(affine, min_size=1, max_size=3), st.integers(-1, 1))
def test_it_vanishes_exactly_where_sympy_expands_it_to_0(drawn: list[tuple[int, int, int]], off: int) -> None:
    algebra, x, y = two([REALS, REALS])
    product = sympy.Mul(*((a * x + b * y + 1) ** abs(power) for a, b, power in drawn))
    assert algebra.is_zero(product - sympy.expand(product) + off) is (off == 0)
    assert algebra.is_zero(product / (x + 7) - sympy.together(product / (x + 7))) is True


@FEW
@given(st.data(), st.lists(affine, min_size=1, max_size=3))
def test_ranges_hold_every_sample(data: st.DataObject, drawn: list[tuple[int, int, int]]) -> None:
    box = [data.draw(spans), data.draw(spans)]
    algebra, x, y = two(box)
    product = sympy.Mul(*((a * x + b * y + 1) ** power for a, b, power in drawn))
    whole, polynomial = algebra.span(product), sympy.expand(sympy.Mul(*((a * x + b * y + 1) ** abs(power) for a, b, power in drawn)))
    factor = algebra.span_of_factor(polynomial)
    for _ in range(3):
        point = {x: data.draw(members(box[0])), y: data.draw(members(box[1]))}
        there = at(product, point)
        assert not there.is_finite or F(int(there.p), int(there.q)) in whole
        there = at(polynomial, point)
        assert F(int(there.p), int(there.q)) in factor


@FEW
@given(st.data(), st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 2), st.booleans())
def test_no_sample_contradicts_the_sign_of_a_polynomial_with_a_logarithm(data: st.DataObject, a: int, b: int, power: int, strict: bool) -> None:
    """a log(1 + x**power) + b x, for positive x: the algebra knows bounds of a logarithm only."""
    s = Scalars()
    x = s.variable("x")
    box = data.draw(spans.filter(lambda span: span.positive))
    algebra = Algebra({x: box})
    form = sympy.expand(algebra.normal(s.formula(f"({a})*log(1 + x**{power}) + ({b})*x", x=x)))
    if not form.free_symbols:
        return
    sign = algebra.polynomial_sign(form, strict)
    for _ in range(4):
        place = data.draw(members(box))
        with mp.workdps(60):
            there = a * mp.log(1 + many(place) ** power) + b * many(place)
        assert sign is None or sign * there > 0 or (not strict and abs(there) < mpf(10) ** -50)


@pytest.mark.parametrize(
    ("text", "printed"),
    [("x*b + 1", "x*b + 1"), ("exp(2*x)*b", "b*exp(2*x)"), ("log(1 + exp(x))", "log(exp(x) + 1)"), ("relu(x - b)", "relu(x - b)"), ("atan(x)", "atan(x)")],
)  # fmt: skip
def test_people_read_the_names_of_the_file(text: str, printed: str) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in BOX}
    algebra = Algebra({letters[name]: span for name, span in BOX.items()})
    names = {name: sympy.Symbol(name, real=True) for name in BOX}
    assert algebra.pretty(algebra.normal(s.formula(text, **letters))) == sympy.sympify(printed, {**names, "relu": sympy.Function("relu")})
