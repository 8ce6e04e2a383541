"""What hypothesis draws for the analysis: formulas of two letters, ranges with points inside, and the values to hold answers against."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import inf

from hypothesis import Phase, settings
from hypothesis import strategies as st
from independent import valued
from mpmath import mp, mpf

from halo.analysis.ranges import Span
from halo.objective.formula import parse

QUICK = settings(derandomize=True, deadline=None, max_examples=60, database=None, phases=[Phase.explicit, Phase.generate])
"""The same examples on every machine, in bounded time. A failure is not made smaller: what is drawn is small."""

WORDS = ("sigmoid", "logsigmoid", "softplus", "tanh", "relu", "abs")
"""Words with a value everywhere."""

ENDS = [Fraction(n) for n in (-3, -1, 0, 1, 4)] + [Fraction(-1, 2), Fraction(2, 3)]
numbers = st.sampled_from([Fraction(n, 6) for n in range(-24, 25)])


def _ranges() -> list[Span]:
    """Points, bounded ranges with every kind of end, and ranges without one or both."""
    found = [Span(-inf, inf), *map(Span.point, ENDS)]
    for low, high in product(ENDS, repeat=2):
        if low < high:
            found += [Span(low, high, left, right) for left, right in product((True, False), repeat=2)]
    for end in ENDS:
        found += [Span(-inf, end, True, is_open) for is_open in (True, False)] + [Span(end, inf, is_open, True) for is_open in (True, False)]
    return found


spans = st.sampled_from(_ranges())
"""Ranges that are not empty."""


def members(span: Span) -> st.SearchStrategy[Fraction]:
    """Numbers of the range, its closed ends among them."""
    low = Fraction(span.low) if span.low != -inf else min(Fraction(span.high) if span.high != inf else Fraction(0), Fraction(0)) - 50
    high = Fraction(span.high) if span.high != inf else max(low, Fraction(0)) + 50
    parts = (Fraction(0), Fraction(1, 1000), Fraction(1, 3), Fraction(1, 2), Fraction(999, 1000), Fraction(1))
    return st.sampled_from([x for part in parts if (x := low + (high - low) * part) in span])


def formulas(letters: Sequence[str], depth: int = 3, words: Sequence[str] = WORDS) -> st.SearchStrategy[str]:
    """Formulas that are defined for every value of their letters."""
    leaves = st.sampled_from([*letters, *letters, "1", "2", "1/2"])
    shapes = ["({0} + {1})", "({0} - {1})", "({0} * {1})", "min({0}, {1})", "max({0}, {1})", "-({0})", *(f"{word}({{0}})" for word in words)]
    found = leaves
    for _ in range(depth):
        found = st.builds(str.format, st.sampled_from(["{0}", *shapes, *shapes]), found, found)
    return found


def value(text: str, at: dict[str, Fraction], digits: int = 60) -> mpf:
    """The value of a formula, by the tests' own evaluator."""
    with mp.workdps(digits):
        return valued(parse(text), {name: many(x) for name, x in at.items()})


def many(x: Fraction | int) -> mpf:
    """A fraction in the digits of the context."""
    return mpf(x.numerator) / x.denominator


def exact(x: mpf) -> Fraction:
    """A computed number as the fraction that it is."""
    sign, mantissa, exponent, _ = x._mpf_
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * (-1 if sign else 1)
