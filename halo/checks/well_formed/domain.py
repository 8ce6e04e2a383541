"""Whether the loss has a value for every declared parameter value and every reachable input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from mpmath import mp

from halo.analysis.defined import doubts
from halo.analysis.ends.poles import pole
from halo.analysis.identity import named, shown
from halo.analysis.numbers.digits import Digits
from halo.analysis.points import COUNTED, points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.values import values
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import DOMAIN
from halo.objective.vocabulary import jumping

POINTS = 200
"""Tried for each doubtful place; a place without a value is most often found among the first few, which hold zeros and ends of ranges."""
POLES = 8
"""Values of the rest at which a pole is looked for."""


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
    yield _beside_a_pole(subject, part, scalar, bad)


def _beside_a_pole(subject: Subject, part: str, scalar: Node, bad: Node) -> Finding:
    """A denominator that passes through 0 as one input moves has no value there, though no number that is tried hits the place."""
    view = subject.view
    jumps = any(inner.op == "apply" and jumping(inner.data) for inner in topological_scalar(scalar))
    reduced = any(v.op == "reduce" for v in variables(scalar))
    moved = [v for v in variables(bad) if v.op == "input" and v.data not in COUNTED]
    for v in moved if not (jumps or reduced) else ():
        span = view.box.get(v, REALS)
        for point in points(view.box, [other for other in variables(bad) if other is not v], POLES, view.first):
            found = pole(view.s, bad, v, Span(span.low, span.high, True, True), point)
            if found is not None:
                low, high = found.place
                witness = {**named(point), "moved": shown(v), "from": low, "to": high}
                reason = f"{shown(bad)} has a pole where {shown(v)} is between {low} and {high}"
                return Finding(DOMAIN.name, REFUTED, reason, scope=part, witness=witness)
    return Finding(DOMAIN.name, UNDECIDED, f"{shown(bad)} is not shown to have a value everywhere", scope=part)


def _doubtful(subject: Subject) -> Iterator[tuple[str, Node, Node]]:
    """A part, a scalar of it, and what in that may have no value."""
    view = subject.view
    for part in subject.parts:
        item = view.unstopped(view.whole(part))
        reduced = [inner for v in variables(item) if v.op == "reduce" for inner in v.args]
        for scalar in (item, *reduced):
            yield from ((part.name, scalar, bad) for bad in doubts(view.s, scalar, view.box))


def _undefined(node: Node, point: Mapping[Node, Fraction]) -> bool:
    with mp.workdps(60):
        value = values([node], point, Digits())[node]
        return not bool(mp.isfinite(value))


CHECK = Check(DOMAIN, ask)
