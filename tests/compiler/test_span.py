"""What a range says of its numbers is so of every one, and what it is read from gives the same numbers."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import QUICK, members, numbers, spans

from halo.compiler.ranges import REALS, Span, coarse, rounded_outwards
from halo.objective.schema import Interval

F = Fraction


@QUICK
@given(st.data())
def test_what_a_range_says_is_so_of_its_numbers(data: st.DataObject) -> None:
    span = data.draw(spans)
    x = data.draw(members(span))
    assert not span.positive or x > 0
    assert not span.negative or x < 0
    assert not span.nonnegative or x >= 0
    assert not span.nonpositive or x <= 0
    assert span.exact in (None, x)
    assert span.bounded == (span.low > -inf and span.high < inf)


@pytest.mark.parametrize(
    ("span", "said"),
    [(Span(F(0), F(1)), "nonnegative"), (Span(F(0), F(1), True), "nonnegative positive"), (Span(F(-1), F(0)), "nonpositive"),
     (Span(F(-1), F(0), False, True), "nonpositive negative"), (Span.point(0), "nonnegative nonpositive"), (REALS, ""), (Span.point(2), "nonnegative positive")],
)  # fmt: skip
def test_what_can_be_said_is_said(span: Span, said: str) -> None:
    assert " ".join(word for word in ("nonnegative", "nonpositive", "positive", "negative") if getattr(span, word)) == said


@pytest.mark.parametrize("text", ["(0, inf)", "[0, 1/2)", "(-inf, inf)", "[-1, 1]", "(-inf, 3]", "[2, 2]"])
def test_a_declared_interval_has_the_same_numbers(text: str) -> None:
    interval, span = Interval.parse(text), Span.of(Interval.parse(text))
    assert all((x in interval) == (x in span) for x in (F(n, 4) for n in range(-16, 17)))
    assert str(span) == text


@QUICK
@given(st.lists(spans, min_size=2, max_size=2), numbers)
def test_both_ends_of_a_minimum_are_attained_or_open(drawn: list[Span], x: Fraction) -> None:
    """A number is in the minimum exactly where it is in one range and the other does not lie wholly below it."""
    a, b = drawn
    assert (x in a.minimum(b)) == ((x in a and _reaches(b, x)) or (x in b and _reaches(a, x)))
    assert (x in a.maximum(b)) == (-x in (-a).minimum(-b))


def _reaches(span: Span, x: Fraction) -> bool:
    """Whether some number of the range is >= x."""
    return span.high > x or (span.high == x and not span.high_open)


@given(st.integers(-(10**300), 10**300), st.integers(1, 10**300), st.sampled_from([-1, 1]))
@QUICK
def test_a_long_number_is_rounded_to_its_side(top: int, bottom: int, side: int) -> None:
    x = F(top, bottom)
    short = rounded_outwards(x, side)
    assert (short - x) * side >= 0
    assert abs(short - x) <= abs(x) * F(1, 2**200)
    assert short == x or abs(short.numerator).bit_length() <= 302 or short.denominator == 1  # half of BITS, times a power of two


@QUICK
@given(spans)
def test_short_ends_are_left_as_they_are(span: Span) -> None:
    assert coarse(span) == span
    assert all(rounded_outwards(F(end), side) == end for end in (span.low, span.high) if abs(end) != inf for side in (-1, 1))
