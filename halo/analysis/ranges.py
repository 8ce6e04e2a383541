"""Ranges of functions: the exact arithmetic of `compiler.ranges`, and images whose ends must be computed and rounded outwards."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from mpmath import mp, mpf

from halo.compiler.ranges import MAGNITUDE, rounded_outwards
from halo.compiler.ranges import NEGATIVE as NEGATIVE
from halo.compiler.ranges import NONNEGATIVE as NONNEGATIVE
from halo.compiler.ranges import POSITIVE as POSITIVE
from halo.compiler.ranges import REALS as REALS
from halo.compiler.ranges import End as End
from halo.compiler.ranges import Span as Span
from halo.compiler.ranges import coarse as coarse

DIGITS = 50
"""In which an end that is not rational is computed."""
PAD = Fraction(1, 10**40)
"""How far it is then moved outwards, of 1 + itself: 10 digits more than rounding can lose in the few operations of one function."""


def monotone_image(
    span: Span, function: Callable[[mpf], mpf], rising: bool, domain: Span, limits: Span, exact: Callable[[Fraction], Fraction | None]
) -> Span:
    """The range of a strictly monotone function: its values at the ends, rounded outwards where they are not rational.

    `limits` is the range of the function as a whole, so its values where an end is an end of `domain` or too large to
    evaluate; `exact` gives the rational values it is known to take.
    """

    def at(value: End, is_open: bool, outwards: int) -> tuple[End, bool]:
        """The value at an end, which is the upper one of the image where `outwards` is 1, the lower one where it is -1."""
        limit = limits.high if outwards > 0 else limits.low
        if isinstance(value, float):
            return limit, True
        known = exact(value)
        if known is not None:
            return known, is_open
        if value in (domain.low, domain.high):
            return limit, True
        return _rounded(function, value, outwards, limit), True

    if rising:
        (low, low_open), (high, high_open) = at(span.low, span.low_open, -1), at(span.high, span.high_open, +1)
    else:
        (low, low_open), (high, high_open) = at(span.high, span.high_open, -1), at(span.low, span.low_open, +1)
    return Span(low, high, low_open, high_open).within(limits) or limits


def _rounded(function: Callable[[mpf], mpf], value: Fraction, side: int, limit: End) -> End:
    """The value padded outwards; past all measure, the limit or a power of two."""
    with mp.workdps(DIGITS):
        result = function(mpf(value.numerator) / mpf(value.denominator))
        sign, mantissa, exponent, bits = result._mpf_
    direction = -1 if sign else 1
    if abs(exponent + bits) > MAGNITUDE:
        size = 1 if exponent > 0 else -1
        if side == direction * size:  # the bound is past it, where nothing but the limit is
            return limit
        return Fraction(2) ** (size * MAGNITUDE) * direction
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * direction
    pad = (1 + abs(exact)) * PAD  # absolute too: log(1 - exp(x)) cancels
    return rounded_outwards(exact + pad * side, side)
