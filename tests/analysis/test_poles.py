"""Poles are found wherever a denominator passes through 0, and nowhere else; what has a value everywhere is told from what has not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from independent import valued
from mpmath import mp

from halo.analysis.defined import is_defined, is_defined_throughout
from halo.analysis.ends.poles import pole
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.objective.formula import parse

B = Fraction(1, 3)


@pytest.mark.parametrize(("text", "place", "signs"), [
    ("1/(exp(z) - 2)", "log(2)", (-1, 1)), ("1/(z - 1)", "1", (-1, 1)), ("-1/(exp(z) - 2)**2", "log(2)", (-1, -1)), ("1/(z - b)", "1/3", (-1, 1)),
    ("sigmoid(z)/(tanh(z) - 1/2)", "log(3)/2", (-1, 1)), ("1/(log(1 + exp(z)) - 2)", "log(exp(2) - 1)", (-1, 1)), ("1/(relu(z) - 1/2)", "1/2", (-1, 1)),
])  # fmt: skip
def test_a_pole_is_where_it_is(text: str, place: str, signs: tuple[int, int]) -> None:
    s = Scalars()
    z, b = s.variable("z"), s.make(op="parameter", data="b")
    found = pole(s, s.formula(text, z=z, b=b), z, REALS, {b: B})
    assert found is not None
    assert found.signs == signs
    with mp.workdps(40):
        low, high = map(mp.mpf, found.place)
        assert low < valued(parse(place), {}) < high
        assert abs(valued(parse(text), {"z": (low + 2 * high) / 3, "b": mp.mpf(1) / 3})) > 10**4


@pytest.mark.parametrize("text", ["1/(1 + z**2)", "(exp(z) - 2)/(exp(z) - 2)", "z - log1mexp(z)", "1/(exp(z) + 1/1000)", "where(z > 0, 1/(z - 1), 0)", "1/(2 + atan(z))"])
def test_no_pole_is_made_up(text: str) -> None:
    s = Scalars()
    z = s.variable("z")
    assert pole(s, s.formula(text, z=z), z, REALS, {}) is None


def test_a_pole_outside_of_the_region_is_none() -> None:
    s = Scalars()
    z = s.variable("z")
    assert pole(s, s.formula("1/(exp(z) - 2)", z=z), z, NEGATIVE, {}) is None


@pytest.mark.parametrize(("text", "span", "defined", "throughout"), [
    ("1/(exp(z) - 2)", NEGATIVE, True, True), ("1/(exp(z) - 2)", REALS, False, False), ("log1mexp(z)", NEGATIVE, True, True),
    ("log1mexp(z)", Span(NEGATIVE.low, Fraction(0)), False, False), ("where(z > 0, 1/z, 0)", REALS, True, False), ("log(1 + z + z**2)", REALS, True, True),
    ("sqrt(z)", POSITIVE, True, True),
])  # fmt: skip
def test_what_has_a_value_everywhere(text: str, span: Span, defined: bool, throughout: bool) -> None:
    s = Scalars()
    z = s.variable("z")
    node = s.formula(text, z=z)
    assert (is_defined(s, node, {z: span}), is_defined_throughout(s, node, {z: span})) == (defined, throughout)
