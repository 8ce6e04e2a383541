"""Exact points to try: candidates of a box, and places along a line where floats see a curve fall, sag or switch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product
from typing import Any

from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.ranges import Span
from halo.analysis.scalar import switching_pairs, topological_scalar
from halo.analysis.values import values
from halo.compiler.graph import Node

Point = Mapping[Node, Fraction]

_SIZES = [*map(Fraction, (0, 1, 2, 3, 5, 10, 20, 50, 200)), *(Fraction(n, 8) for n in (1, 2, 3, 4, 6, 12, 20))]
GRID = sorted({*_SIZES, *(-x for x in _SIZES)})
"""Where a value function is looked at first: dense where rewards usually lie, and a few far out."""
BESIDE = (Fraction(1, 16), Fraction(1, 2**20))
"""How far from a kink a curve is looked at as well: where it is seen to bend, and so near that no other kink lies between."""
USUAL = 10
"""Falls nearer to 0 than this are told first: a reader takes them for possible."""
ROUNDED = 1e-13
"""Of the values at both ends: a sag that is less may be rounding of floats, which have 16 digits."""


LIMIT = 64
"""Points of the rest that a refutation is looked for at: a search that finds nothing is followed by a proof, so it may be short."""


def candidates(span: Span, first: Sequence[Fraction] = ()) -> list[Fraction]:
    """A few exact points of a range, the given ones and closed ends first."""
    low, high = span.low, span.high
    tried = [*first, *(end for end, is_open in ((low, span.low_open), (high, span.high_open)) if not is_open)]
    if span.bounded:
        width = Fraction(high) - Fraction(low)
        tried += [Fraction(low) + width * part for part in (Fraction(1, 2), Fraction(1, 10), Fraction(9, 10), Fraction(1, 100))]
    elif low != -math.inf:
        tried += [Fraction(low) + step for step in (Fraction(1), Fraction(1, 10), Fraction(5), Fraction(1, 2), Fraction(50))]
    elif high != math.inf:
        tried += [Fraction(high) - step for step in (Fraction(1), Fraction(1, 10), Fraction(5), Fraction(1, 2), Fraction(50))]
    else:
        tried += [Fraction(n) for n in (0, 1, -1)] + [Fraction(1, 3), Fraction(-7, 2), Fraction(20), Fraction(-20)]
    return [x for x in dict.fromkeys(Fraction(t) for t in tried) if x in span]


COUNTED = ("length", "position")
"""Inputs that are whole numbers: a witness with half a token is none."""


def _tried(name: Node, span: Span, first: Sequence[Fraction]) -> list[Fraction]:
    found = candidates(span, first)
    if name.op != "input" or name.data not in COUNTED:
        return found
    whole = [x for x in (*found, *map(Fraction, (2, 3, 7))) if x.denominator == 1 and x in span]
    return list(dict.fromkeys(whole)) or found


def points(
    box: Mapping[Node, Span], names: Sequence[Node], limit: int = LIMIT, first: Mapping[Node, Sequence[Fraction]] | None = None
) -> list[dict[Node, Fraction]]:
    """Up to `limit` points of the box, the corners of the candidates' grid in a fixed order, spread over it."""
    lists = [_tried(name, box.get(name, Span(-math.inf, math.inf)), (first or {}).get(name, ())) for name in names]
    total = math.prod(map(len, lists))
    if total <= limit:
        return [dict(zip(names, combination, strict=True)) for combination in product(*lists)]
    chosen = islice(dict.fromkeys(islice(_spread(lists), 4 * limit)), limit)
    return [dict(zip(names, combination, strict=True)) for combination in chosen]


def walk(state: int) -> Iterator[int]:
    """A fixed sequence of numbers that look random: the classic linear congruence, whose low bits are left out because they repeat soon."""
    while True:
        state = (state * 1_103_515_245 + 12_345) % 2**31
        yield state >> 8


def _spread(lists: list[list[Fraction]]) -> Iterator[tuple[Fraction, ...]]:
    """Deterministic picks: all first candidates, a fixed multiplicative walk, and every 8th time one coordinate alone is moved.

    The walk alone may never meet a closed end beside ordinary values, and that is where propositions fail.
    """
    base = tuple(choices[0] for choices in lists)
    alone = ((*base[:i], x, *base[i + 1 :]) for i, choices in enumerate(lists) for x in choices[1:])
    numbers = walk(1)
    yield base
    while True:
        yield from islice(alone, 1)
        for _ in range(7):
            yield tuple(choices[next(numbers) % len(choices)] for choices in lists)


