"""Proofs that no values of one objective's parameters make it another: exact data at which the gradients cannot be proportional.

With the parameters of `left` at exact values and data at exact numbers, its gradients are numbers; those of `right` are functions of
its own parameters. No choice of them fits if somewhere the signs differ for every choice, or if the ratio of two gradients does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from mpmath import mp, mpf

from halo.analysis.budgets import MAX_ATTEMPTS, MAX_EXPONENTIALS, MAX_GRID, MAX_RATIOS
from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import NONZERO, is_zero, number
from halo.analysis.scalar import Scalars, is_number, topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.analysis.values import sure_value
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS
from halo.relations.differences.evidence import Evidence, Slope, Witness, plain
from halo.relations.differences.multiples import around, dependence, dependent, gap_of, multiple, unlike
from halo.relations.differences.pieces import Cover

SURE = mpf(10) ** -40
"""A gradient that is smaller counts as 0 unless it is known to be none: `sure_value` is right to 40 digits."""
DIVISIBLE = mpf(10) ** -12
"""A gradient by which another is divided: below it the ratio has fewer digits than are asked of it."""
TINY, APART = 1e-200, 1e-7
"""Floats near the smallest have few digits; relative gaps below APART may be rounding in a gradient of a dozen operations."""
DEPENDENT = mpf(10) ** -20
"""What is left of three dependent gradients in 60 digits; what is larger by far excludes them."""
FEW = 24
"""Ratios that are tried before boxes of parameters: one ratio is told more shortly than a cover."""


class Exclusion(Evidence):
    """Looks for such data."""

    promising: Sequence[tuple[Slope, Slope]] = ()
    """Pairs whose ratios differ in floats at every choice, the likeliest first."""

    def witness(self) -> Witness | None:
        """Data that excludes every choice of the right's parameters, or None."""
        found = self.gradients()
        choices = self.floats(found)
        simple = self._by_sign(found, choices) or self._by_proportion(found, choices)
        if simple:
            return simple
        sizes = [len(topological_scalar(slope.right)) for slope in found]
        kept = unlike([float(slope.left) for slope in found], choices, sizes)  # a multiple of another says the same again
        found, choices = [found[i] for i in kept], [[row[i] for i in kept] for row in choices]
        return (
            self._by_ratio(found, choices)
            or self._by_pieces(found)
            or self._by_relation(found, choices)
            or self._first_apart(self.promising[FEW:MAX_RATIOS], by_algebra=False)
            or (self._by_algebra(found) if self.losses is None else None)
        )  # fmt: skip

    # -- one gradient ----------------------------------------------------------------------------------------------------

    def _by_sign(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        for i, slope in enumerate(slopes):
            values = [row[i] for row in choices]
            witness = self._against_the_other_sign(slope, values) or self._against_zero(slope, values)
            if witness is not None:
                return witness
        return None

    def _against_the_other_sign(self, slope: Slope, values: Sequence[float]) -> Witness | None:
        """The left's gradient is not 0, and the right's never has its sign."""
        if abs(slope.left) < SURE:
            return None
        mine = int(mp.sign(slope.left))
        if not all(mine * v <= 0 for v in values):
            return None
        sign = self._sign(slope.right)
        if sign is None or sign == mine:
            return None
        said = {0: "0", -1: "<= 0", 1: ">= 0"}[sign]
        return self.said(f"{slope.name} is {number(slope.left)} of {{left}}, and {said} of {{right}}{self.whatever}", [slope])

    def _against_zero(self, slope: Slope, values: Sequence[float]) -> Witness | None:
        """The left's gradient is 0, and the right's never is."""
        if abs(slope.left) >= SURE or not (all(v > 0 for v in values) or all(v < 0 for v in values)) or not self.vanishes(slope):
            return None
        sign = strict_sign(self.s, slope.right, self.box)
        if not sign:
            return None
        said = "> 0" if sign > 0 else "< 0"
        return self.said(f"{slope.name} is 0 of {{left}}, and {said} of {{right}}{self.whatever}", [slope])

    def _sign(self, node: Node) -> int | None:
        if is_number(node):
            return int(node.data > 0) - int(node.data < 0)
        return sign_of(node, self.box)

    def _by_proportion(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        """Two gradients of the right of which one is the same multiple of the other whatever its parameters; the left's are not."""
        tried = 0
        for i, j in combinations(range(len(slopes)), 2):
            weight = multiple([row[i] for row in choices], [row[j] for row in choices])
            if weight is None or tried == MAX_ATTEMPTS:
                continue
            a, b = slopes[i], slopes[j]
            factor = mpf(weight.numerator) / weight.denominator
            if abs(a.left - factor * b.left) <= DIVISIBLE * (abs(a.left) + abs(b.left)):
                continue
            tried += 1
            if is_zero(self.s, self.s.call("sub", a.right, self.s.call("mul", self.s.number(weight), b.right)), self.box) is True:
                reason = f"of two gradients of {{right}} the first is {weight} times the second{self.whatever}; of {{left}} it is not"
                return self.said(reason, [a, b])
        return None

    # -- two gradients ---------------------------------------------------------------------------------------------------

    def _by_ratio(self, slopes: Sequence[Slope], choices: list[list[float]]) -> Witness | None:
        promising = []
        for i, j in combinations(range(len(slopes)), 2):
            if min(abs(slopes[i].left), abs(slopes[j].left)) <= DIVISIBLE:
                continue
            ratio = float(slopes[i].left / slopes[j].left)
            gaps = [gap_of(row[i], ratio * row[j]) for row in choices if abs(row[i]) + abs(row[j]) > TINY] or [0.0]
            if all(g > APART for g in gaps) or all(g < -APART for g in gaps):
                promising.append((self._strangeness(slopes[i], slopes[j]), -min(map(abs, gaps)), i, j))
        self.promising = [(slopes[i], slopes[j]) for _, _, i, j in sorted(promising)]
        return self._first_apart(self.promising[:FEW], by_algebra=False)

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
                return self.said(self._ratio_of(a, b), [a, b])
        return None

    def _ratio_of(self, a: Slope, b: Slope) -> str:
        return f"the ratio of two gradients is {number(a.left / b.left)} of {{left}}, and never that of {{right}}{self.whatever}"

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
        for i, j, k in dependent([[row[i] for row in rows] for i in near]):
            i, j, k = near[i], near[j], near[k]
            weights = dependence([row[i] for row in rows], [row[j] for row in rows], [row[k] for row in rows])
            if weights is None:
                continue
            three = [slopes[i], slopes[j], slopes[k]]
            with mp.workdps(60):  # more than the 40 that the gradients are right to
                values = [s.left for s in three]
                left_over = values[0] - sum(mpf(w.numerator) / w.denominator * v for w, v in zip(weights, values[1:], strict=True))
                if abs(left_over) < DEPENDENT * sum(map(abs, values)):
                    continue
            rest = three[0].right
            for w, slope in zip(weights, three[1:], strict=True):
                rest = self.s.call("sub", rest, self.s.call("mul", self.s.number(w), slope.right))
            if is_zero(self.s, rest, self.box) is True:
                sum_of_two = f"{weights[0]} times the second plus {weights[1]} times the third"
                reason = f"of three gradients of {{right}} the first is {sum_of_two}{self.whatever}; of {{left}} it is not"
                return self.said(reason, three)
        return None

    def _by_pieces(self, slopes: Sequence[Slope]) -> Witness | None:
        """Several gradients, of which each excludes a part of the parameters."""
        slopes = [slope for slope in slopes if DIVISIBLE < abs(slope.left) < 1 / DIVISIBLE or self.vanishes(slope)]
        found = Cover(self.s, self.box, self.wanted, [slope.left for slope in slopes], [slope.right for slope in slopes]).excluding()
        if found is None:
            return None
        used = [slopes[k] for k in found]
        if len(used) == 2 and used[1].left:
            return self.said(self._ratio_of(*used), used)
        reason = f"no values of {', '.join(map(plain, self.wanted))} give {{right}} gradients that are a multiple of these of {{left}}"
        return self.said(reason, used)

    def _apart(self, a: Slope, b: Slope, by_algebra: bool) -> bool:
        """Whether right(a) - ratio * right(b) has one strict sign for every choice."""
        if a.right is b.right:
            return abs(a.left - b.left) > NONZERO * abs(a.left) and strict_sign(self.s, a.right, self.box, by_algebra) is not None
        ratio = self.s.variable("ratio")
        gap = self.s.call("sub", a.right, self.s.call("mul", ratio, b.right))
        return strict_sign(self.s, gap, {**self.box, ratio: around(a.left / b.left)}, by_algebra) is not None


def _exponentials(*nodes: Node) -> int:
    """How many different exponentials an algebra would meet."""
    words = {word for word, row in FUNCTIONS.items() if "exp(" in row.definition} | {"exp", "pow", "max", "min", "where"}
    return len({n for node in nodes for n in topological_scalar(node) if n.op == "apply" and n.data in words})


def strict_sign(s: Scalars, node: Node, box: Box, by_algebra: bool = True) -> int | None:
    """+1 if it is > 0 everywhere on the box, -1 if < 0, None if neither was shown."""
    if not variables(node):
        value = sure_value(node, {})
        if value is None or abs(value) < NONZERO:
            return None
        return int(mp.sign(value))
    if not by_algebra:
        return Calculus(box).span(node).sign(strict=True) or None
    return sign_of(node, box, strict=True, most=MAX_GRID) or None
