"""The calculus proves: ranges, trends and curvature against samples of the formula along x."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, exact, formulas, members, spans, value

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars

SLACK = mpf(10) ** -40
"""Of values computed to 60 digits."""


@QUICK
@given(st.data(), formulas(["x", "y"]))
def test_no_sample_contradicts_a_shape(data: st.DataObject, text: str) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in "xy"}
    box = {node: data.draw(spans) for node in letters.values()}
    shape = Calculus(box, letters["x"]).shape(s.formula(text, **letters))
    y = data.draw(members(box[letters["y"]]))
    a, b = sorted(data.draw(members(box[letters["x"]])) for _ in range(2))
    with mp.workdps(60):
        low, middle, high = (value(text, {"x": x, "y": y}) for x in (a, (a + b) / 2, b))
        slack = SLACK * (1 + abs(low) + abs(high))
        assert shape.defined
        assert shape.trend not in ("up", "constant") or low <= high + slack
        assert shape.trend not in ("down", "constant") or low >= high - slack
        assert shape.curvature not in ("convex", "affine") or middle <= (low + high) / 2 + slack
        assert shape.curvature not in ("concave", "affine") or middle >= (low + high) / 2 - slack
        near = exact(low)
        wide = Fraction(1, 10**40) * (1 + abs(near))
        assert shape.span.low <= near + wide
        assert shape.span.high >= near - wide


@pytest.mark.parametrize(("text", "span", "trend", "curvature"), [
    ("logsigmoid(x)", NEGATIVE, "up", "concave"), ("exp(-x)", POSITIVE, "down", "convex"), ("x**2", Span(Fraction(0), REALS.high), "none", "convex"),
    ("3 - 2*x", REALS, "down", "affine"), ("relu(x)", Span(Fraction(0), REALS.high), "up", "convex"), ("min(x, 1)", Span(REALS.low, Fraction(1)), "up", "concave"),
    ("log(1 + exp(x))", POSITIVE, "up", "none"),
])  # fmt: skip
def test_shapes(text: str, span: Span, trend: str, curvature: str) -> None:
    s = Scalars()
    x = s.variable("x")
    shape = Calculus({}, x).shape(s.formula(text, x=x))
    assert (shape.span, shape.trend, shape.curvature, shape.defined) == (span, trend, curvature, True)


@pytest.mark.parametrize(("text", "defined"), [("log(x)", False), ("1/x", False), ("log(b)", True), ("sqrt(b)", True), ("where(x > 0, log(x), 0)", True), ("b**x", True)])
def test_where_it_is_defined(text: str, defined: bool) -> None:
    s = Scalars()
    x, b = s.variable("x"), s.variable("b")
    assert Calculus({b: POSITIVE}, x).shape(s.formula(text, x=x, b=b)).defined is defined
