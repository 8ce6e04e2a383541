"""Ranges of real numbers: exact rational ends, each open or closed, or infinite. The arithmetic always encloses.

Every operation returns a range that holds every value the operation can take on its operands. Rational ends are exact;
ends that are not rational (`exp(1)`, see `analysis.ranges`) are rounded outwards and marked open.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf

from halo.objective.schema import Interval

End = Fraction | float
"""A Fraction, or the floats inf and -inf."""

MAGNITUDE = 10_000  # bits: what is larger than this power of two is replaced by a bound that is known without computing it
BITS = 600  # longer ends are rounded outwards, so that exact arithmetic stays cheap


@dataclass(frozen=True)
class Span:
    """All x with low <= x <= high; an open end is left out. Infinite ends are open."""

    low: End
    high: End
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        if self.low == -inf and not self.low_open:
            object.__setattr__(self, "low_open", True)
        if self.high == inf and not self.high_open:
            object.__setattr__(self, "high_open", True)

    @classmethod
    def of(cls, interval: Interval) -> Span:
        """The range that a parameter or column declares."""
        low: End = -inf if interval.low is None else interval.low
        high: End = inf if interval.high is None else interval.high
        return cls(low, high, not interval.low_closed, not interval.high_closed)

    @classmethod
    def point(cls, value: Fraction | int) -> Span:
        """The range of one exact number."""
        return cls(Fraction(value), Fraction(value))

    @property
    def exact(self) -> Fraction | None:
        """The number, if there is only one."""
        if self.low == self.high and isinstance(self.low, Fraction):
            return self.low
        return None

    @property
    def positive(self) -> bool:
        """Whether every value is > 0."""
        return self.low > 0 or (self.low == 0 and self.low_open)

    @property
    def negative(self) -> bool:
        """Whether every value is < 0."""
        return self.high < 0 or (self.high == 0 and self.high_open)

    @property
    def nonnegative(self) -> bool:
        """Whether every value is >= 0."""
        return self.low >= 0

    @property
    def nonpositive(self) -> bool:
        """Whether every value is <= 0."""
        return self.high <= 0

    def sign(self, strict: bool = False) -> int | None:
        """+1 if every value is >= 0 (strict: > 0), -1 if every value is <= 0 (< 0), 0 if 0 is the only one, else None."""
        if self.exact == 0:
            return 0
        if self.positive or (self.nonnegative and not strict):
            return 1
        if self.negative or (self.nonpositive and not strict):
            return -1
        return None

    @property
    def bounded(self) -> bool:
        """Whether both ends are finite."""
        return self.low != -inf and self.high != inf

    def __contains__(self, x: Fraction) -> bool:
        above = x > self.low or (x == self.low and not self.low_open)
        return above and (x < self.high or (x == self.high and not self.high_open))

    def __str__(self) -> str:
        left = "(" if self.low_open else "["
        right = ")" if self.high_open else "]"
        return f"{left}{_short(self.low, -1)}, {_short(self.high, 1)}{right}"

    def __neg__(self) -> Span:
        return Span(-self.high, -self.low, self.high_open, self.low_open)

    def __add__(self, other: Span) -> Span:
        return _tidy(
            Span(
                _total(self.low, other.low),
                _total(self.high, other.high),
                self.low_open or other.low_open,
                self.high_open or other.high_open,
            )
        )

    def __sub__(self, other: Span) -> Span:
        return self + -other

    def __mul__(self, other: Span) -> Span:
        products = [_product(a, b) for a in self._ends() for b in other._ends()]
        return _hull(products)

    def reciprocal(self) -> Span | None:
        """1/x, or None if x can be 0."""
        if not (self.positive or self.negative):
            return None
        side = 1 if self.positive else -1
        ends = [(_inverse(value, side), is_open) for value, is_open in self._ends()]
        return _hull(ends)

    def _ends(self) -> list[tuple[End, bool]]:
        return [(self.low, self.low_open), (self.high, self.high_open)]

    def joined(self, other: Span) -> Span:
        """The smallest range that holds both."""
        return _hull([*self._ends(), *other._ends()])

    def within(self, other: Span) -> Span | None:
        """What both hold, or None if that is empty."""
        low, low_open = max(((self.low, self.low_open), (other.low, other.low_open)))
        high, high_open = min(((self.high, not self.high_open), (other.high, not other.high_open)))
        high_open = not high_open
        if low > high or (low == high and (low_open or high_open)):
            return None
        return Span(low, high, low_open, high_open)

    def power(self, n: int) -> Span:
        """x**n for a whole n >= 1."""
        if self.nonnegative:
            (low, low_open), (high, high_open) = (_power_of_end(end, n, side) for end, side in ((self.low, -1), (self.high, 1)))
            return Span(low, high, self.low_open or low_open, self.high_open or high_open)
        if self.nonpositive and n % 2 == 0:
            return (-self).power(n)
        if self.nonpositive:
            return -(-self).power(n)
        if n % 2 == 0:  # 0 is inside: what counts is how far away the farther end is
            top = self.maximum(-self)
            return Span(Fraction(0), top.high, False, top.high_open).power(n)
        below, above = Span(self.low, Fraction(0), self.low_open), Span(Fraction(0), self.high, False, self.high_open)
        return (-(-below).power(n)).joined(above.power(n))

    def minimum(self, other: Span) -> Span:
        """min(x, y)."""
        low = min((self.low, self.low_open), (other.low, other.low_open))
        high = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Span(low[0], high[0], low[1], not high[1])

    def maximum(self, other: Span) -> Span:
        """max(x, y)."""
        return -((-self).minimum(-other))


REALS = Span(-inf, inf)
POSITIVE = Span(Fraction(0), inf, True)
NONNEGATIVE = Span(Fraction(0), inf)
NEGATIVE = Span(-inf, Fraction(0), True, True)


def _total(a: End, b: End) -> End:
    """a + b; a float is infinite, and a long fraction is not turned into one."""
    if isinstance(a, float):
        return a
    if isinstance(b, float):
        return b
    return a + b


def _power_of_end(end: End, n: int, side: int) -> tuple[End, bool]:
    """end**n for end >= 0; where that is long, a number below it (side -1) or above it, which is then left out."""
    if isinstance(end, float) or end in (0, 1) or n * _bits(end) <= 4 * BITS:
        return end**n, False
    if n * abs(end.numerator.bit_length() - end.denominator.bit_length()) <= MAGNITUDE:
        result: End = Fraction(1)
        for bit in f"{n:b}":
            result = _shortened(result * result, side)
            if bit == "1":
                result = _shortened(result * end, side)
        return result, True
    # past all measure: from 1 on a power only grows, and below 1 it only falls towards 0
    if end > 1 and side > 0:
        return inf, True
    if end < 1 and side < 0:
        return Fraction(0), True
    return end, True


def _product(a: tuple[End, bool], b: tuple[End, bool]) -> tuple[End, bool]:
    if a[0] == 0 or b[0] == 0:  # an attained 0 makes 0 with whatever it meets, also with what is unbounded
        attained = (a[0] == 0 and not a[1]) or (b[0] == 0 and not b[1])
        return Fraction(0), not attained
    if isinstance(a[0], float) or isinstance(b[0], float):
        return inf if (a[0] > 0) == (b[0] > 0) else -inf, True
    return a[0] * b[0], a[1] or b[1]


def _inverse(value: End, side: int) -> End:
    if value == 0:
        return inf * side
    if isinstance(value, float):
        return Fraction(0)
    return 1 / value


def _hull(ends: list[tuple[End, bool]]) -> Span:
    """Equal ends: the closed one wins."""
    low = min(ends, key=lambda end: (end[0], end[1]))
    high = max(ends, key=lambda end: (end[0], not end[1]))
    return _tidy(Span(low[0], high[0], low[1], high[1]))


def coarse(span: Span) -> Span:
    """A slightly larger range whose ends are short: products of long fractions cost more than their precision gains."""
    return _tidy(span, 80)  # 24 digits: far finer than what a sign turns on


def rounded_outwards(value: Fraction, side: int) -> Fraction:
    """The number or, where it is long, a shorter one below it (side -1) or above it."""
    end = _shortened(value, side)
    assert isinstance(end, Fraction)
    return end


def _tidy(span: Span, bits: int = BITS) -> Span:
    low, high = _shortened(span.low, -1, bits), _shortened(span.high, +1, bits)
    if low is span.low and high is span.high:
        return span
    return Span(low, high, span.low_open or low != span.low, span.high_open or high != span.high)


def _shortened(end: End, side: int, bits: int = BITS) -> End:
    if isinstance(end, float) or _bits(end) <= bits:
        return end
    shift = bits // 2 - (end.numerator.bit_length() - end.denominator.bit_length())
    scaled = end * Fraction(2) ** shift
    whole = scaled.numerator // scaled.denominator
    if side > 0:
        whole += 1
    return Fraction(whole) / Fraction(2) ** shift


def _bits(end: Fraction) -> int:
    return max(end.numerator.bit_length(), end.denominator.bit_length())


def _short(end: End, side: int) -> str:
    """As it is where that is short, else six digits, rounded outwards: what is printed still encloses."""
    if isinstance(end, float):
        return "inf" if end > 0 else "-inf"
    if end.denominator < 10**6 and abs(end) < 10**6:
        return str(end)
    from mpmath import mp, mpf  # compiling an objective prints no range

    places = 5 - int(mp.floor(mp.log10(abs(mpf(end.numerator) / mpf(end.denominator)))))
    whole = end * Fraction(10) ** places
    rounded = ceil(whole) if side > 0 else floor(whole)
    return str(mp.nstr(mpf(rounded) / mpf(10) ** places, 6))
