"""Floats: within a few roundings of many digits, the limits that the rows declare at the ends, nan where there is no value."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from independent import COMPARED, applied, knows
from mpmath import mp, mpf
from sampled import QUICK

from halo.analysis.numbers.doubles import DOUBLES, Doubles
from halo.objective.functions import FUNCTIONS

WORDS = sorted(filter(knows, set(FUNCTIONS) - {"where", *COMPARED}))
floats = st.floats(-30, 30).filter(lambda x: x == 0 or abs(x) > 1e-6)
CLOSE = 1e-9
"""Relative to 1 and the value, or the arguments if those are larger: floats search, and at log1mexp(-1e-6) or 30**30 a few digits go."""


@QUICK
@given(st.sampled_from(WORDS), floats, floats, floats)
def test_a_function_is_near_the_tests_own_value(word: str, x: float, y: float, z: float) -> None:
    arguments = (x, y, z)[: FUNCTIONS[word].arity[0]]
    with mp.workdps(60):
        try:
            there = applied(word, [mpf(a) for a in arguments])
        except ZeroDivisionError:
            return
        if isinstance(there, mp.mpc) or not mp.isfinite(there):
            return
        found = DOUBLES.function(word)(*arguments)
        assert abs(mpf(found) - there) <= CLOSE * (1 + abs(there)), (word, arguments)


@pytest.mark.parametrize(
    ("word", "x", "there"),
    [
        ("exp", 1e4, math.inf), ("exp", -1e4, 0.0), ("log", 0.0, -math.inf), ("log1p", -1.0, -math.inf), ("log1mexp", 0.0, -math.inf),
        ("softplus", 1e4, 1e4), ("softplus", -1e4, 0.0), ("logsigmoid", -1e4, -1e4), ("sigmoid", 1e4, 1.0), ("sigmoid", -1e4, 0.0),
        ("expm1", 1e4, math.inf), ("expm1", -1e4, -1.0), ("tanh", 1e4, 1.0), ("sqrt", math.inf, math.inf), ("erf", -1e4, -1.0),
    ],
)  # fmt: skip
def test_far_out_and_at_the_ends_it_is_the_limit(word: str, x: float, there: float) -> None:
    assert DOUBLES.function(word)(x) == there


@pytest.mark.parametrize(
    ("word", "arguments"), [("log", (-1.0,)), ("sqrt", (-2.0,)), ("log1p", (-3.0,)), ("pow", (-8.0, 1 / 3)), ("pow", (0.0, -1.0))]
)
def test_what_has_no_value_is_no_number(word: str, arguments: tuple[float, ...]) -> None:
    assert DOUBLES.lost(DOUBLES.function(word)(*arguments))


def test_the_nearest_float() -> None:
    assert DOUBLES.number(Fraction(1, 3)) == 1 / 3
    assert (DOUBLES.number(Fraction(10**400)), DOUBLES.number(-Fraction(10**400))) == (math.inf, -math.inf)


def test_signs_and_powers() -> None:
    assert [Doubles.sign(x) for x in (-2.0, 0.0, 1e-300)] == [-1, 0, 1]
    assert Doubles.power(-2.0, 3.0) == -8
    assert math.isnan(Doubles.power(1e200, 2.0))  # past the largest float


def test_nothing_is_no_number() -> None:
    assert DOUBLES.lost(DOUBLES.nothing(ValueError()))
    assert not DOUBLES.lost(math.inf)
