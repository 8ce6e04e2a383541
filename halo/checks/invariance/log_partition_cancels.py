"""Whether a constant c(x) of the prompt, added to every score as log Z(x) is, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from halo.analysis.identity import is_zero, named, nonzero_point, number
from halo.analysis.ranges import Span
from halo.analysis.scalar import variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.compiler import units
from halo.compiler.graph import Node, topological
from halo.objective.propositions import LOG_PARTITION_CANCELS


def asked(subject: Subject) -> bool:
    """Where there are rewards against a reference, each one number for a completion."""
    graph = subject.compiled.declared
    cores = [core for _, core in graph.factors.values()]
    return bool(graph.needs.reference and cores) and not any("token" in core.axes for core in cores)


def ask(subject: Subject) -> Iterator[Finding]:
    """Each part of the loss with c and without it."""
    graph, view = subject.compiled.declared, subject.view
    shifted = view.variant(shifts={reward: units.power_of(graph, core) for reward, (_, core) in graph.factors.items()})
    c = view.s.variable("c")
    for part in subject.parts:
        before = view.unstopped(view.whole(part))
        after = shifted.unstopped(shifted.whole(part))
        gap = view.s.call("sub", after, before)
        verdict = is_zero(view.s, gap, view.box)
        if verdict is True:
            continue
        point = nonzero_point(gap, {**view.box, c: Span(Fraction(1), Fraction(1))})
        if verdict is False and point and not _hides(before, after, gap, c):
            reason = f"adding c = 1 to the scores of one prompt changes the loss by {number(point[1])}"
            witness = named(point[0]) | {"change": number(point[1])}
            yield Finding(LOG_PARTITION_CANCELS.name, REFUTED, reason, scope=part.name, witness=witness)
        else:
            reason = "no proof that c(x) cancels, and no point where it does not"
            yield Finding(LOG_PARTITION_CANCELS.name, UNDECIDED, reason, scope=part.name)
        return
    yield Finding(LOG_PARTITION_CANCELS.name, PROVED, "adding c(x) to every score leaves the loss as it is: log Z(x) cancels")


def _hides(before: Node, after: Node, gap: Node, c: Node) -> bool:
    """Whether a reduction moves with c: then it is no free number, and a point says nothing."""
    moved = _reductions(after) - _reductions(before)
    return bool(moved) or any(c in topological([reduction]) for reduction in _reductions(gap))


def _reductions(node: Node) -> set[Node]:
    return {v for v in variables(node) if v.op == "reduce"}


CHECK = Check(LOG_PARTITION_CANCELS, ask, asked)
