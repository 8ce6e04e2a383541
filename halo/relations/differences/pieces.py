"""Gradients that exclude all values of the parameters together: each excludes some boxes of them, by enclosures.

Two losses teach the same where one factor turns all gradients of the one into those of the other. In a box of parameters the factor that
each gradient asks for lies in an interval; where two of these do not meet, the box is excluded. What is left is cut, and asked again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from mpmath import mpf
from numpy.typing import NDArray

from halo.analysis.curvature import Box, Calculus
from halo.analysis.numbers.boxes import BOXES, Ends
from halo.analysis.ranges import Span
from halo.analysis.scalar import Scalars, is_number, topological_scalar
from halo.analysis.values import Program
from halo.compiler.graph import Node

MOST_BOXES, ROUNDS = 10_000, 24
"""Boxes of one question: a second or two. Halvings of one parameter: what is left then, no enclosure will tell."""
PARAMETERS = 4
NEAR = 2.0**-50
"""Relative: how far a float may lie from a gradient that is known to 40 digits, twice over."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Less = Callable[[Scalars, Node, Node], Node | None]
"""The scalar less a factor or a divisor, or None if not all of its summands have it."""
Pair = tuple[int, int]
"""Two gradients, of which one asks for a smaller factor than the other; twice the same one: it asks for none above 0."""


@dataclass(frozen=True)
class Cover:
    """Which gradients exclude a box, of the left's numbers and the right's scalars over `wanted`.

    The numbers are exact zeros, or of a size at which they are known to 16 digits and that floats have.
    """

    s: Scalars
    box: Box
    wanted: Sequence[Node]
    left: Sequence[mpf]
    right: Sequence[Node]

    def excluding(self) -> list[int] | None:
        """Gradients that together leave no values of the parameters, or None where some are left."""
        if not 1 <= len(self.wanted) <= PARAMETERS or not self.left:
            return None
        program = Program(_without_common_factors(self.s, self.box, self.wanted, self.right), self.wanted, BOXES)
        numbers = np.array([float(x) for x in self.left])
        found: list[Pair] = []
        boxes, seen = _Boxes.whole(len(self.wanted)), 0
        for _ in range(ROUNDS * len(self.wanted)):
            seen += boxes.count
            if seen > MOST_BOXES:
                return None
            if not boxes.count:
                return sorted({i for pair in found for i in pair})
            low, high = _factors(program([boxes.values(i, self.box[v]) for i, v in enumerate(self.wanted)]), numbers, boxes.count)
            boxes = boxes.kept(_left_over(low, high, found)).halved()
        return None


# -- boxes of parameters ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Boxes:
    """Boxes in coordinates from 0 to 1, by parameter: a range without end has its far part near 1, one without ends at both."""

    low: Floats
    high: Floats

    @classmethod
    def whole(cls, parameters: int) -> _Boxes:
        return cls(np.zeros((1, parameters)), np.ones((1, parameters)))

    @property
    def count(self) -> int:
        return len(self.low)

    def kept(self, which: Bools) -> _Boxes:
        return _Boxes(self.low[which], self.high[which])

    def halved(self) -> _Boxes:
        """Each cut in two along its longest side. Coordinates have few binary digits, so that a middle is exact."""
        if not self.count:
            return self
        rows, side = np.arange(self.count), np.argmax(self.high - self.low, axis=1)
        middle = (self.low[rows, side] + self.high[rows, side]) / 2
        first, second = self.high.copy(), self.low.copy()
        first[rows, side], second[rows, side] = middle, middle
        return _Boxes(np.concatenate([self.low, second]), np.concatenate([first, self.high]))

    def values(self, i: int, span: Span) -> Ends:
        """The enclosures of one parameter: an end of its range that is a float stays it, so that its sign is kept."""
        low, high = _placed(self.low[:, i], span), _placed(self.high[:, i], span)
        exact = [isinstance(end, float) or Fraction(float(end)) == end for end in (span.low, span.high)]
        low = np.where((self.low[:, i] == 0) & exact[0], float(span.low), np.nextafter(low, -np.inf))
        high = np.where((self.high[:, i] == 1) & exact[1], float(span.high), np.nextafter(high, np.inf))
        return Ends(low, high)


def _placed(u: Floats, span: Span) -> Floats:
    """The number at a coordinate."""
    low, high = float(span.low), float(span.high)
    if span.bounded:
        return low + (high - low) * u
    with np.errstate(divide="ignore"):
        if low > -math.inf:
            return low + u / (1 - u)
        if high < math.inf:
            return high - (1 - u) / u
        return u / (1 - u) - (1 - u) / u


