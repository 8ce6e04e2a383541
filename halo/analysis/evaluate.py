"""Exact points: candidates to try, their values in floats to search fast, and in high precision to be sure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product
from typing import Any

from mpmath import mp, mpf

from halo.analysis.enclosure import middle
from halo.analysis.ranges import Span
from halo.analysis.scalar import COMPARE, topological_scalar
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS

Point = Mapping[Node, Fraction]

_WHOLE = [Fraction(n) for n in (0, 1, 2, 3, 5, 10, 20, 50, 200)]
GRID = sorted({sign * x for x in (*_WHOLE, *(Fraction(n, 8) for n in (1, 2, 3, 4, 6, 12, 20))) for sign in (-1, 1)})
"""Where a value function is looked at first."""


class FloatMath:
    """The functions of mpmath that the vocabulary uses, on floats; what has no value is nan."""

    mpf = float
    expm1 = staticmethod(lambda x: math.expm1(x) if x < 700 else math.inf)
    exp = staticmethod(lambda x: math.exp(x) if x < 700 else math.inf)
    log = staticmethod(lambda x: math.log(x) if 0 < x < math.inf else (-math.inf if x == 0 else math.inf if x > 0 else math.nan))
    log1p = staticmethod(lambda x: math.log1p(x) if -1 < x < math.inf else math.inf if x > 0 else math.nan)
    sqrt = staticmethod(lambda x: math.sqrt(x) if x >= 0 else math.nan)
    tanh, atan, asinh = staticmethod(math.tanh), staticmethod(math.atan), staticmethod(math.asinh)

    @staticmethod
    def sign(x: float) -> float:
        return float((x > 0) - (x < 0))

    @staticmethod
    def power(x: float, y: float) -> float:
        try:
            result = x**y
        except (OverflowError, ZeroDivisionError):
            return math.nan
        return math.nan if isinstance(result, complex) else result


def values(outputs: Sequence[Node], point: Mapping[Node, Any], m: Any) -> dict[Node, Any]:
    """Every node under the outputs; `m` is mpmath's `mp` or `FloatMath`. What has no value is nan."""
    found: dict[Node, Any] = {}
    for output in outputs:
        for node in topological_scalar(output):
            if node not in found:
                found[node] = _value(node, found, point, m)
    return found


def _value(node: Node, found: Mapping[Node, Any], point: Mapping[Node, Any], m: Any) -> Any:
    if node in point:
        value = point[node]
        return _converted(value, m) if isinstance(value, Fraction) else value
    if node.op == "number":
        return _converted(node.data, m)
    if node.op == "stop":
        return found[node.args[0]]
    if node.op != "apply":
        raise KeyError(f"no value for {node.data}")
    arguments = [found[a] for a in node.args]
    try:
        if node.data == "where" and arguments[0] == arguments[0]:
            return arguments[1] if arguments[0] else arguments[2]
        if any(a != a for a in arguments):
            return m.mpf("nan")
        result = COMPARE[node.data](*arguments) if node.data in COMPARE else FUNCTIONS[node.data].exact(m, *arguments)
    except (ArithmeticError, ValueError):
        return m.mpf("nan")
    return m.mpf("nan") if isinstance(result, (complex, mp.mpc)) else result


def _converted(value: Fraction, m: Any) -> Any:
    if m is not FloatMath:
        return m.mpf(value.numerator) / value.denominator
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def sure_value(node: Node, point: Point) -> mpf | None:
    """The value to 40 digits, or None: it has none, or enclosing it did not succeed."""
    return middle(node, point)


def surely_below(low: mpf | None, high: mpf | None) -> bool:
    """Whether low < high by more than rounding could explain."""
    return low is not None and high is not None and high - low > mpf(10) ** -30 * (1 + abs(low) + abs(high))


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


def points(box: Mapping[Node, Span], names: Sequence[Node], limit: int = 64, first: Mapping[Node, Sequence[Fraction]] | None = None) -> list[dict[Node, Fraction]]:
    """Up to `limit` points of the box, the corners of the candidates' grid in a fixed order, spread over it."""
    lists = [_tried(name, box.get(name, Span(-math.inf, math.inf)), (first or {}).get(name, ())) for name in names]
    total = math.prod(map(len, lists))
    if total <= limit:
        return [dict(zip(names, combination, strict=True)) for combination in product(*lists)]
    chosen = islice(dict.fromkeys(islice(_spread(lists), 4 * limit)), limit)
    return [dict(zip(names, combination, strict=True)) for combination in chosen]


