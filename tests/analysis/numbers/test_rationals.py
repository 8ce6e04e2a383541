"""Exact fractions: a claimed value is Python's own, or mpmath's in many digits; what is said to have no value has none."""

from __future__ import annotations

import operator
from fractions import Fraction
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from independent import COMPARED, applied, knows
from mpmath import mp, mpf
from sampled import QUICK, many, numbers

from halo.analysis.numbers.rationals import Irrational, Nothing, Rationals, ending, length, rational_value
from halo.objective.functions import FUNCTIONS

F = Fraction
PYTHON: dict[str, Any] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg, "min": min, "max": max,
    "abs": abs, "relu": lambda x: max(x, F(0)), "sign": lambda x: F((x > 0) - (x < 0)), "clip": lambda x, low, high: min(max(x, low), high),
    "softsign": lambda x: x / (1 + abs(x)), **COMPARED,
}  # fmt: skip
"""Words whose value of fractions is a fraction, by Python's own arithmetic."""

ONE_ARGUMENT = [word for word, row in FUNCTIONS.items() if row.arity == (1, 1) and knows(word)]


@QUICK
@given(st.sampled_from(sorted(PYTHON)), numbers, numbers, numbers)
def test_arithmetic_is_pythons(word: str, x: Fraction, y: Fraction, z: Fraction) -> None:
    arguments = [x, y, z][: FUNCTIONS[word].arity[1]]
    if word == "div" and y == 0:
        with pytest.raises(Nothing):
            rational_value(word, arguments)
        return
    found = rational_value(word, arguments)
    assert found == PYTHON[word](*arguments)
    assert isinstance(found, bool if word in COMPARED else Fraction)


@pytest.mark.parametrize("word", ONE_ARGUMENT)
def test_a_function_has_the_value_that_is_claimed(word: str) -> None:
    """None claims nothing; Nothing claims that mpmath has no finite real value."""
    for x in [F(n, 6) for n in range(-24, 25)] + [F(100), F(-100), F(1, 10**6)]:
        with mp.workdps(80):
            try:
                there = applied(word, [many(x)])
            except (ZeroDivisionError, ValueError):
                there = mp.nan
            real = not isinstance(there, mp.mpc) and bool(mp.isfinite(there))
            try:
                claimed = rational_value(word, [x])
            except Nothing:
                assert not real, (word, x, there)
                continue
            if claimed is not None:
                assert real, (word, x, claimed)
                assert abs(many(claimed) - there) < mpf(10) ** -60, (word, x, claimed)


@QUICK
@given(numbers, numbers)
def test_a_power_has_the_value_that_is_claimed(x: Fraction, y: Fraction) -> None:
    no_value = (x == 0 and y < 0) or (x < 0 and y.denominator != 1)
    try:
        claimed = rational_value("pow", [x, y])
    except Nothing:
        assert no_value
        return
    assert not no_value
    if y.denominator == 1:
        assert claimed == x ** int(y)
    if claimed is not None:
        with mp.workdps(80):
            assert abs(many(claimed) - many(x) ** many(y)) < mpf(10) ** -60 * (1 + abs(many(claimed)))


def test_a_power_without_end_is_not_computed() -> None:
    assert rational_value("pow", [F(3, 2), F(10**9)]) is None
    assert rational_value("pow", [F(1), F(10**9)]) == 1
    assert rational_value("pow", [F(0), F(1, 2)]) == 0
    assert rational_value("pow", [F(0), F(0)]) == 1  # as in Python and in torch


@pytest.mark.parametrize("root", [F(0), F(1), F(7, 3), F(10**30 + 1), F(1, 10**30)])
def test_the_root_of_a_square_is_exact(root: Fraction) -> None:
    assert Rationals.sqrt(root * root) == root


@pytest.mark.parametrize(("x", "raised"), [(F(2), Irrational), (F(1, 2), Irrational), (F(10**60 + 1), Irrational), (F(-1), Nothing)])
def test_a_root_that_is_no_fraction_is_none(x: Fraction, raised: type[Exception]) -> None:
    with pytest.raises(raised):
        Rationals.sqrt(x)


def test_the_static_functions() -> None:
    assert [Rationals.sign(x) for x in (F(-2), F(0), F(1, 9))] == [-1, 0, 1]
    assert Rationals.power(F(-2), F(3)) == -8
    with pytest.raises(Irrational):  # a function that the vocabulary does not have
        Rationals().zeta(F(2))


@given(st.integers(-(2**70), 2**70), st.integers(1, 2**70))
@QUICK
def test_a_length_is_that_of_the_longer_part_in_binary(top: int, bottom: int) -> None:
    x = F(top, bottom)
    assert length(x) == max(len(f"{abs(x.numerator):b}") if x else 0, len(f"{x.denominator:b}"))


def test_ends_as_the_table_spells_them() -> None:
    assert [ending(text) for text in ("-inf", "inf", "0", "1/2", "-1.5")] == [-inf, inf, F(0), F(1, 2), F(-3, 2)]
    assert all(isinstance(ending(end), Fraction) for row in FUNCTIONS.values() for end in (*row.domain, *row.range) if "inf" not in end)