# -- what excludes ---------------------------------------------------------------------------------------------------------


def _factors(right: Sequence[Ends], left: Floats, count: int) -> tuple[Floats, Floats]:
    """By gradient and box, where the factor from the left's gradients to the right's lies: nowhere if 0 is asked for and is not."""
    shape = (len(right), count)
    low, high = (np.stack([np.broadcast_to(ends[k], count) for ends in right]) for k in (0, 1))
    numbers = np.broadcast_to(left[:, None], shape)
    with np.errstate(all="ignore"):
        one, other = low / numbers, high / numbers
        least, most = np.fmin(one, other), np.fmax(one, other)
        least, most = least - np.abs(least) * NEAR - 5e-324, most + np.abs(most) * NEAR + 5e-324
    vanishes = numbers == 0
    misses = vanishes & ((low > 0) | (high < 0))
    least = np.where(vanishes, np.where(misses, np.inf, -np.inf), least)
    most = np.where(vanishes, np.where(misses, -np.inf, np.inf), most)
    return np.where(np.isnan(least), -np.inf, least), np.where(np.isnan(most), np.inf, most)


def _left_over(low: Floats, high: Floats, found: list[Pair]) -> Bools:
    """Which boxes nothing excludes. Pairs of gradients that are `found` already are asked first, and new ones are added."""
    left = np.ones(low.shape[1], dtype=bool)
    for pair in found:
        left &= ~_excludes(pair, low, high)
    while left.any():
        smallest, largest = np.argmin(high[:, left], axis=0), np.argmax(low[:, left], axis=0)
        pairs = list(zip(smallest.tolist(), largest.tolist(), strict=True))
        pairs = [(i, i) if high[i, k] < 0 else (i, j) for (i, j), k in zip(pairs, np.flatnonzero(left), strict=True)]
        sure = [pair for pair, k in zip(pairs, np.flatnonzero(left), strict=True) if _excludes(pair, low[:, k], high[:, k])]
        if not sure:
            return left
        ((common, _),) = Counter(sure).most_common(1)
        found.append(common)
        left &= ~_excludes(common, low, high)
    return left


def _excludes(pair: Pair, low: Floats, high: Floats) -> Bools:
    """Where no factor above 0 will do for both."""
    i, j = pair
    found: Bools = (high[i] < low[j]) | (high[j] < low[i]) | (high[i] < 0)
    return found


# -- factors of all gradients ----------------------------------------------------------------------------------------------


def _without_common_factors(s: Scalars, box: Box, wanted: Sequence[Node], nodes: Sequence[Node]) -> list[Node]:
    """The gradients without positive factors and divisors that all of them have: where these end, enclosures see nothing else."""
    result, calculus = list(nodes), Calculus(box)
    factors: list[tuple[Node, Less]] = [(v, _less_a_factor) for v in wanted]
    factors += [(divisor, _less_a_divisor) for divisor in _divisors(nodes)]
    for factor, less in factors:
        while calculus.span(factor).positive:
            rest = [less(s, node, factor) for node in result]
            if None in rest or all(is_number(node, 0) for node in result):
                break
            result = [r for r in rest if r is not None]
    return result


def _divisors(nodes: Sequence[Node]) -> list[Node]:
    """What anything is divided by."""
    return list(dict.fromkeys(n.args[1] for node in nodes for n in topological_scalar(node) if n.op == "apply" and n.data == "div"))


def _less_a_factor(s: Scalars, node: Node, factor: Node) -> Node | None:
    """The scalar less a factor of every summand, if it shows."""
    if node is factor:
        return s.number(1)
    return _in_every_summand(s, node, factor, _less_a_factor)


def _less_a_divisor(s: Scalars, node: Node, divisor: Node) -> Node | None:
    """The scalar less what every summand is divided by, if it shows."""
    if node.op == "apply" and node.data == "div" and node.args[1] is divisor:
        return node.args[0]
    return _in_every_summand(s, node, divisor, _less_a_divisor)


def _in_every_summand(s: Scalars, node: Node, part: Node, less: Less) -> Node | None:
    if is_number(node, 0):
        return node
    if node.op != "apply" or node.data not in ("add", "sub", "neg", "mul", "div"):
        return None
    if node.data in ("add", "sub", "neg"):
        rest = [less(s, a, part) for a in node.args]
        return None if None in rest else s.call(node.data, *(r for r in rest if r is not None))
    for i, a in enumerate(node.args[: 2 if node.data == "mul" else 1]):
        found = less(s, a, part)
        if found is not None:
            return s.call(node.data, *(*node.args[:i], found, *node.args[i + 1 :]))
    return None
