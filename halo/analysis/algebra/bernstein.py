"""Whether a polynomial has one sign on a box of ranges: exact, with nothing but fractions.

Each range is mapped to t >= 0 (x = (a + b t) / (c + d t), denominators cleared). If then no coefficient is negative, the
polynomial is plainly >= 0 there; else a range is cut in two and both halves are looked at. On a bounded range these are
Bernstein's coefficients (up to positive factors), so cutting converges wherever the polynomial stays away from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import inf, lcm

from halo.analysis.budgets import MAX_BOXES, MAX_PRODUCTS
from halo.analysis.ranges import Span

Terms = Mapping[tuple[int, ...], Fraction]
"""Coefficient by powers, one power for each variable."""


class Spent(Exception):
    """The budget is used up: what is still open stays undecided."""


@dataclass
class Budget:
    """Steps left. Counted in products of coefficients, so that a verdict does not depend on the clock."""

    left: int = MAX_PRODUCTS

    def spend(self, products: int) -> None:
        """Raises Spent where so many are not left."""
        if products > self.left:
            raise Spent
        self.left -= products


def constant_sign(terms: Terms, spans: list[Span], strict: bool, budget: Budget) -> int | None:
    """+1 if >= 0 on the whole box (strict: > 0), -1 if <= 0 (< 0), None if neither was shown."""
    try:
        return _constant_sign(terms, spans, strict, budget)
    except Spent:
        return None


def _constant_sign(terms: Terms, spans: list[Span], strict: bool, budget: Budget) -> int | None:
    value = evaluated(terms, [_inside(span) for span in spans])
    if value == 0:
        return None
    wanted = 1 if value > 0 else -1
    signed = {powers: c * wanted for powers, c in terms.items()}
    degrees = [max(powers[i] for powers in terms) for i in range(len(spans))]
    stack, tried = [spans], 0
    while stack:
        box = stack.pop()
        tried += 1
        budget.spend(len(terms) * len(spans))
        if tried > MAX_BOXES or evaluated(signed, [_inside(span) for span in box]) < 0:
            return None
        if not any(span.low == -inf and span.high == inf for span in box):
            mapped = _mapped(signed, box, degrees, budget)
            if min(mapped.values()) >= 0 and (not strict or _never_zero(mapped, box, degrees)):
                continue
        stack.extend(_cut(box, tried))
    return wanted


def evaluated(terms: Terms, point: list[Fraction]) -> Fraction:
    """The polynomial at a point."""
    total = Fraction(0)
    for powers, c in terms.items():
        for x, power in zip(point, powers, strict=True):
            c *= x**power
        total += c
    return total


def _mapped(terms: Terms, box: list[Span], degrees: list[int], budget: Budget) -> dict[tuple[int, ...], int]:
    """The polynomial in t >= 0, times (c + d t)**degree for each variable and a positive number that makes it whole."""
    whole = lcm(*(c.denominator for c in terms.values()))
    current = {powers: int(c * whole) for powers, c in terms.items()}
    for index, (span, degree) in enumerate(zip(box, degrees, strict=True)):
        budget.spend((degree + 1) * (len(current) + degree * degree))
        table = [_expanded(span, power, degree) for power in range(degree + 1)]
        after: dict[tuple[int, ...], int] = {}
        for powers, c in current.items():
            for power, factor in enumerate(table[powers[index]]):
                if factor:
                    key = (*powers[:index], power, *powers[index + 1 :])
                    after[key] = after.get(key, 0) + c * factor
        current = after
    return current


def _expanded(span: Span, power: int, degree: int) -> list[int]:
    """The coefficients of (a + b t)**power * (c + d t)**(degree - power), all times one positive number."""
    if span.low == -inf:
        high = Fraction(span.high)
        a, b, c, d = high.numerator, -high.denominator, high.denominator, 0
    elif span.high == inf:
        low = Fraction(span.low)
        a, b, c, d = low.numerator, low.denominator, low.denominator, 0
    else:
        low, high = Fraction(span.low), Fraction(span.high)
        c = d = lcm(low.denominator, high.denominator)
        a, b = int(low * c), int(high * c)
    result = [1]
    for constant, slope in [(a, b)] * power + [(c, d)] * (degree - power):
        result = [constant * x + slope * y for x, y in zip([*result, 0], [0, *result], strict=True)]
    return result


def _never_zero(mapped: Mapping[tuple[int, ...], int], box: list[Span], degrees: list[int]) -> bool:
    """With no negative coefficient: > 0 at every corner that belongs to the box, or all ends open and one term > 0."""
    ends = []
    for span, degree in zip(box, degrees, strict=True):
        ends.append((0, degree) if span.bounded and not span.high_open else (0,))
    if all(mapped.get(corner, 0) > 0 for corner in product(*ends)):
        return True
    left_open = all(span.low_open if span.low != -inf else span.high_open for span in box)
    right_open = all(span.high_open or not span.bounded for span in box)
    return left_open and right_open and max(mapped.values()) > 0


def _inside(span: Span) -> Fraction:
    if span.bounded:
        return (Fraction(span.low) + Fraction(span.high)) / 2
    if span.low != -inf:
        return Fraction(span.low) + max(Fraction(1), abs(Fraction(span.low)))
    if span.high != inf:
        return Fraction(span.high) - max(Fraction(1), abs(Fraction(span.high)))
    return Fraction(0)


def _cut(box: list[Span], turn: int) -> list[list[Span]]:
    """Cuts a range without ends first, else the ranges in turn; a single point cannot be cut."""
    endless = [i for i, s in enumerate(box) if s.low == -inf and s.high == inf]
    wide = [i for i, s in enumerate(box) if s.exact is None] or [0]
    index = endless[0] if endless else wide[turn % len(wide)]
    span, at = box[index], _inside(box[index])
    left, right = Span(span.low, at, span.low_open, False), Span(at, span.high, False, span.high_open)
    return [[*box[:index], half, *box[index + 1 :]] for half in (left, right)]
