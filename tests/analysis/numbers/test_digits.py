"""Many digits: the precision of the context, the tests' own values, and nan where torch has no real number either."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from independent import COMPARED, applied, knows
from mpmath import mp, mpf
from sampled import QUICK, many, numbers

from halo.analysis.numbers.digits import Digits
from halo.objective.functions import FUNCTIONS

F = Fraction
WORDS = sorted(filter(knows, set(FUNCTIONS) - {"where", *COMPARED}))


@QUICK
@given(st.sampled_from(WORDS), numbers, numbers, numbers)
def test_a_function_has_the_tests_own_value(word: str, x: Fraction, y: Fraction, z: Fraction) -> None:
    with mp.workdps(60):
        digits = Digits()
        arguments = [digits.number(a) for a in (x, y, z)[: FUNCTIONS[word].arity[0]]]
        try:
            there = applied(word, arguments)
        except ZeroDivisionError:
            return
        found = digits.function(word)(*arguments)
        if isinstance(there, mp.mpc) or there != there:
            assert digits.lost(found), (word, arguments, found)
        elif mp.isfinite(there):
            assert abs(found - there) <= mpf(10) ** -50 * (1 + abs(there))


def test_a_number_has_the_digits_of_its_own_context() -> None:
    m = mp.clone()
    m.dps = 200
    assert abs(Digits(m).number(F(1, 3)) * 3 - 1) < mpf(10) ** -199
    assert Digits(m).number(0.5) == Digits(m).number(F(1, 2)) == many(F(1, 2))


@pytest.mark.parametrize(
    ("word", "arguments"), [("log", (-1,)), ("sqrt", (-2,)), ("pow", (-8, F(1, 3))), ("log1p", (-3,)), ("log1mexp", (1,))]
)
def test_what_is_not_real_is_no_number(word: str, arguments: tuple[Fraction, ...]) -> None:
    digits = Digits()
    assert digits.lost(digits.function(word)(*map(digits.number, arguments)))


def test_nothing_is_no_number() -> None:
    digits = Digits()
    assert digits.lost(digits.nothing(ValueError()))
    assert not digits.lost(digits.number(F(0)))
