"""Where a gradient is a convention: at a kink a formula's slope is one of several, and equal losses may choose differently:
relu(z) - relu(-z) is z, and at 0 its slope by convention is 0, not 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import NONZERO
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, switching_pairs, variables, variables_of
from halo.analysis.values import sure_value, values
from halo.compiler.graph import Node

TRIED = 6
"""Values of the parameters at which two switches of the right are looked at: a copy turned round has the opposite sign at all of them."""


@dataclass(frozen=True)
class Conventions:
    """`gaps` are the differences whose sign decides a kink or jump: the left's over data, the right's over its parameters too."""

    s: Scalars
    box: Box
    gaps: Sequence[Node]

    def speak(self, here: Mapping[Node, Node]) -> bool:
        """Whether a slope at this place may be a convention.

        A switch that depends on the right's parameters may: at a parameter where it is tied, its convention is the slope on one of
        its sides. Of two that are tied together and turned against each other it may be the slope on no side.
        """
        gaps = [self.s.substitute(gap, here) for gap in self.gaps]
        if any(not variables(gap) and not _apart(gap) for gap in gaps):
            return True
        moving = list(dict.fromkeys(gap for gap in gaps if variables(gap) and not Calculus(self.box).span(gap).sign(strict=True)))
        return len(moving) > 1 and self._turned(moving)

    def _turned(self, gaps: Sequence[Node]) -> bool:
        rows = [values(gaps, point, DOUBLES) for point in points(self.box, variables_of(gaps), TRIED)]
        return any(all(float(row[a]) * float(row[b]) <= 0 for row in rows) for a, b in combinations(gaps, 2))


def switches(s: Scalars, losses: Sequence[Node]) -> list[Node]:
    """The differences whose sign decides a kink or jump of a loss, as values."""
    pairs = [pair for loss in losses for pair in switching_pairs(loss)]
    return list(dict.fromkeys(s.call("sub", a, b) for a, b in pairs))


def _apart(gap: Node) -> bool:
    value = sure_value(gap, {})
    return value is not None and abs(value) > NONZERO
