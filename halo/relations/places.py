"""Places of the box to compare losses at: repeatable samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from halo.analysis.points import walk
from halo.analysis.ranges import REALS, Span
from halo.compiler.graph import Node

PLACES = 7
"""Points of data that a candidate must agree on."""


def sampled(span: Span, state: int) -> Fraction:
    """An unremarkable number of a range: no saturation, no round value."""
    part = Fraction(state % 997 + 1, 1000)  # 997 is prime: the states that `walk` gives meet all of them
    if span.bounded:
        return Fraction(span.low) + (Fraction(span.high) - Fraction(span.low)) * part
    if span.low != -math.inf:
        return Fraction(span.low) + Fraction(1, 5) + 2 * part
    if span.high != math.inf:
        return Fraction(span.high) - Fraction(1, 5) - 3 * part
    return 4 * part - Fraction(7, 4)


def places(box: Mapping[Node, Span], names: Sequence[Node], count: int) -> list[dict[Node, Fraction]]:
    """Points of the data; lengths are whole."""
    numbers = walk(20_240_601)
    found = []
    for _ in range(count):
        point = {name: sampled(box.get(name, REALS), next(numbers)) for name in names}
        for name in point:
            if name.data == "length":
                point[name] = Fraction(1 + next(numbers) % 5)
        found.append(point)
    return found
