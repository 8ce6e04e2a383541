"""The sign of a product, weak and strict: no sample contradicts it, and what may be 0 is nowhere called strict."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sampled import QUICK, members, spans

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
