"""Exact fractions: what a function of them is, where that is a fraction again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from math import isqrt
from typing import Any

from halo.objective.vocabulary import FUNCTIONS

EXACT_BITS = 2_000  # a longer fraction goes on as an interval


class Nothing(Exception):
    """There is no (finite, real) value here."""


class Irrational(Exception):
    """The value is no fraction, or is not known to be one."""


def length(value: Fraction) -> int:
    """Bits of the longer of numerator and denominator."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


class Rationals:
    """For the `exact` forms of the vocabulary, the functions of mpmath on fractions: those that a row knows values of."""

    mpf = Fraction

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function that has a row; its rational values are in the row."""
        if name not in FUNCTIONS:
            raise Irrational(name)
        return lambda x: _known(name, x)

    @staticmethod
    def sign(x: Fraction) -> Fraction:
        """-1, 0 or 1."""
        return Fraction((x > 0) - (x < 0))

    @staticmethod
    def sqrt(x: Fraction) -> Fraction:
        """The root of a square."""
        if x < 0:
            raise Nothing
        root = Fraction(isqrt(x.numerator), isqrt(x.denominator))
        if root * root != x:
            raise Irrational
        return root

    @staticmethod
    def power(x: Fraction, y: Fraction) -> Fraction:
        """x**y for whole y, if it is not too long."""
        if x == 0 and y < 0:
            raise Nothing
        if x == 1 or y == 0:
            return Fraction(1)
        if x == 0:
            return Fraction(0)
        if y.denominator == 1 and abs(y) * length(x) <= 4 * EXACT_BITS:
            return x ** int(y)
        if x < 0 and y.denominator != 1:
            raise Nothing
        raise Irrational


def _known(name: str, x: Fraction) -> Fraction:
    row = FUNCTIONS[name]
    low, high = row.domain
    if x < ending(low) or x > ending(high) or (str(x) in row.domain and not row.closed):
        raise Nothing
    for argument, value in row.rational:
        if x == Fraction(argument):
            return Fraction(value)
    raise Irrational(name)


@cache
def ending(text: str) -> Fraction | float:
    """An end of a range as the table spells it."""
    return float(text) if "inf" in text else Fraction(text)


def rational_value(word: str, arguments: Sequence[Fraction]) -> Any:
    """The fraction (of a comparison, the bool) that a function of fractions is, or None. Raises Nothing where it has no value."""
    try:
        value = FUNCTIONS[word].exact(_RATIONALS, *arguments)
    except Irrational:
        return None
    except ZeroDivisionError:
        raise Nothing from None
    if isinstance(value, Fraction | bool):
        return value
    return None


_RATIONALS = Rationals()
