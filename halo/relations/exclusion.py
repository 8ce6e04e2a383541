"""Proofs that no values of one objective's parameters make it another: exact data at which the gradients cannot be proportional.

With the parameters of `left` at exact values and data at exact numbers, its gradients are numbers; those of `right` are functions of
its own parameters. No choice of them fits if somewhere the signs differ for every choice, or if the ratio of two gradients does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from typing import Literal

from mpmath import mp, mpf

from halo.analysis.budgets import MAX_ATTEMPTS, MAX_EXPONENTIALS, MAX_GRID, MAX_RATIOS
from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import is_zero, number
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import walk
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, is_number, topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.analysis.values import Program, sure_value
from halo.checks.scalars.inputs import is_log_probability, is_policy
from halo.compiler.graph import Node, text
from halo.objective.vocabulary import FUNCTIONS
from halo.relations.places import places, sampled
from halo.relations.signature import MARK, Signal
from halo.relations.substitution import short

CHOICES = 14


Point = Mapping[Node, Fraction]


@dataclass(frozen=True)
class Place:
    """One point of data. `level`: the completions are alike; `near`: little is moved; `far`: what only intervals are asked of."""

    point: Point
    group: Literal["level", "near", "far"]


@dataclass(frozen=True)
class Slope:
    """One gradient at one place (by its number): the left's number, the right's scalar over its parameters."""

    name: str
    point: int
    left: mpf
    right: Node


@dataclass(frozen=True)
class Witness:
    """Why no choice fits, and the exact numbers: data, parameters of the left, gradients of both (the right at its defaults)."""

    reason: str
    numbers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Exclusion:
    """Looks for such data."""

    left: Signal
    right: Signal
    losses: tuple[tuple[Node, ...], tuple[Node, ...]] | None = None

    def __post_init__(self) -> None:
        view = self.left.view
        self.s, self.box = view.s, view.box
        both = self.losses or (short(view, self.left.alone), short(view, self.right.alone))
        read = {v for losses in both for loss in losses for v in variables(loss)}
        mine = set(self.left.free.values()) | {v for v in read if v.data == "log V"}
        self.wanted = sorted({v for v in read if v.op == "parameter"} - mine, key=lambda v: str(v.data))
        fixed = {v: (view.first[v][0] if v.data != "log V" else Fraction(10)) for v in read & mine}
        self.given = {v: x for v, x in sorted(fixed.items(), key=lambda item: str(item[0].data)) if v.op == "parameter"}
        numbers = {v: self.s.number(x) for v, x in self.given.items()}
        self.data = [v for v in dict.fromkeys(v for losses in both for loss in losses for v in variables(loss)) if v.op != "parameter"]
        self.policy = [v for v in self.data if is_policy(v)]
        self.slopes: list[tuple[str, Node, Node]] = []
        self.places: list[Place] = []
        self.promising: list[tuple[Slope, Slope]] = []
        for label, mine_, other in zip(_labels(len(both[0])), *both, strict=True):
            for v in self.policy:
                pair = [self.s.substitute(view.unstopped(self.s.derivative(loss, v)), numbers) for loss in (mine_, other)]
                if not all(is_number(p, 0) for p in pair):
                    self.slopes.append((f"d loss/d {text(v, {})}{label}", pair[0], pair[1]))
        self.defaults = {v: view.first[v][0] for v in self.wanted}

    def witness(self) -> Witness | None:
        """Data that excludes every choice of the right's parameters, or None.

        Sums over the vocabulary are no free numbers beside log-probabilities: of them no data is made up.
        """
        if not all(map(is_log_probability, self.policy)):
            return None
        self.places = list(self._places())
        at = [self._there(place.point) for place in self.places]
        found: list[Slope] = []
        for i, here in enumerate(at):
            for name, mine, other in self.slopes:
                value = sure_value(self.s.substitute(mine, here), {})
                if value is not None and mp.isfinite(value):
                    found.append(Slope(name, i, value, self.s.substitute(other, here)))
        choices = self._floats(found)
        return self._by_sign(found, choices) or self._by_ratio(found, choices) or self._by_relation(found, choices) or self._by_algebra(found)

    def _places(self) -> Iterator[Place]:
        """A few points; each with one quantity moved; and far ones. What is near and alike is looked at first."""
        base = [{v: _coarse(v, x, self.box) for v, x in point.items()} for point in places(self.box, self.data, 3)]
        level = [*self._level(base[0])]
        related = [*self._related(base[0])]
        yield Place(related[0], "near")
        for point in level:
            yield Place(point, "level")
        for point in (*related[1:], *self._moved(base[0])):
            yield Place(point, "near")
        for point in (*base[1:], *self._far(base)):
            yield Place(point, "far")

    def _level(self, base: Point) -> Iterator[Point]:
        """All completions alike, and one of them longer and less likely."""
        level = {v: Fraction(1) if v.data == "length" else next(x for w, x in base.items() if w.data == v.data) for v in base}
        yield level
        for v in self.policy:
            longer = {w: x * 2 for w, x in level.items() if w.data == "length" and w.slot == v.slot}
            yield {**level, **longer, v: level[v] - 1}

    def _related(self, base: Point) -> Iterator[Point]:
        """Points that share with the first what a loss may depend on alone: differences, log ratios, means per token."""
        logs = [v for v in self.data if str(v.data).startswith("log ")]
        scaled = [v for v in self.data if v in logs or v.data == "length"]
        yield {v: (x - 2 if v in self.policy else x) for v, x in base.items()}
        for slot in dict.fromkeys(v.slot for v in self.policy):
            yield {v: (x - 2 if v in logs and v.slot == slot else x) for v, x in base.items()}
            yield {v: (x * 2 if v in scaled and v.slot == slot else x) for v, x in base.items()}
        yield {v: (x * 2 if v in scaled else x) for v, x in base.items()}
        for v in self.policy:  # equal steps
            for k in range(1, 4):
                yield {**base, v: base[v] - 3 * k}

    def _moved(self, base: Point) -> Iterator[Point]:
        """The first point, and it with each quantity moved alone."""
        numbers = walk(5)
        yield base
        for v in self.data:
            if v.data == "length":
                yield {**base, v: base[v] * 2}
            else:
                yield {**base, v: _coarse(v, sampled(self.box.get(v, REALS), next(numbers)) - 2, self.box)}

    def _far(self, base: Sequence[Point]) -> Iterator[Point]:
        """Other points with one log-probability a good deal larger or smaller."""
        for v in self.policy:
            yield {**base[1], v: base[1][v] * 16}
            yield {**base[1], v: base[1][v] / 4}
            yield {**base[2], v: base[2][v] * 200}

    def _there(self, point: Point) -> dict[Node, Node]:
        """The point as what is substituted."""
        return {v: self.s.number(x) for v, x in point.items()}

    def _floats(self, slopes: Sequence[Slope]) -> list[list[float]]:
        """The right's gradients at a few choices of its parameters: what these do not suggest is not tried."""
        program, numbers = Program([slope.right for slope in slopes], self.wanted, DOUBLES), walk(11)
        rows = [[float(self.defaults[v]) for v in self.wanted]]
        rows += [[float(sampled(self.box[v], next(numbers))) * 4 ** (k % 5 - 2) for v in self.wanted] for k in range(CHOICES if self.wanted else 0)]
        kept = [row for row in rows if all(Fraction(x) in self.box[v] for v, x in zip(self.wanted, row, strict=True))]
        return [program(row) for row in kept]

    # -- one gradient ----------------------------------------------------------------------------------------------------

    def _by_sign(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        for i, slope in enumerate(slopes):
            mine = int(mp.sign(slope.left)) if abs(slope.left) >= mpf(10) ** -40 else 0  # it is known to 40 digits
            values = [row[i] for row in choices]
            if mine and all(mine * v <= 0 for v in values) and self._sign(slope.right) in (0, -mine):
                said = "0"
                if self._sign(slope.right) != 0:
                    said = "<= 0" if mine > 0 else ">= 0"
                return self._said(f"{slope.name} is {number(slope.left)} of {{left}}, and {said} of {{right}}{self._whatever}", [slope])
            if not mine and (all(v > 0 for v in values) or all(v < 0 for v in values)) and self._vanishes(slope):
                sign = strict_sign(self.s, slope.right, self.box)
                if sign:
                    return self._said(f"{slope.name} is 0 of {{left}}, and {'> 0' if sign > 0 else '< 0'} of {{right}}{self._whatever}", [slope])
        return None

    def _vanishes(self, slope: Slope) -> bool:
        """Whether the left's gradient is exactly 0: a literal after substitution."""
        here = self._there(self.places[slope.point].point)
        return any(name == slope.name and is_number(self.s.substitute(mine, here), 0) for name, mine, _ in self.slopes)

    def _sign(self, node: Node) -> int | None:
        if is_number(node):
            return int(node.data > 0) - int(node.data < 0)
        return sign_of(node, self.box)

    @property
    def _whatever(self) -> str:
        return f" for all {', '.join(map(_plain, self.wanted))}" if self.wanted else ""

    # -- two gradients ---------------------------------------------------------------------------------------------------

    def _by_ratio(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        pairs = [(i, j) for i, j in combinations(range(len(slopes)), 2) if min(abs(slopes[i].left), abs(slopes[j].left)) > mpf(10) ** -12]
        promising = []
        for i, j in pairs:
            ratio = float(slopes[i].left / slopes[j].left)
            gaps = [_gap(row[i], ratio * row[j]) for row in choices if abs(row[i]) + abs(row[j]) > 1e-200] or [0.0]
            if all(g > 1e-7 for g in gaps) or all(g < -1e-7 for g in gaps):
                promising.append((self._strangeness(slopes[i], slopes[j]), -min(map(abs, gaps)), i, j))
        self.promising = [(slopes[i], slopes[j]) for _, _, i, j in sorted(promising)]
        return self._first_apart(self.promising[:MAX_RATIOS], by_algebra=False)

    def _by_algebra(self, slopes: Sequence[Slope]) -> Witness | None:
        """As `_by_ratio`, with what takes longer, where the exponentials are few and near."""
        near = [(a, b) for a, b in self.promising if self._is_near(a) and self._is_near(b)]
        simple = [(a, b) for a, b in near if _exponentials(a.right, b.right) <= MAX_EXPONENTIALS]
        return self._first_apart(simple[:MAX_ATTEMPTS], by_algebra=True)

    def _is_near(self, slope: Slope) -> bool:
        return self.places[slope.point].group != "far"

    def _first_apart(self, pairs: Sequence[tuple[Slope, Slope]], by_algebra: bool) -> Witness | None:
        for a, b in pairs:
            if self._apart(a, b, by_algebra):
                reason = f"the ratio of two gradients is {number(a.left / b.left)} of {{left}}, and never that of {{right}}{self._whatever}"
                return self._said(reason, [a, b])
        return None

    def _strangeness(self, a: Slope, b: Slope) -> int:
        """What is likely decided comes first: the same scalar, the same place, places that differ in little."""
        here, there = self.places[a.point], self.places[b.point]
        if here.group == there.group == "level":
            return -1
        if a.right is b.right or a.point == b.point:
            return 0
        return 1 + sum(x != there.point[v] for v, x in here.point.items())

    def _by_relation(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        """Three gradients of the right that are linearly dependent with the same numbers whatever its parameters; the left's are not."""
        near = [i for i, slope in enumerate(slopes) if self._is_near(slope)]
        rows = [row for row in choices if all(math.isfinite(row[i]) for i in near)]
        for i, j, k in combinations(near, 3):
            weights = _dependence([row[i] for row in rows], [row[j] for row in rows], [row[k] for row in rows])
            if weights is None:
                continue
            three = [slopes[i], slopes[j], slopes[k]]
            with mp.workdps(60):
                values = [s.left for s in three]
                left_over = values[0] - sum(mpf(w.numerator) / w.denominator * v for w, v in zip(weights, values[1:], strict=True))
                if abs(left_over) < mpf(10) ** -20 * sum(map(abs, values)):
                    continue
            rest = three[0].right
            for w, slope in zip(weights, three[1:], strict=True):
                rest = self.s.call("sub", rest, self.s.call("mul", self.s.number(w), slope.right))
            if is_zero(self.s, rest, self.box) is True:
                reason = f"of three gradients of {{right}} the first is {weights[0]} times the second plus {weights[1]} times the third{self._whatever}; of {{left}} it is not"
                return self._said(reason, three)
        return None

    def _apart(self, a: Slope, b: Slope, by_algebra: bool) -> bool:
        """Whether right(a) - ratio * right(b) has one strict sign for every choice."""
        if a.right is b.right:
            return abs(a.left - b.left) > mpf(10) ** -25 * abs(a.left) and strict_sign(self.s, a.right, self.box, by_algebra) is not None
        ratio = self.s.variable("ratio")
        gap = self.s.call("sub", a.right, self.s.call("mul", ratio, b.right))
        return strict_sign(self.s, gap, {**self.box, ratio: _around(a.left / b.left)}, by_algebra) is not None

    def _said(self, reason: str, slopes: Sequence[Slope]) -> Witness:
        numbers = {f"{{left}} {_plain(v)}": str(x) for v, x in self.given.items()}
        numbers |= {f"{{right}} {_plain(v)}": str(x) for v, x in self.defaults.items()}
        used = list(dict.fromkeys(slope.point for slope in slopes))
        ends = {place: f" ({n})" if len(used) > 1 else "" for n, place in enumerate(used, 1)}
        for place in used:
            numbers |= {text(v, {}) + ends[place]: str(x) for v, x in self.places[place].point.items()}
        for slope in slopes:
            other = sure_value(slope.right, self.defaults)
            numbers[f"{{left}} {slope.name}{ends[slope.point]}"] = number(slope.left)
            numbers[f"{{right}} {slope.name}{ends[slope.point]}"] = number(other) if other is not None else "none"
        return Witness(reason, numbers)


def _plain(parameter: Node) -> str:
    return str(parameter.data).removesuffix(MARK)


def _labels(count: int) -> list[str]:
    return [""] if count == 1 else [" (desirable)", " (undesirable)"]


def _coarse(v: Node, x: Fraction, box: Box) -> Fraction:
    """A near number with a small denominator: exponentials of such have a common base."""
    if v.data == "length":
        return Fraction(2) ** (int(x) % 3)
    return next((y for y in (Fraction(round(2 * x), 2), Fraction(round(8 * x), 8)) if y and y in box.get(v, REALS)), x)


def _gap(a: float, b: float) -> float:
    size = abs(a) + abs(b)
    return (a - b) / size if 0 < size < math.inf else 0.0


def _around(value: mpf) -> Span:
    """A range that surely holds a number computed to 60 digits."""
    sign, mantissa, exponent, _ = value._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * (-1 if sign else 1)
    near, pad = exact.limit_denominator(10**30), (1 + abs(exact)) * Fraction(1, 10**25)
    return Span(near - pad, near + pad)


def _exponentials(*nodes: Node) -> int:
    """How many different exponentials an algebra would meet."""
    words = {word for word, row in FUNCTIONS.items() if "exp(" in row.definition} | {"exp", "pow", "max", "min", "where"}
    return len({n for node in nodes for n in topological_scalar(node) if n.op == "apply" and n.data in words})


def _dependence(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> tuple[Fraction, Fraction] | None:
    """Simple numbers with a = x * b + y * c in every row, neither of them 0."""
    bb, bc, cc = (math.fsum(p * q for p, q in zip(u, v, strict=True)) for u, v in ((b, b), (b, c), (c, c)))
    ab, ac, aa = (math.fsum(p * q for p, q in zip(a, v, strict=True)) for v in (b, c, a))
    det = bb * cc - bc * bc
    if len(a) < 4 or not math.isfinite(det) or det <= 1e-9 * bb * cc:
        return None
    found = [Fraction(x).limit_denominator(16) for x in ((ab * cc - ac * bc) / det, (ac * bb - ab * bc) / det)]
    rest = math.fsum((p - float(found[0]) * q - float(found[1]) * r) ** 2 for p, q, r in zip(a, b, c, strict=True))
    return (found[0], found[1]) if all(found) and rest <= 1e-18 * aa else None


def strict_sign(s: Scalars, node: Node, box: Box, by_algebra: bool = True) -> int | None:
    """+1 if it is > 0 everywhere on the box, -1 if < 0, None if neither was shown."""
    if not variables(node):
        value = sure_value(node, {})
        if value is None or abs(value) < mpf(10) ** -25:  # it is known to 40 digits: what is smaller may be 0
            return None
        return 1 if value > 0 else -1
    if not by_algebra:
        return Calculus(box).span(node).sign(strict=True) or None
    return sign_of(node, box, strict=True, most=MAX_GRID) or None
