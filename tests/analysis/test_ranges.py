"""Ranges enclose: what an operation gives for numbers of its operands lies in what it gives for the ranges."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, exact, members, spans

from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span, coarse, monotone_image

F = Fraction


@QUICK
@given(st.data())
def test_a_number_of_each_range_stays_inside(data: st.DataObject) -> None:
    a, b = data.draw(spans), data.draw(spans)
    x, y = data.draw(members(a)), data.draw(members(b))
    assert x in a
    assert y in b
    assert x + y in a + b
    assert x - y in a - b
    assert x * y in a * b
    assert -x in -a
    assert min(x, y) in a.minimum(b)
    assert max(x, y) in a.maximum(b)
    assert x in a.joined(b)
    assert y in a.joined(b)
    assert x in coarse(a)


@QUICK
@given(st.data(), st.integers(1, 7))
def test_a_power_stays_inside(data: st.DataObject, n: int) -> None:
    a = data.draw(spans)
    assert data.draw(members(a)) ** n in a.power(n)


@pytest.mark.parametrize(
    ("found", "sharp"),
    [
        (Span(F(-2), F(3)).power(2), Span(F(0), F(9))),
        (Span(F(-2), F(3)).power(3), Span(F(-8), F(27))),
        (Span(F(-3), F(-2), True).power(2), Span(F(4), F(9), False, True)),
        (Span(F(-4), F(1), True).power(4), Span(F(0), F(256), False, True)),
        (REALS.power(2), NONNEGATIVE),
        (REALS.power(3), REALS),
        (Span(F(0), F(1), True, True).power(5), Span(F(0), F(1), True, True)),
    ],
)
def test_powers_are_sharp(found: Span, sharp: Span) -> None:
    assert found == sharp


@pytest.mark.parametrize("end", [F(10**170 + 1, 10**170), F(10**170 - 1, 10**170), F(7**190, 3**350), F(2**550 + 1, 3)])
@pytest.mark.parametrize("n", [5, 40, 10**6])
def test_powers_of_long_ends_are_rounded_outwards(end: F, n: int) -> None:
    found = Span.point(end).power(n)
    assert 0 <= found.low < found.high
    assert max(x.denominator.bit_length() for x in (found.low, found.high) if x != inf) < 12_000
    if n < 100:
        assert end**n in found


@QUICK
@given(st.data())
def test_a_reciprocal_encloses_or_is_refused(data: st.DataObject) -> None:
    a = data.draw(spans)
    inverse, x = a.reciprocal(), data.draw(members(a))
    if inverse is None:
        assert F(0) in a
    else:
        assert 1 / x in inverse


@QUICK
@given(st.data())
def test_within_is_what_both_hold(data: st.DataObject) -> None:
    a, b = data.draw(spans), data.draw(spans)
    x, both = data.draw(members(a)), a.within(b)
    assert (x in b) == (both is not None and x in both)


@QUICK
@given(st.data())
def test_a_sign_is_that_of_every_number(data: st.DataObject) -> None:
    a = data.draw(spans)
    x = data.draw(members(a))
    weak, strict = a.sign(), a.sign(strict=True)
    assert weak is None or weak * x >= 0
    assert strict is None or strict * x > 0 or strict == x == 0
    assert weak is not None or (strict is None and a.low < 0 < a.high)


@pytest.mark.parametrize(
    ("span", "weak", "strict"),
    [(POSITIVE, 1, 1), (NONNEGATIVE, 1, None), (NEGATIVE, -1, -1), (-NONNEGATIVE, -1, None), (REALS, None, None), (Span.point(0), 0, 0),
     (Span.point(3), 1, 1), (Span(F(0), F(1), True, False), 1, 1), (Span(F(-1), F(0), False, True), -1, -1)],
)  # fmt: skip
def test_signs(span: Span, weak: int | None, strict: int | None) -> None:
    assert (span.sign(), span.sign(strict=True)) == (weak, strict)


@pytest.mark.parametrize(
    ("found", "sharp"),
    [
        (Span(F(-1), F(2)) * Span(F(3), F(4)), Span(F(-4), F(8))),
        (Span(F(0), F(1), True) + Span.point(1), Span(F(1), F(2), True)),
        (NONNEGATIVE * POSITIVE, NONNEGATIVE),
        (POSITIVE * -POSITIVE, NEGATIVE),
        (Span(F(0), F(1)) * REALS, REALS),
        (Span(F(1), F(2)).reciprocal(), Span(F(1, 2), F(1))),
        (POSITIVE.reciprocal(), POSITIVE),
        (Span(F(-1), F(3)).maximum(Span.point(0)), Span(F(0), F(3))),
    ],
)
def test_ends_are_sharp(found: Span, sharp: Span) -> None:
    assert found == sharp


def test_long_ends_are_rounded_outwards() -> None:
    third = Span(F(1, 3**500), F(2, 3**500))
    short = coarse(third)
    assert short.low < third.low < third.high < short.high
    assert max(F(short.low).denominator.bit_length(), F(short.high).numerator.bit_length()) < 1000


@QUICK
@given(st.data(), st.sampled_from(["exp", "tanh", "atan"]))
def test_the_image_of_a_rising_function_holds_its_values(data: st.DataObject, name: str) -> None:
    span, function = data.draw(spans), getattr(mp, name)
    x = data.draw(members(span))
    limits = {"exp": POSITIVE, "tanh": Span(F(-1), F(1), True, True), "atan": Span(F(-8, 5), F(8, 5), True, True)}[name]
    image = monotone_image(span, function, True, REALS, limits, lambda v: None)
    with mp.workdps(80):
        assert exact(function(mpf(x.numerator) / x.denominator)) in image


def test_the_image_of_a_falling_function_is_turned_round() -> None:
    image = monotone_image(Span(F(1), F(2)), lambda v: 1 / v, False, POSITIVE, POSITIVE, lambda v: 1 / v)
    assert image == Span(F(1, 2), F(1))


def test_what_is_too_large_to_compute_has_the_limit_as_its_end() -> None:
    image = monotone_image(Span(F(10**6), F(10**6)), mp.exp, True, REALS, POSITIVE, lambda v: None)
    assert image.high == inf
    assert image.low > 10**1000


@QUICK
@given(spans)
def test_what_is_printed_encloses(span: Span) -> None:
    text = str(span)
    low, high = (float(F(end)) if "/" in end else float(end) for end in text[1:-1].split(", "))
    assert low <= float(span.low) + 1e-12
    assert high >= float(span.high) - 1e-12