def switches(node: Node, x: Node) -> list[tuple[Node, Node]]:
    """The pairs of scalars whose order decides a kink or jump of `node` along x."""
    return [pair for pair in switching_pairs(node) if any(x in topological_scalar(side) for side in pair)]


def at_kink(node: Node, point: Point) -> bool:
    """Whether a kink or jump of the scalar lies at the point, as far as floats see."""
    pairs = switching_pairs(node)
    both = values([side for pair in pairs for side in pair], point, DOUBLES)
    return any(both[left] == both[right] for left, right in pairs)


@dataclass
class Line:
    """A scalar looked at along x with everything else fixed: sorted points, and their float values."""

    node: Node
    x: Node
    fixed: dict[Node, Fraction]
    span: Span
    places: list[Fraction] = field(default_factory=list)

    def __post_init__(self) -> None:
        pairs = switches(self.node, self.x)
        grid = [p for p in GRID if p in self.span]
        breaks = [t for pair in pairs for t in self._crossings(pair, grid)]
        near = []
        for t, step in product(breaks, BESIDE):
            near += [t - step, t + step]
        self.places = sorted({*grid, *(p for p in (*breaks, *near) if p in self.span)})
        self.floats = [float(values([self.node], {**self.fixed, self.x: p}, DOUBLES)[self.node]) for p in self.places]

    def _crossings(self, pair: tuple[Node, Node], grid: list[Fraction]) -> list[Fraction]:
        left, right = pair

        def difference(x: Fraction) -> float:
            both = values(pair, {**self.fixed, self.x: x}, DOUBLES)
            return float(both[left]) - float(both[right])

        found, heights = [], [difference(p) for p in grid]
        for (a, fa), (b, fb) in zip(zip(grid, heights, strict=True), list(zip(grid, heights, strict=True))[1:], strict=False):
            if fa == 0:
                found.append(a)
            if fa * fb < 0 and math.isfinite(fa * fb):
                found.append(_crossing(difference, a, b, fa, fb))
        return found

    def falls(self) -> Iterator[tuple[Fraction, Fraction]]:
        """Neighbours a < b with v(a) > v(b), by the floats; the deepest falls first."""
        drops = [(self.floats[i] - self.floats[i + 1], i) for i in range(len(self.places) - 1)]
        plain = sorted(((drop, -i) for drop, i in drops if drop > 0 and abs(self.places[i]) <= USUAL), reverse=True)
        rest = sorted(((drop, -i) for drop, i in drops if drop > 0 and abs(self.places[i]) > USUAL), reverse=True)
        for _, i in (plain + rest)[:3]:
            yield self.places[-i], self.places[-i + 1]

    def sags(self) -> Iterator[tuple[Fraction, Fraction, Fraction]]:
        """Neighbours a < c < b whose middle value lies below the chord, by the floats."""
        for i in range(len(self.places) - 2):
            (a, c, b), (fa, fc, fb) = self.places[i : i + 3], self.floats[i : i + 3]
            if all(map(math.isfinite, (fa, fc, fb))):
                chord = fa + (fb - fa) * float((c - a) / (b - a))
                if fc < chord - ROUNDED * (abs(fa) + abs(fb)):
                    yield a, c, b


def _crossing(difference: Any, a: Fraction, b: Fraction, fa: float, fb: float) -> Fraction:
    """Where the difference is 0: by the secant if that is exact (an affine switch), else by bisection."""
    secant = (a + (b - a) * Fraction(fa) / (Fraction(fa) - Fraction(fb))).limit_denominator(10**9)  # the fraction that floats stand for
    if difference(secant) == 0:
        return secant
    for _ in range(50):  # all digits of a float
        middle = (a + b) / 2
        fm = difference(middle)
        if (fm < 0) == (fa < 0):
            a = middle
        else:
            b = middle
    return ((a + b) / 2).limit_denominator(1000)  # a readable number beside the kink: the steps around it span it
