"""Whether a loss takes its least value somewhere: by how it runs towards the ends of where h can be.

A continuous loss that rises towards both ends, or stands still there, takes its least value between them; at a closed end it
takes a value anyhow. A loss that falls below all of its values towards an end that is not reached takes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import sympy
from mpmath import mpf

from halo.analysis.defined import is_defined
from halo.analysis.ends.extent import SIDES, Extent
from halo.analysis.points import GRID
from halo.analysis.scalar import variables
from halo.analysis.sign import sign_in_cases, sign_of
from halo.analysis.values import sure_value, surely_below
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Outcome

DIGITS = 45
"""Of a limit that a value is held against: `surely_below` asks for 30."""

Decided = tuple[Outcome, str, str | None]


@dataclass(frozen=True)
class Attained:
    """A continuous loss along h."""

    along: Extent

    def decided(self) -> Decided:
        """Whether it has a least value: the verdict, why, and where it is if that is known."""
        along = self.along
        pole = along.pole(along.value)
        if pole is not None and -1 in pole.signs:
            low, high = pole.place
            return REFUTED, f"the loss of a sure preference falls without end at a pole between h = {low} and {high}", None
        if not is_defined(along.s, along.value, along.box):
            return UNDECIDED, "the loss is not shown to be defined everywhere", None
        open_ends = [side for side in SIDES if along.reached(side) and not along.closed(side)]
        for side in open_ends:
            if self._way == -side and self._slope(side) == -side:
                name = along.place(side).replace("z", "h")
                reason = f"the loss of a sure preference keeps falling towards {name}, and nothing but the data stops it"
                return REFUTED, reason, along.place(side) if isinstance(along.end(side), float) else None
        if all(self._stops(side) for side in SIDES):
            return self._least()
        if any(self._is_least_at(side) for side in open_ends):
            return REFUTED, "the loss of a sure preference is nowhere as low as it comes towards an end of h", None
        if all(map(along.reached, SIDES)) and self._has_a_low_point():
            return PROVED, "the loss of a sure preference is lower at some h than towards both ends: it has a least value", None
        return UNDECIDED, "how the loss of a sure preference ends was not decided", None

    @cached_property
    def _way(self) -> int | None:
        """1 if the loss never falls along h, -1 if it never rises."""
        return sign_in_cases(self.along.s, self.along.slope, self.along.box)

    def _slope(self, side: int) -> int | None:
        """The sign that the slope has for good towards an end."""
        end = self.along.tail(self.along.slope, side)
        return None if end is None else end.sign

    def _stops(self, side: int) -> bool:
        """Whether nothing lower lies towards that end: h takes it, or the loss rises or is level there."""
        if not self.along.reached(side):
            return False
        return self.along.closed(side) or self._slope(side) in (side, 0)

    def _least(self) -> Decided:
        ends = {side: self.along.end(side) for side in SIDES if self.along.closed(side)}
        if self._way is not None and -self._way in ends:
            end = ends[-self._way]
            return PROVED, f"the loss of a sure preference is least at h* = {end}, an end of the differences of scores", str(end)
        return PROVED, "the loss of a sure preference does not fall towards an end of h: it is least at some h between", None

    def _is_least_at(self, side: int) -> bool:
        """Whether the loss falls without end there, or comes there as near as one likes to a number that it is always above."""
        end = self.along.tail(self.along.value, side)
        if end is None or end.limit is None:
            return False
        if end.limit == -sympy.oo:
            return True
        if not end.limit.is_Rational:
            return False
        s, number = self.along.s, Fraction(int(end.limit.p), int(end.limit.q))
        return sign_of(s.call("sub", self.along.value, s.number(number)), self.along.box, strict=True) == 1

    def _has_a_low_point(self) -> bool:
        """Of a loss without parameters: whether a number is surely lower than what the loss tends to where it may fall."""
        value, h = self.along.value, self.along.z
        if any(v is not h for v in variables(value)):
            return False
        ends = [self.along.tail(value, side) for side in SIDES if not self._stops(side)]
        limits = [None if end is None else end.limit for end in ends]
        if any(limit is None or limit == -sympy.oo for limit in limits):
            return False
        low = [sure_value(value, {h: place}) for place in GRID if place in self.along.span]
        heights = [mpf(str(sympy.N(limit, DIGITS))) for limit in limits if limit != sympy.oo]
        return any(all(surely_below(v, height) for height in heights) for v in low if v is not None)