def _spread(lists: list[list[Fraction]]) -> Iterator[tuple[Fraction, ...]]:
    """Deterministic picks: all first candidates, a fixed multiplicative walk, and every 8th time one coordinate alone is moved.

    The walk alone may never meet a closed end beside ordinary values, and that is where propositions fail.
    """
    base = tuple(choices[0] for choices in lists)
    alone = ((*base[:i], x, *base[i + 1 :]) for i, choices in enumerate(lists) for x in choices[1:])
    state = 1
    yield base
    while True:
        yield from islice(alone, 1)
        for _ in range(7):
            picked = []
            for choices in lists:
                state = (state * 1_103_515_245 + 12_345) % 2**31
                picked.append(choices[(state >> 8) % len(choices)])
            yield tuple(picked)


def switches(node: Node, x: Node) -> list[tuple[Node, Node]]:
    """The pairs of scalars whose order decides a kink or jump of `node` along x."""
    return [pair for pair in _pairs(node) if any(side is not None and x in topological_scalar(side) for side in pair)]


def _pairs(node: Node) -> list[tuple[Node, Node]]:
    found: list[tuple[Node, Node]] = []
    for inner in topological_scalar(node):
        if inner.op != "apply":
            continue
        if inner.data in COMPARE:
            found.append((inner.args[0], inner.args[1]))
        elif inner.data in ("min", "max"):
            found += [(a, b) for i, a in enumerate(inner.args) for b in inner.args[i + 1 :]]
        elif inner.data == "clip":
            found += [(inner.args[0], inner.args[1]), (inner.args[0], inner.args[2])]
        elif inner.data in ("relu", "abs", "sign"):
            found.append((inner.args[0], None))  # type: ignore[arg-type]
    return found


def at_kink(node: Node, point: Point) -> bool:
    """Whether a kink or jump of the scalar lies at the point, as far as floats see."""
    pairs = _pairs(node)
    both = values([side for pair in pairs for side in pair if side is not None], point, FloatMath)
    return any(both[left] == (both[right] if right is not None else 0) for left, right in pairs)


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
        steps = (Fraction(1, 16), Fraction(1, 2**20))
        near = [t + side * h for t in breaks for h in steps for side in (-1, 1)]
        self.places = sorted({*grid, *(p for p in (*breaks, *near) if p in self.span)})
        self.floats = [float(values([self.node], {**self.fixed, self.x: p}, FloatMath)[self.node]) for p in self.places]

    def _crossings(self, pair: tuple[Node, Node | None], grid: list[Fraction]) -> list[Fraction]:
        left, right = pair

        def difference(x: Fraction) -> float:
            both = values([n for n in (left, right) if n is not None], {**self.fixed, self.x: x}, FloatMath)
            return float(both[left]) - (float(both[right]) if right is not None else 0.0)

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
        plain = sorted(((drop, -i) for drop, i in drops if drop > 0 and abs(self.places[i]) <= 10), reverse=True)
        rest = sorted(((drop, -i) for drop, i in drops if drop > 0 and abs(self.places[i]) > 10), reverse=True)
        for _, i in (plain + rest)[:3]:
            yield self.places[-i], self.places[-i + 1]

    def sags(self) -> Iterator[tuple[Fraction, Fraction, Fraction]]:
        """Neighbours a < c < b whose middle value lies below the chord, by the floats."""
        for i in range(len(self.places) - 2):
            (a, c, b), (fa, fc, fb) = self.places[i : i + 3], self.floats[i : i + 3]
            if all(map(math.isfinite, (fa, fc, fb))):
                chord = fa + (fb - fa) * float((c - a) / (b - a))
                if fc < chord - 1e-13 * (abs(fa) + abs(fb)):
                    yield a, c, b


def _crossing(difference: Any, a: Fraction, b: Fraction, fa: float, fb: float) -> Fraction:
    """Where the difference is 0: by the secant if that is exact (an affine switch), else by bisection."""
    secant = (a + (b - a) * Fraction(fa) / (Fraction(fa) - Fraction(fb))).limit_denominator(10**9)
    if difference(secant) == 0:
        return secant
    for _ in range(50):
        middle = (a + b) / 2
        fm = difference(middle)
        if (fm < 0) == (fa < 0):
            a = middle
        else:
            b = middle
    return ((a + b) / 2).limit_denominator(1000)  # a readable number beside the kink: the steps around it span it

