"""Scalars: constants fold without a change of value, derivatives are those of mpmath, replacement reaches what it should."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from mpmath import mp, mpf
from sampled import QUICK, formulas, numbers, value

from halo.analysis.budgets import MAX_BITS
from halo.analysis.identity import shown
from halo.analysis.scalar import Scalars, inner_variables, is_number, switching_pairs, topological_scalar, variables, variables_of
from halo.analysis.values import sure_value
from halo.compiler.graph import Node


def read(text: str) -> tuple[Scalars, Node, dict[str, Node]]:
    s = Scalars()
    letters = {name: s.variable(name) for name in ("x", "y")}
    return s, s.formula(text, **letters), letters


@QUICK
@given(formulas(["x", "y"]), numbers, numbers)
def test_what_is_simplified_keeps_its_value(text: str, x: Fraction, y: Fraction) -> None:
    s, node, letters = read(text)
    found = sure_value(s.substitute(node, {letters["x"]: s.number(x), letters["y"]: s.number(y)}), {})
    expected = value(text, {"x": x, "y": y})
    assert found is None or abs(found - expected) < mpf(10) ** -30 * (1 + abs(expected))


@QUICK
@given(formulas(["x"], words=("sigmoid", "logsigmoid", "softplus", "tanh")), numbers)
def test_a_derivative_is_the_slope(text: str, x: Fraction) -> None:
    if "min" in text or "max" in text:  # at a kink there is none
        return
    s, node, letters = read(text)
    slope = sure_value(s.derivative(node, letters["x"]), {letters["x"]: x})
    with mp.workdps(60):
        step = Fraction(1, 10**20)
        there = (value(text, {"x": x + step}) - value(text, {"x": x - step})) * 10**20 / 2
    assert slope is not None
    assert abs(slope - there) < mpf(10) ** -25 * (1 + abs(there))


@pytest.mark.parametrize(("text", "slope"), [
    ("relu(x)", "where(x > 0, 1, 0)"), ("min(x, y)", "where(x <= y, 1, 0)"), ("max(y, x)", "where(y >= x, 0, 1)"), ("x**3", "3 * x**2"),
    ("log(x)", "1 / x"), ("x * y", "y"), ("where(x > y, x, 2*x)", "where(x > y, 1, 2)"),
])  # fmt: skip
def test_derivatives_by_rule(text: str, slope: str) -> None:
    s, node, letters = read(text)
    assert s.derivative(node, letters["x"]) is s.formula(slope, **letters)


def test_a_stopped_quantity_has_no_slope() -> None:
    s, x = Scalars(), Scalars().variable("x")
    stopped = s.make(op="stop", args=(s.call("mul", x, x),))
    assert s.derivative(s.call("mul", stopped, x), x) is stopped


def test_variables_inside_reductions() -> None:
    s = Scalars()
    x, y, b = s.variable("x"), s.variable("y"), s.make(op="parameter", data="b")
    inner = s.make(op="reduce", data="mean", args=(s.call("mul", b, y),))
    outer = s.make(op="reduce", data="total", args=(s.call("exp", inner),))
    node = s.call("add", x, outer)
    assert variables(node) == [x, outer]
    assert inner_variables(node) == [x, outer, inner, b, y]
    assert inner not in topological_scalar(node)
    assert s.substitute(node, {y: x}) is node  # opaque: what is inside stays


def test_a_literal_of_many_digits_is_none() -> None:
    s = Scalars()
    for number in (Fraction(3, 7), Fraction(2**MAX_BITS - 1), Fraction(1, 2**MAX_BITS - 1)):
        assert s.short(number) is s.number(number)
    for number in (Fraction(2**MAX_BITS), Fraction(1, 2**MAX_BITS)):
        assert s.short(number) is None


def test_variables_of_several_scalars_stand_once() -> None:
    s, node, letters = read("x*y + exp(x)")
    assert variables_of([letters["y"], node, s.number(2)]) == [letters["y"], letters["x"]]


def test_literals() -> None:
    s = Scalars()
    x = s.variable("x")
    assert is_number(s.number(3))
    assert is_number(s.number(3), 3)
    assert not is_number(s.number(3), 4)
    assert not is_number(x)
    assert is_number(s.call("sub", x, x), 0)


@pytest.mark.parametrize(("text", "pairs"), [
    ("exp(x)", []), ("relu(x)", [("x", "0")]), ("clip(x, -1, y)", [("x", "-1"), ("x", "y")]), ("where(x > y, x, 1)", [("x", "y")]),
    ("max(x, y, 1)", [("x", "y"), ("x", "1"), ("y", "1")]), ("relu(x) + sign(y)", [("x", "0"), ("y", "0")]),
])  # fmt: skip
def test_the_pairs_whose_order_switches_it(text: str, pairs: list[tuple[str, str]]) -> None:
    _, node, _ = read(text)
    assert [tuple(map(shown, pair)) for pair in switching_pairs(node)] == pairs
