"""Whether a scalar is 0 or free of a variable: against polynomials that sympy multiplies out, and against values of the tests' own."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, formulas, spans, value

from halo.analysis.identity import is_free_of, is_zero, named, nonzero_point, number, shown
from halo.analysis.points import at_kink
from halo.analysis.ranges import NEGATIVE, POSITIVE, Span
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node

F = Fraction
BOX = {"b": POSITIVE, "n": NEGATIVE}


def read(text: str) -> tuple[Scalars, Node, dict[str, Node], dict[Node, Span]]:
    s = Scalars()
    letters = {name: s.variable(name) for name in "xybn"}
    return s, s.formula(text, **letters), letters, {letters[name]: span for name, span in BOX.items()}


factors = st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3))


@QUICK
@given(st.lists(factors, min_size=1, max_size=3), st.integers(-2, 2))
def test_a_product_is_what_sympy_makes_of_it(drawn: list[tuple[int, int, int]], off: int) -> None:
    product = " * ".join(f"({a}*x + {b}*y + {c})" for a, b, c in drawn)
    expanded = str(sympy.expand(sympy.sympify(product)))
    s, node, _, box = read(f"{product} - ({expanded}) + {off}")
    assert is_zero(s, node, box) is (off == 0)


@pytest.mark.parametrize(
    "zero", ["exp(x)*exp(-x) - 1", "relu(x) - relu(-x) - x", "sigmoid(x) + sigmoid(-x) - 1", "log(b*b) - 2*log(b)", "abs(n) + n"]
)
def test_identities(zero: str) -> None:
    s, node, _, box = read(zero)
    assert is_zero(s, node, box) is True
    assert nonzero_point(node, box) is None


@QUICK
@given(st.data(), formulas(["x", "y"]))
def test_a_point_that_is_not_0_is_not(data: st.DataObject, text: str) -> None:
    s, node, letters, _ = read(text)
    box = {letters["x"]: data.draw(spans), letters["y"]: data.draw(spans)}
    found = nonzero_point(node, box)
    if found is None:
        return
    point, there = found
    assert all(x in box[v] for v, x in point.items())
    at = {name: point.get(letters[name], F(0)) for name in "xy"}
    with mp.workdps(60):
        expected = value(text, at)
        assert expected != 0
        assert abs(there - expected) <= mpf(10) ** -35 * (1 + abs(expected))
    assert is_zero(s, node, box) is False


def test_a_point_off_the_kinks_is_asked_for() -> None:
    """The slope of relu at 0 is a convention: it tells nothing about the curve."""
    _, node, letters, _ = read("relu(x)")
    found = nonzero_point(node, {letters["x"]: Span(F(0), F(1))}, off_kinks_of=node)
    assert found is not None
    assert not at_kink(node, found[0])


@pytest.mark.parametrize(("text", "free"), [
    ("y + exp(y)", True), ("x - x", True), ("x + y", False), ("(x + y)**2 - x**2 - 2*x*y", True), ("sigmoid(x) + sigmoid(-x)", True), ("sign(x)", False),
    ("where(x > 0, 1, 2)", False), ("where(x > y, 1, 2)", False), ("exp(x + y)*exp(-x)", True), ("log(b*exp(x)) - x", True), ("sign(b*exp(x))", True),
])  # fmt: skip
def test_whether_it_depends_on_x(text: str, free: bool) -> None:
    s, node, letters, box = read(text)
    found = is_free_of(s, node, letters["x"], box)
    assert found is free or (free and found is None), "not seen is no error; the wrong answer is"
    if not free:
        values = {value(text, {"x": x, "y": F(1, 3), "b": F(2)}) for x in (F(-2), F(-1, 7), F(1, 5), F(3))}
        assert len(values) > 1


@QUICK
@given(formulas(["x", "y"], depth=2))
def test_what_is_said_to_depend_on_x_has_two_values(text: str) -> None:
    s, node, letters, box = read(text)
    found = is_free_of(s, node, letters["x"], box)
    with mp.workdps(60):
        tried = [
            [value(text, {"x": x, "y": y}) for x in (F(-20), F(-3), F(-1, 2), F(0), F(1, 3), F(1), F(5), F(30))]
            for y in (F(-2), F(0), F(1, 3), F(4))
        ]
    moves = any(max(row) - min(row) > mpf(10) ** -40 for row in tried)
    if found is True:
        assert not moves
    if found is False:
        assert moves, text


@pytest.mark.parametrize("constant", ["relu(x) - relu(-x) - x", "max(x, -x) - abs(x)", "min(x, y) + max(x, y) - x - y"])
def test_what_is_constant_does_not_depend_on_x_for_its_kinks(constant: str) -> None:
    s, node, letters, box = read(constant)
    assert is_free_of(s, node, letters["x"], box) is not False


# -- how it is written -----------------------------------------------------------------------------------------------------


def test_a_sum_over_tokens_is_shown_by_its_name() -> None:
    s = Scalars()
    logp = s.make(op="input", data="log π", slot="chosen", axes=("example", "token"))
    total = s.make(op="reduce", data="sum of", args=(logp,), axes=("example",), over=("token",))
    assert shown(s.call("mul", s.number(2), total)) == "2 * sum_of(chosen.log π)"
    assert named({total: F(1, 3), s.variable("x"): F(-2)}) == {"sum_of(chosen.log π)": "1/3", "x": "-2"}


def test_numbers_of_a_witness() -> None:
    assert number(F(-7, 3)) == "-7/3"
    assert number(mpf(1) / 3) == "0.333333333333"
