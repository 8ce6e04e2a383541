"""Whether the loss has a value for every declared parameter value and every reachable input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from mpmath import mp

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.identity import named, shown
from halo.analysis.numbers.digits import Digits
from halo.analysis.numbers.rationals import ending
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, variables
from halo.analysis.values import values
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import DOMAIN
from halo.objective.vocabulary import FUNCTIONS

POINTS = 200
"""Tried for each doubtful place; a place without a value is most often found among the first few, which hold zeros and ends of ranges."""


def ask(subject: Subject) -> Iterator[Finding]:
    """Ranges and algebra show that nothing is undefined, or a point shows that something is."""
    view = subject.view
    doubtful = list(_doubtful(subject))
    if not doubtful:
        yield Finding(DOMAIN.name, PROVED, "defined for every declared parameter value and every reachable input")
        return
    part, scalar, bad = doubtful[0]
    for point in points(view.box, variables(scalar), POINTS, view.first):
        if _undefined(scalar, point):
            witness = named(point)
            at = ", ".join(f"{name} = {value}" for name, value in witness.items())
            yield Finding(DOMAIN.name, REFUTED, f"{shown(bad)} has no value at {at}", scope=part, witness=witness)
            return
    yield Finding(DOMAIN.name, UNDECIDED, f"{shown(bad)} is not shown to have a value everywhere", scope=part)


def _doubtful(subject: Subject) -> Iterator[tuple[str, Node, Node]]:
    """A part, a scalar of it, and what in that may have no value."""
    view = subject.view
    for part in subject.parts:
        item = view.unstopped(view.whole(part))
        reduced = [inner for v in variables(item) if v.op == "reduce" for inner in v.args]
        for scalar in (item, *reduced):
            calculus = Calculus(view.box)
            if not calculus.shape(scalar).defined:
                yield from ((part.name, scalar, bad) for bad in calculus.undefined if not _settled(view, bad))


def _settled(view: View, node: Node) -> bool:
    """Whether algebra shows that a quotient's denominator is never 0, or a logarithm's argument positive."""
    room = _room(view.s, node)
    if room is None:
        return False
    algebra = Algebra(view.box)
    try:
        sign = algebra.sign(algebra.normal(room), strict=True)
    except OutOfReach:
        return False
    return sign == 1 or (sign == -1 and node.data == "div")


def _room(s: Scalars, node: Node) -> Node | None:
    """What must not be 0 (a denominator), or must be positive (the distance of an argument from the end of a domain)."""
    if node.data == "div":
        return node.args[1]
    low, high = map(ending, FUNCTIONS[node.data].domain)
    if isinstance(low, Fraction):
        return s.call("sub", node.args[0], s.number(low))
    if isinstance(high, Fraction):
        return s.call("sub", s.number(high), node.args[0])
    return None


def _undefined(node: Node, point: Mapping[Node, Fraction]) -> bool:
    with mp.workdps(60):
        value = values([node], point, Digits())[node]
        return not bool(mp.isfinite(value))


CHECK = Check(DOMAIN, ask)
