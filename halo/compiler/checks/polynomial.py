"""Whether a polynomial has one sign on a box of ranges: exact, with nothing but fractions.

Each range is mapped to t >= 0 (x = (a + b t) / (c + d t), denominators cleared). If then no coefficient is negative, the
polynomial is plainly >= 0 there; else a range is cut in two and both halves are looked at. On a bounded range these are
Bernstein's coefficients (up to positive factors), so cutting converges wherever the polynomial stays away from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from math import inf

from halo.compiler.checks.span import Span

Terms = Mapping[tuple[int, ...], Fraction]
"""Coefficient by powers, one power for each variable."""

MAX_BOXES = 80


def constant_sign(terms: Terms, spans: list[Span], strict: bool) -> int | None:
    """+1 if >= 0 on the whole box (strict: > 0), -1 if <= 0 (< 0), None if neither was shown."""
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
        if tried > MAX_BOXES or evaluated(signed, [_inside(span) for span in box]) < 0:
            return None
        if not any(span.low == -inf and span.high == inf for span in box):
            mapped = _mapped(signed, box, degrees)
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


def _mapped(terms: Terms, box: list[Span], degrees: list[int]) -> dict[tuple[int, ...], Fraction]:
    """The polynomial in t >= 0, times (c + d t)**degree for each variable."""
    current = dict(terms)
    for index, (span, degree) in enumerate(zip(box, degrees, strict=True)):
        table = [_expanded(span, power, degree) for power in range(degree + 1)]
        after: dict[tuple[int, ...], Fraction] = {}
        for powers, c in current.items():
            for power, factor in enumerate(table[powers[index]]):
                if factor:
                    key = (*powers[:index], power, *powers[index + 1 :])
                    after[key] = after.get(key, Fraction(0)) + c * factor
        current = after
    return current


def _expanded(span: Span, power: int, degree: int) -> list[Fraction]:
    """The coefficients of (a + b t)**power * (c + d t)**(degree - power)."""
    if span.low == -inf:
        a, b, d = Fraction(span.high), Fraction(-1), Fraction(0)
    elif span.high == inf:
        a, b, d = Fraction(span.low), Fraction(1), Fraction(0)
    else:
        a, b, d = Fraction(span.low), Fraction(span.high), Fraction(1)
    result = [Fraction(1)]
    for constant, slope in [(a, b)] * power + [(Fraction(1), d)] * (degree - power):
        longer = [*result, Fraction(0)]
        result = [
            constant * longer[i] + (slope * longer[i - 1] if i else 0) for i in range(len(longer))
        ]
    return result


def _never_zero(mapped: Terms, box: list[Span], degrees: list[int]) -> bool:
    """With no negative coefficient: > 0 at every corner that belongs to the box, or all ends open and one term > 0."""
    corners = product(*[(0, n) if span.bounded and not span.high_open else (0,) for span, n in zip(box, degrees, strict=True)])
    if all(mapped.get(corner, 0) > 0 for corner in corners):
        return True
    left_open = all(span.low_open if span.low != -inf else span.high_open for span in box)
    right_open = all(span.high_open or not span.bounded for span in box)
    return left_open and right_open and max(mapped.values()) > 0


def _inside(span: Span) -> Fraction:
    if span.bounded:
        return (Fraction(span.low) + Fraction(span.high)) / 2
    if span.low != -inf:
        return Fraction(span.low) + max(Fraction(1), abs(Fraction(span.low)))
    return Fraction(span.high) - max(Fraction(1), abs(Fraction(span.high))) if span.high != inf else Fraction(0)


def _cut(box: list[Span], turn: int) -> list[list[Span]]:
    """Cuts a range without ends first, else the ranges in turn; a single point cannot be cut."""
    endless = [i for i, s in enumerate(box) if s.low == -inf and s.high == inf]
    wide = [i for i, s in enumerate(box) if s.exact is None] or [0]
    index = endless[0] if endless else wide[turn % len(wide)]
    span, at = box[index], _inside(box[index])
    left, right = Span(span.low, at, span.low_open, False), Span(at, span.high, False, span.high_open)
    return [[*box[:index], half, *box[index + 1 :]] for half in (left, right)]
