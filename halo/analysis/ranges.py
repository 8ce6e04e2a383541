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


def monotone_image(
    span: Span, function: Callable[[mpf], mpf], rising: bool, domain: Span, limits: Span, exact: Callable[[Fraction], Fraction | None]
) -> Span:
    """The range of a strictly monotone function: its values at the ends, rounded outwards where they are not rational.

    `limits` is the range of the function as a whole, so its values where an end is an end of `domain` or too large to
    evaluate; `exact` gives the rational values it is known to take.
    """

    def at(value: End, is_open: bool, side: int) -> tuple[End, bool]:
        limit = (limits.high, True) if (side > 0) == rising else (limits.low, True)
        if isinstance(value, float):
            return limit
        known = exact(value)
        if known is not None:
            return known, is_open
        if value in (domain.low, domain.high):
            return limit
        return _rounded(function, value, side if rising else -side, limit[0]), True

    ends = (at(span.low, span.low_open, -1), at(span.high, span.high_open, +1))
    (low, low_open), (high, high_open) = ends if rising else (ends[1], ends[0])
    clipped = Span(low, high, low_open, high_open).within(limits)
    return clipped if clipped is not None else limits


def _rounded(function: Callable[[mpf], mpf], value: Fraction, side: int, limit: End) -> End:
    """The value, 50 digits computed, padded outwards by 1e-40 of itself; past all measure, the limit or a power of two."""
    with mp.workdps(50):
        result = function(mpf(value.numerator) / mpf(value.denominator))
        sign, mantissa, exponent, bits = result._mpf_
    direction = -1 if sign else 1
    if abs(exponent + bits) > MAGNITUDE:
        size = 1 if exponent > 0 else -1
        outwards = side == direction * size  # a bound past it, where the last power of two is on this side of it
        return limit if outwards else Fraction(2) ** (size * MAGNITUDE) * direction
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * direction
    pad = (1 + abs(exact)) * Fraction(1, 10**40)  # absolute too: log(1 - exp(x)) cancels
    return rounded_outwards(exact + pad * side, side)
