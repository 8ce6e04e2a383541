"""Enclosures, word by word: the value at any numbers inside the arguments lies in the result, rounded the right way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent import COMPARED, applied, knows, valued
from mpmath import mp
from sampled import QUICK, exact, many, numbers

from halo.analysis.numbers.intervals import Enclosures, Ends, Unknown, Value, ends
from halo.analysis.numbers.rationals import Nothing
from halo.analysis.scalar import Scalars
from halo.analysis.values import enclosed, nowhere
from halo.objective.formula import parse
from halo.objective.functions import FUNCTIONS

F = Fraction
BITS = 120
WORDS = sorted(filter(knows, set(FUNCTIONS) - {"where", *COMPARED}))
widths = st.sampled_from([F(0), F(1, 10**6), F(1, 3), F(3)])


def interval(low: Fraction, high: Fraction) -> Ends:
    return ends(low, BITS)[0], ends(high, BITS)[1]


def as_fractions(value: Value) -> tuple[Fraction, Fraction]:
    if isinstance(value, Fraction):
        return value, value
    low, high = (exact(mp.make_mpf(end)) for end in value)
    return low, high


def real(word: str, arguments: list[Fraction]) -> Fraction | None:
    """The value in 150 digits, or None where there is no finite real one."""
    with mp.workdps(150):
        try:
            there = applied(word, [many(x) for x in arguments])
        except (ZeroDivisionError, ValueError):
            return None
        return None if isinstance(there, mp.mpc) or not mp.isfinite(there) else exact(there)


@pytest.mark.parametrize("word", WORDS)
@settings(QUICK, max_examples=30)  # of each of two dozen words
@given(st.data())
def test_a_word_encloses_its_values(word: str, data: st.DataObject) -> None:
    least, most = FUNCTIONS[word].arity
    lows = [data.draw(numbers) for _ in range(data.draw(st.integers(least, min(most, 3))))]
    boxes = [(low, low + data.draw(widths)) for low in lows]
    given_to = [low if low == high and data.draw(st.booleans()) else interval(low, high) for low, high in boxes]
    inside = [low + (high - low) * data.draw(st.sampled_from([F(0), F(1, 7), F(1)])) for low, high in boxes]
    there = real(word, inside)
    try:
        found = Enclosures(BITS).applied(word, tuple(given_to))
    except Unknown:
        return
    except Nothing:
        assert there is None, (word, inside, there)
        return
    assert there is not None, (word, inside)
    low, high = as_fractions(found)
    slack = F(1, 10**100) * (1 + abs(there))  # of the test's own 150 digits
    assert low - slack <= there <= high + slack, (word, inside)


@pytest.mark.parametrize("word", COMPARED)
@QUICK
@given(numbers, numbers, widths, widths)
def test_a_comparison_holds_for_all_or_is_unknown(word: str, x: Fraction, y: Fraction, wide: Fraction, high: Fraction) -> None:
    corners = {COMPARED[word](a, b) for a in (x, x + wide) for b in (y, y + high)}
    try:
        found = Enclosures(BITS).function(word)(interval(x, x + wide), interval(y, y + high))
    except Unknown:
        assert len(corners) == 2 or x + wide == y or y + high == x or (x, wide) == (y, high)
        return
    assert corners == {found}


@QUICK
@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(10, 200))
def test_ends_lie_around_a_fraction_and_near_it(top: int, bottom: int, bits: int) -> None:
    low, high = as_fractions(ends(F(top, bottom), bits))
    assert low <= F(top, bottom) <= high
    assert high - low <= abs(F(top, bottom)) * F(2) ** (1 - bits)
    assert ends(ends(F(top, bottom), bits), bits) == ends(F(top, bottom), bits)  # an interval stays what it is


@pytest.mark.parametrize(
    "text", ["where(x < y, x*y, log(-1 - x**2))", "clip(7*x, -y, y)", "max(x, y, 1/3) - min(x, -y)", "sigmoid(x - 2*y)"]
)
def test_a_formula_is_read_as_a_whole(text: str) -> None:
    at = {"x": F(1, 3), "y": F(5, 7)}
    low, high = as_fractions(Enclosures(BITS).read(parse(text), at))
    with mp.workdps(150):
        there = exact(valued(parse(text), {name: many(x) for name, x in at.items()}))
    assert low - F(1, 10**100) <= there <= high + F(1, 10**100)


def test_what_is_no_value_is_kept_as_the_reason() -> None:
    numbers = Enclosures(60)
    reason = Unknown()
    assert numbers.nothing(reason) is reason
    assert numbers.lost(reason)
    assert not numbers.lost(F(0))
    assert not numbers.lost(ends(F(1, 3), 60))
    assert numbers.number(F(1, 3)) == F(1, 3)


def test_exponentials_past_all_measure() -> None:
    numbers = Enclosures(60)
    low, high = as_fractions(ends(numbers.applied("sigmoid", (F(-(10**5)),)), 60))
    assert 0 <= low < high < F(1, 10**40_000)
    with pytest.raises(Unknown):
        numbers.applied("exp", (F(10**30),))




@pytest.mark.parametrize("text", ["relu(log(x) - 1)**(1/2)", "0**log(3*x)"])
def test_a_power_of_0_has_a_value(text: str) -> None:
    s = Scalars()
    x = s.variable("x")
    node, point = s.formula(text, x=x), {x: F(2)}
    assert not nowhere(node, point)
    assert enclosed(node, point, 200) is not None


def test_a_large_whole_power_of_a_negative_number_has_a_value() -> None:
    s = Scalars()
    x = s.variable("x")
    assert not nowhere(s.formula("(-1)**x", x=x), {x: F(2_000_000)})
