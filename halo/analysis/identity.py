"""Whether a scalar is 0, or free of a variable, wherever the box allows; and how a scalar and a point are written."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from mpmath import mp, mpf

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Box
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import at_kink, points
from halo.analysis.ranges import REALS
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.analysis.values import sure_value, values
from halo.analysis.verdict import PROVED as PROVED
from halo.analysis.verdict import REFUTED as REFUTED
from halo.analysis.verdict import UNDECIDED as UNDECIDED
from halo.analysis.verdict import Outcome as Outcome
from halo.analysis.verdict import Verdict as Verdict
from halo.compiler.graph import Node
from halo.compiler.graph_text import text
from halo.objective.vocabulary import jumping, kinked

NONZERO = mpf(10) ** -25
"""A value above it is surely not 0: `sure_value` is right to 40 digits. A smaller one may be, but makes a poor witness."""


def shown(node: Node) -> str:
    """A scalar as a formula; a sum over tokens keeps the name it has for people, as in `chosen.log π`."""
    names: dict[Node, str] = {}
    for inner in topological_scalar(node):
        if inner.op == "reduce":
            names[inner] = f"{inner.data.replace(' ', '_')}({shown(inner.args[0])})"
    return text(node, names)


def number(value: Fraction | mpf) -> str:
    """A witness's number: a fraction as it is, a computed value to 12 digits."""
    if isinstance(value, Fraction):
        return str(value)
    return str(mp.nstr(value, 12))


def named(point: Mapping[Node, Fraction]) -> dict[str, str]:
    """A point by the names of its variables."""
    return {shown(node): str(value) for node, value in point.items()}


def is_zero(s: Scalars, node: Node, box: Box) -> bool | None:
    """True: proved identically 0; False: a point where it is not 0; None: neither was shown."""
    if nonzero_point(node, box, tries=3) is not None:  # seen at once if it is not 0; else the proof is the cheaper question
        return False
    algebra = Algebra(box)
    try:
        if algebra.is_zero(algebra.normal(node)):
            return True
    except OutOfReach:
        pass
    if nonzero_point(node, box) is None:
        return None
    return False


def is_free_of(s: Scalars, node: Node, x: Node, box: Box) -> bool | None:
    """Whether the value does not depend on x. By two values of x, not by the slope: that of a step is 0 almost everywhere."""
    if x not in variables(node):
        return True
    slope = s.derivative(node, x)
    words = {n.data for n in topological_scalar(node) if n.op == "apply"}
    verdict = is_zero(s, slope, box)
    if verdict is True and not any(map(jumping, words)):
        return True
    if verdict is False and not any(map(kinked, words)):
        return False
    if verdict is False and nonzero_point(slope, box, off_kinks_of=node) is not None:  # at a kink the slope is a convention
        return False
    elsewhere = s.variable(f"another {shown(x)}", x.slot, x.axes)
    return is_zero(s, s.call("sub", s.substitute(node, {x: elsewhere}), node), {**box, elsewhere: box.get(x, REALS)})


TRIED = 48
"""Points of the box at which a scalar is evaluated before a proof that it is 0 is tried."""


def nonzero_point(node: Node, box: Box, tries: int = TRIED, off_kinks_of: Node | None = None) -> tuple[dict[Node, Fraction], mpf] | None:
    """A point where the scalar is surely not 0, and its value there; the most promising ones by floats are tried first.

    A slope at a kink of its curve is a convention: points at a kink of `off_kinks_of` are left out.
    """
    names = variables(node)
    if off_kinks_of is not None:
        names += variables(off_kinks_of)
    tried = points(box, list(dict.fromkeys(names)), TRIED)
    rough = [abs(float(values([node], point, DOUBLES)[node])) for point in tried]
    order = sorted(range(len(tried)), key=lambda i: (-_promise(rough[i]), i))
    for i in order[:tries]:
        value = sure_value(node, tried[i])
        if value is None or abs(value) <= NONZERO:
            continue
        if off_kinks_of is None or not at_kink(off_kinks_of, tried[i]):
            return tried[i], value
    return None


def _promise(rough: float) -> int:
    """2 where floats see a value that rounding does not explain, 1 where they cannot tell."""
    if 1e-6 < rough < 1e6:  # ten digits above what floats round away beside 1, and not so large that a difference was lost in it
        return 2
    if rough != 0:
        return 1
    return 0
