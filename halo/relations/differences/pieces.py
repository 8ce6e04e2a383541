"""Ratios of gradients that exclude all parameters together: each excludes a piece of their ranges, by intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from halo.analysis.curvature import Box, Calculus
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.ranges import Span
from halo.analysis.scalar import Scalars, is_number
from halo.analysis.values import Program
from halo.compiler.graph import Node
from halo.relations.places import sampled

CUTS = [Fraction(4) ** k for k in range(-3, 4)]
PARTS = 6
"""Of a range without and with two ends; more parameters than PARAMETERS have too many pieces."""
PARAMETERS = 2
SAMPLES, TRIED, HALVINGS = (1, 498, 995), 6, 2
CLEAR = 1e-3
"""How far apart, of the larger, the two sides must lie for intervals to see it."""


@dataclass(frozen=True)
class Ratio:
    """Two gradients of the right, and the ratio that the left's have; `pair` says which they are."""

    pair: tuple[int, int]
    first: Node
    second: Node
    ratio: Span


def excluding(s: Scalars, box: Box, wanted: Sequence[Node], ratios: Sequence[Ratio]) -> list[Ratio] | None:
    """For each piece of the ranges one ratio that no values in it give, or None where a piece has none."""
    if not 1 <= len(wanted) <= PARAMETERS or not ratios:
        return None
    plain = [_plain(s, box, wanted, ratio) for ratio in ratios]
    program = Program([node for pair in plain for node in pair], wanted, DOUBLES)
    found: list[Ratio] = []
    pieces = [(piece, HALVINGS) for piece in product(*(_cut(box[v]) for v in wanted))]
    while pieces:
        piece, left = pieces.pop()
        rows = [program([float(sampled(span, state)) for span in piece]) for state in SAMPLES]
        inside = {**box, **dict(zip(wanted, piece, strict=True))}
        first = next((k for k in _promising(ratios, rows)[:TRIED] if _excludes(s, inside, plain[k], ratios[k].ratio)), None)
        if first is not None:
            found.append(ratios[first])
        elif left and all(span.bounded for span in piece):
            pieces += [(half, left - 1) for half in product(*map(_halves, piece))]
        else:
            return None
    return list(dict.fromkeys(found))


def _halves(span: Span) -> list[Span]:
    middle = (Fraction(span.low) + Fraction(span.high)) / 2
    return [Span(span.low, middle, span.low_open), Span(middle, span.high, False, span.high_open)]


def _plain(s: Scalars, box: Box, wanted: Sequence[Node], ratio: Ratio) -> tuple[Node, Node]:
    """Both gradients without what multiplies both: near 0 intervals would see nothing else."""
    first, second = ratio.first, ratio.second
    for v in wanted:
        rest = _without(s, first, v), _without(s, second, v)
        if box[v].positive and rest[0] is not None and rest[1] is not None:
            first, second = rest[0], rest[1]
    return first, second


def _cut(span: Span) -> Iterator[Span]:
    ends = [x for x in CUTS if span.low < x < span.high]
    if span.bounded:
        size = Fraction(span.high) - Fraction(span.low)
        ends = [Fraction(span.low) + size * k / PARTS for k in range(1, PARTS)]
    low, low_open = span.low, span.low_open
    for end in ends:
        yield Span(low, end, low_open)
        low, low_open = end, False
    yield Span(low, span.high, low_open, span.high_open)


def _promising(ratios: Sequence[Ratio], rows: Sequence[Sequence[float]]) -> list[int]:
    """Those whose two sides lie apart over all the samples, the farthest first."""
    found = []
    for k, ratio in enumerate(ratios):
        first, second = [row[2 * k] for row in rows], [float(ratio.ratio.low) * row[2 * k + 1] for row in rows]
        apart, size = max(min(first) - max(second), min(second) - max(first)), max(map(abs, [*first, *second]))
        if 0 < size < math.inf and apart > CLEAR * size:
            found.append((-apart / size, k))
    return [k for _, k in sorted(found)]


def _excludes(s: Scalars, box: Box, plain: tuple[Node, Node], ratio: Span) -> bool:
    name = s.variable("ratio")
    gap = s.call("sub", plain[0], s.call("mul", name, plain[1]))
    return bool(Calculus({**box, name: ratio}).span(gap).sign(strict=True))


def _without(s: Scalars, node: Node, factor: Node) -> Node | None:
    """The scalar less a factor of every summand, if it shows."""
    if node is factor:
        return s.number(1)
    if is_number(node, 0):
        return node
    if node.op != "apply":
        return None
    rest = [_without(s, a, factor) for a in node.args]
    if node.data in ("add", "sub", "neg") and None not in rest:
        return s.call(node.data, *(r for r in rest if r is not None))
    if node.data in ("mul", "div"):
        for i, r in enumerate(rest[: 2 if node.data == "mul" else 1]):
            if r is not None:
                return s.call(node.data, *(*node.args[:i], r, *node.args[i + 1 :]))
    return None
