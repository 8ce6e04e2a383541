"""Enclosures hold the value, shrink with more bits, and say that there is none where there is none."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from mpmath import mp, mpf
from sampled import QUICK, exact, formulas, many, numbers, value

from halo.analysis.numbers.digits import Digits
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.numbers.intervals import Enclosures, Unknown
from halo.analysis.numbers.rationals import Nothing
from halo.analysis.scalar import Scalars
from halo.analysis.values import Numbers, Program, enclosed, nowhere, sure_value, surely_below, values
from halo.compiler.graph import Node

WORDS = ("sigmoid", "logsigmoid", "softplus", "tanh", "relu", "abs", "exp", "expm1", "atan", "asinh")


def read(text: str, **at: Fraction) -> tuple[Node, dict[Node, Fraction]]:
    s = Scalars()
    letters = {name: s.variable(name) for name in ("x", "y")}
    return s.formula(text, **letters), {letters[name]: Fraction(v) for name, v in at.items()}


def ends(text: str, bits: int, **at: Fraction) -> tuple[Fraction, Fraction]:
    found = enclosed(*read(text, **at), bits)
    if isinstance(found, Fraction):
        return found, found
    low, high = (exact(mp.make_mpf(end)) for end in found)
    return low, high


@QUICK
@given(formulas(["x", "y"], words=WORDS), numbers, numbers)
def test_an_enclosure_holds_the_value(text: str, x: Fraction, y: Fraction) -> None:
    try:
        wide, narrow = (ends(text, bits, x=x, y=y) for bits in (60, 400))
    except Unknown:  # a comparison that intervals do not settle
        return
    with mp.workdps(400):
        there = exact(value(text, {"x": x, "y": y}, 400))
    slack = Fraction(1, 10**90) * (1 + abs(there))  # of the test's own rounding
    assert wide[0] - slack <= there <= wide[1] + slack
    assert narrow[0] - slack <= there <= narrow[1] + slack
    assert narrow[1] - narrow[0] <= wide[1] - wide[0]


@pytest.mark.parametrize(("text", "value"), [
    ("x + y/3", "2/3"), ("x**2", "1/4"), ("sqrt(x*x)", "1/2"), ("log(2*x)", "0"), ("sigmoid(x - x)", "1/2"), ("where(x < y, x, y)", "1/2"),
    ("max(x, y, 1/3)", "1/2"), ("clip(7*x, 0, 1)", "1"), ("sign(-x)", "-1"), ("expm1(y - y)", "0"), ("2**(2*x)", "2"),
])  # fmt: skip
def test_what_is_rational_is_exact(text: str, value: str) -> None:
    assert enclosed(*read(text, x=Fraction(1, 2), y=Fraction(1, 2)), 60) == Fraction(value)


@pytest.mark.parametrize("text", ["1/(x - x)", "log(-x)", "log(x - x)", "sqrt(-x)", "log1p(-2 - x)", "0**(-x)", "(-x)**(1/2)", "log(exp(x) - exp(x) - 1)"])
def test_what_has_no_value_is_said_to_have_none(text: str) -> None:
    node, point = read(text, x=Fraction(2))
    with pytest.raises((Nothing, Unknown)):
        enclosed(node, point, 200)
    assert nowhere(node, point)
    assert sure_value(node, point) is None


def test_a_branch_that_is_not_taken_may_have_no_value() -> None:
    assert enclosed(*read("where(x > 0, x, log(-1 - x))", x=Fraction(2)), 60) == 2


def test_what_cancels_needs_more_bits_and_gets_them() -> None:
    """In 60 and in 90 digits this is 0."""
    assert sure_value(*read("(exp(300) + x) - exp(300)", x=Fraction(1, 3))) == pytest.approx(mpf(1) / 3)


def test_a_comparison_that_intervals_do_not_settle_is_unknown() -> None:
    node, point = read("where(exp(log(3)) < 3, 1, 2)", x=Fraction(1))
    with pytest.raises(Unknown):
        enclosed(node, point, 100)
    assert sure_value(node, point) is None
    assert not nowhere(node, point)


@QUICK
@given(formulas(["x", "y"], words=WORDS), numbers, numbers)
def test_floats_at_once_are_floats_step_by_step(text: str, x: Fraction, y: Fraction) -> None:
    """Also where a step has no value: then the one function raises, and the steps are taken one after the other."""
    node, point = read(text, x=x, y=y)
    program, given = Program([node], list(point), DOUBLES), [float(value) for value in point.values()]
    (slowly,) = [program.run(given)[place] for place in program.outputs]
    (fast,) = program(given)
    assert fast == pytest.approx(slowly, rel=1e-12, abs=1e-300, nan_ok=True)  # a word's two spellings round differently


# -- programs, on every kind of number ------------------------------------------------------------------------------------------


@QUICK
@given(formulas(["x", "y"], words=WORDS), numbers, numbers)
def test_a_program_has_the_same_values_on_all_kinds_of_numbers(text: str, x: Fraction, y: Fraction) -> None:
    s = Scalars()
    letters = [s.variable(name) for name in "xy"]
    node = s.formula(text, x=letters[0], y=letters[1])
    with mp.workdps(60):
        there = value(text, {"x": x, "y": y})
        (digits,) = Program([node], letters, Digits())([many(x), many(y)])
        (double,) = Program([node], letters, DOUBLES)([float(x), float(y)])
        assert abs(digits - there) <= mpf(10) ** -45 * (1 + abs(there))
        if abs(there) < 1e12:  # past that, a difference of two exponentials loses what floats have
            assert abs(mpf(double) - there) <= 1e-6 * (1 + abs(there))
    run = Program([node], letters, Digits()).run([many(x), many(y)])
    assert run[:2] == [many(x), many(y)]
    assert values([node], {letters[0]: x, letters[1]: y}, DOUBLES)[node] == double or double != double


@pytest.mark.parametrize("kind", [DOUBLES, Digits(), Enclosures(100)], ids=["doubles", "digits", "enclosures"])
def test_what_has_no_value_goes_on_except_from_the_branch_that_is_not_taken(kind: Numbers) -> None:
    s = Scalars()
    x = s.variable("x")
    outputs = [s.formula(text, x=x) for text in ("log(x) + 1", "where(x < 0, x, log(x))", "where(log(x) > 0, 1, 2)", "x**2")]
    found = values(outputs, {x: Fraction(-2)}, kind)
    assert [kind.lost(found[node]) for node in outputs] == [True, False, True, False]
    assert float(found[outputs[1]]) == -2
    assert float(found[outputs[3]]) == 4
    assert kind.lost(kind.nothing(ValueError()))


@QUICK
@given(numbers, numbers)
def test_surely_below_is_below(x: Fraction, y: Fraction) -> None:
    assert surely_below(many(x), many(y)) == (x < y)


def test_what_rounding_could_explain_is_not_surely_below() -> None:
    with mp.workdps(60):
        assert not surely_below(mpf(1), 1 + mpf(10) ** -40)
        assert not surely_below(mpf(10) ** 40, mpf(10) ** 40 + 1)
        assert surely_below(mpf(1), 1 + mpf(10) ** -20)
    assert not surely_below(None, mpf(1))
    assert not surely_below(mpf(1), None)


def test_one_kind_of_numbers_serves_two_precisions() -> None:
    """A program that is kept must not keep its literals in the digits that the context had when it was first asked."""
    s = Scalars()
    x = s.variable("x")
    node, digits = s.formula("x + 1/3", x=x), Digits()
    for dps in (15, 60):
        with mp.workdps(dps):
            assert abs(values([node], {x: Fraction(1)}, digits)[node] * 3 - 4) < mpf(10) ** (2 - dps)


def test_all_steps_at_once_raise_where_one_has_no_value() -> None:
    s = Scalars()
    x = s.variable("x")
    program = Program([s.formula("log(x) + 1/3", x=x), x], [x], DOUBLES)
    assert program.at_once([1.0]) == [pytest.approx(1 / 3, rel=1e-15), 1.0]
    with pytest.raises(ValueError, match="domain"):
        program.at_once([-2.0])
    assert DOUBLES.lost(program([-2.0])[0])
