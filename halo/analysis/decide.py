"""The decision procedure: refute at exact points, prove by rules, split at kinks, prove by algebra, else say so.

Sound by construction: a refutation is numbers that anyone can check, a proof a list of steps each of which holds on a box
at least as large as the one asked about. Nothing here depends on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import inf

from mpmath import mp

from halo.analysis.budgets import MAX_SPLITS
from halo.analysis.composition import AFFINE, CONCAVE, CONSTANT, UP, Shape
from halo.analysis.curvature import Box, Calculus
from halo.analysis.defined import is_defined
from halo.analysis.identity import named, number, shown
from halo.analysis.kinks import branches_of, switch, switches_along, threshold
from halo.analysis.points import Line, points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.analysis.values import sure_value, surely_below
from halo.analysis.verdict import PROVED as PROVED
from halo.analysis.verdict import REFUTED as REFUTED
from halo.analysis.verdict import UNDECIDED as UNDECIDED
from halo.analysis.verdict import Outcome as Outcome
from halo.analysis.verdict import Verdict as Verdict
from halo.compiler.graph import Node


@dataclass
class Question:
    """One scalar on one box, along x restricted to `region`."""

    s: Scalars
    node: Node
    x: Node
    box: Box
    region: Span = REALS
    first: Mapping[Node, list[Fraction]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.box = {**self.box, self.x: self.region}

    # -- the two questions -----------------------------------------------------------------------------------------------

    def monotone(self) -> Verdict:
        """Is it non-decreasing in x on the region, for every value of the rest?"""
        return self._decided("non-decreasing", self._fall(), UP)

    def concave(self) -> Verdict:
        """Is it concave in x on the region, for every value of the rest?"""
        return self._decided("concave", self._sag(), CONCAVE)

    def _decided(self, what: str, witness: Verdict | None, wanted: str) -> Verdict:
        if witness is not None:
            return witness
        steps: list[str] = []
        shape = Calculus(self.box, self.x).shape(self.node)
        if not shape.defined and not is_defined(self.s, self.node, self.box):
            return Verdict(UNDECIDED, "not shown to be defined everywhere; no counterexample was found")
        if _composes(shape, wanted):
            return Verdict(PROVED, f"{what} by composition", tuple(explained(self.node, self.box, self.x, wanted)))
        if self._by_pieces(self.node, self.box, wanted, steps, 0):
            derivative = "slope" if wanted == UP else "second derivative"
            return Verdict(PROVED, f"{what}: the {derivative} has one sign", tuple(steps))
        return Verdict(UNDECIDED, f"no counterexample was found, and no proof that it is {what}")

    # -- refutation ------------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[Line]:
        others = [v for v in variables(self.node) if v is not self.x]
        for fixed in points(self.box, others, first=self.first):
            yield Line(self.node, self.x, fixed, self.region)

    def _fall(self) -> Verdict | None:
        for line in self._lines():
            for a, b in line.falls():
                low, high = (sure_value(self.node, {**line.fixed, self.x: p}) for p in (b, a))
                if not surely_below(low, high):
                    continue
                assert low is not None
                assert high is not None
                witness = {
                    **named(line.fixed), "from": str(a), "to": str(b), "value at from": number(high), "value at to": number(low),
                }  # fmt: skip
                name = shown(self.x)
                reason = f"falls from {number(high)} at {name} = {a} to {number(low)} at {name} = {b}{_at(line.fixed)}"
                return Verdict(REFUTED, reason, (), witness)
        return None

    def _sag(self) -> Verdict | None:
        for line in self._lines():
            for a, c, b in line.sags():
                va, vc, vb = (sure_value(self.node, {**line.fixed, self.x: p}) for p in (a, c, b))
                if va is None or vc is None or vb is None:
                    continue
                part = (c - a) / (b - a)
                with mp.workdps(60):  # more than the 40 that `sure_value` vouches for
                    chord = va + (vb - va) * part.numerator / part.denominator
                if surely_below(vc, chord):
                    witness = {
                        **named(line.fixed), "left": str(a), "middle": str(c), "right": str(b),
                        "value at left": number(va), "value at middle": number(vc), "value at right": number(vb),
                    }  # fmt: skip
                    name = shown(self.x)
                    above = f"the chord from {a} to {b}, {number(chord)}"
                    reason = f"at {name} = {c} the value {number(vc)} lies below {above}{_at(line.fixed)}"
                    return Verdict(REFUTED, reason, (), witness)
        return None

    # -- proof by pieces and algebra -------------------------------------------------------------------------------------

    def _by_pieces(self, node: Node, box: Box, wanted: str, steps: list[str], depth: int) -> bool:
        kink = next((n for n in topological_scalar(node) if switches_along(n, self.x)), None)
        if kink is None:
            return self._smooth(node, box, wanted, steps)
        if depth == MAX_SPLITS:
            return False
        return self._split(node, kink, box, wanted, steps, depth)

    def _smooth(self, node: Node, box: Box, wanted: str, steps: list[str]) -> bool:
        shape = Calculus(box, self.x).shape(node)
        where = f"{shown(node)} on {self.x.data} in {box[self.x]}"
        if _composes(shape, wanted):
            steps.append(f"{where}: by composition")
            return True
        target, sign, said = self.s.derivative(node, self.x), 1, f"slope of {where} is >= 0"
        if wanted == CONCAVE:
            target, sign, said = self.s.derivative(target, self.x), -1, f"second derivative of {where} is <= 0"
        if sign_of(target, box) not in (sign, 0):
            return False
        steps.append(f"{said}: signs of its factors")
        return True

    def _split(self, node: Node, kink: Node, box: Box, wanted: str, steps: list[str], depth: int) -> bool:
        """Both sides of the kink at its threshold t, and how they meet there."""
        pair = switch(self.s, kink)
        at = threshold(self.s, *pair, self.x, box)
        if at is None:
            return False
        t, rising = at
        left, right = (self.s.substitute(node, {kink: branch}) for branch in branches_of(self.s, kink, pair))
        if not rising:  # the pair's first is the smaller one to the right of the threshold
            left, right = right, left
        span = Calculus(box).span(t)
        region = box[self.x]
        sides = []
        for branch, piece, limit in ((left, "left", Span(-inf, span.high)), (right, "right", Span(span.low, inf))):
            inside = region.within(limit)
            if inside is None:
                continue
            sides.append(piece)
            if not self._by_pieces(branch, {**box, self.x: inside}, wanted, steps, depth + 1):
                return False
        return len(sides) < 2 or self._meet(left, right, t, box, wanted, kink, steps)

    def _meet(self, left: Node, right: Node, t: Node, box: Box, wanted: str, kink: Node, steps: list[str]) -> bool:
        there = {self.x: t}
        if kink.data in ("where", "sign"):
            ends = [self.s.substitute(side, there) for side in (left, right)]
            if kink.data == "sign":  # its value at the jump is neither side's
                ends.insert(1, self.s.substitute(self.s.substitute(self.node, {kink: self.s.number(0)}), there))
            jumps = [sign_of(self.s.call("sub", after, before), box) for before, after in pairwise(ends)]
            if any(jump != 0 and (wanted != UP or jump != 1) for jump in jumps):
                return False
            verb = "fall" if wanted == UP else "jump"
            steps.append(f"at {self.x.data} = {shown(t)} the value does not {verb}")
        if wanted == UP:
            return True
        slopes = [self.s.substitute(self.s.derivative(side, self.x), there) for side in (left, right)]
        if sign_of(self.s.call("sub", slopes[1], slopes[0]), box) not in (-1, 0):
            return False
        steps.append(f"at {self.x.data} = {shown(t)} the slope does not rise")
        return True


def _composes(shape: Shape, wanted: str) -> bool:
    """Whether the rules of composition say already what is wanted: that it does not fall, or that it is concave."""
    if wanted == UP:
        return shape.trend in (UP, CONSTANT)
    return shape.curvature in (CONCAVE, AFFINE)


def _at(fixed: Mapping[Node, Fraction]) -> str:
    if not fixed:
        return ""
    return f" ({', '.join(f'{name} = {value}' for name, value in named(fixed).items())})"


def explained(node: Node, box: Box, x: Node, wanted: str) -> Iterator[str]:
    """The trace of a proof by composition: what is known of each sub-formula along x."""
    calculus = Calculus(box, x)
    calculus.shape(node)
    for inner in topological_scalar(node):
        if inner in calculus.known and inner.op == "apply" and not calculus.known[inner].constant:
            shape = calculus.known[inner]
            known = shape.trend if wanted == UP else shape.curvature
            yield f"{shown(inner)}: {known}, in {shape.span}"
