"""The calculus proves: ranges, trends and curvature against samples of the formula along x."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from independent import applied, knows
from mpmath import mp, mpf
from sampled import QUICK, exact, formulas, many, members, spans, value

from halo.analysis.curvature import Calculus, declared, image
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.objective.functions import FUNCTIONS

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


# -- a function over a part of its domain ------------------------------------------------------------------------------------

ONE_ARGUMENT = [word for word, row in FUNCTIONS.items() if row.arity == (1, 1) and knows(word)]


@QUICK
@given(st.data(), st.sampled_from(ONE_ARGUMENT))
def test_an_image_holds_every_value(data: st.DataObject, word: str) -> None:
    row = FUNCTIONS[word]
    part = data.draw(spans).within(declared(row.domain, row.closed))
    if part is None:
        return
    found = image(word, part)
    with mp.workdps(80):
        there = applied(word, [many(data.draw(members(part)))])
    wide = Fraction(1, 10**60) * (1 + abs(exact(there)))
    assert found.low <= exact(there) + wide
    assert found.high >= exact(there) - wide


@pytest.mark.parametrize(("word", "part", "sharp"), [
    ("sqrt", Span(Fraction(0), Fraction(4)), Span(Fraction(0), Fraction(2))), ("exp", NEGATIVE, Span(Fraction(0), Fraction(1), True, True)),
    ("log", Span(Fraction(0), Fraction(1), True), Span(REALS.low, Fraction(0))), ("neg", Span(Fraction(1), Fraction(2), True), Span(Fraction(-2), Fraction(-1), False, True)),
    ("tanh", POSITIVE, Span(Fraction(0), Fraction(1), True, True)), ("log1mexp", NEGATIVE, NEGATIVE), ("abs", NEGATIVE, Span(Fraction(0), REALS.high)),
])  # fmt: skip
def test_images_whose_ends_are_rational_are_sharp(word: str, part: Span, sharp: Span) -> None:
    """Of `abs`, which neither rises nor falls throughout, the row's range is all that is known."""
    assert image(word, part) == sharp


@pytest.mark.parametrize(("ends", "closed", "span"), [
    (("0", "inf"), False, POSITIVE), (("-inf", "inf"), True, REALS), (("-1", "1"), True, Span(Fraction(-1), Fraction(1))),
    (("0", "1/2"), False, Span(Fraction(0), Fraction(1, 2), True, True)),
])  # fmt: skip
def test_a_range_as_a_row_spells_it(ends: tuple[str, str], closed: bool, span: Span) -> None:
    assert declared(ends, closed) == span
