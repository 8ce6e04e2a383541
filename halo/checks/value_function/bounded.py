"""Whether v has a bound on the side that the loss falls towards, so that the loss cannot fall for ever."""

from __future__ import annotations

from math import inf

import sympy

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import REALS, Span
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import each, limit_of, question, written
from halo.compiler.graph import Node
from halo.objective.propositions import BOUNDED


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is bounded above where its sign is -1, since the loss falls as v rises; below where it is +1."""
    box = {**subject.view.box, z: _reachable(subject, value)}
    span = Calculus(box).span(value)
    rising = _sign_of(subject, value) < 0
    end, word = (span.high, "above") if rising else (span.low, "below")
    if end not in (inf, -inf):
        return Finding(BOUNDED.name, PROVED, f"v is bounded {word}: it lies in {span}", str(span), scope)
    open_ends = [side for side, at in ((1, box[z].high), (-1, box[z].low)) if at in (inf, -inf)]
    limits = [limit_of(subject, value, z, side) for side in open_ends]
    if len(limits) == 2 and question(subject, value, z).monotone().proved:
        last, where = (limits[0], "+oo") if rising else (limits[1], "-oo")
        if last is not None and last.is_finite:
            lies = f"(-inf, {last}]" if rising else f"[{last}, inf)"
            return Finding(BOUNDED.name, PROVED, f"v never falls and tends to {last} at {where}: it is bounded {word}", lies, scope)
    endless = sympy.oo if rising else -sympy.oo
    if endless in limits:
        reason = f"v is unbounded {word}: the loss has no lower bound in z"
        return Finding(BOUNDED.name, REFUTED, reason, f"limits {written(*limits)}", scope)
    return Finding(BOUNDED.name, UNDECIDED, f"no bound of v from {word} was found", None, scope)


def _reachable(subject: Subject, value: Node) -> Span:
    """The range of z over all inputs, of the parts that use this v."""
    result: Span | None = None
    for part in subject.terms:
        if subject.view.unstopped(subject.view.value(part)) is value:
            z = Calculus(subject.view.box).span(subject.view.unstopped(subject.view.argument(part)))
            result = z if result is None else result.joined(z)
    return result or REALS


def _sign_of(subject: Subject, value: Node) -> int:
    """The sign in front of v, of the first part that uses it."""
    return next(part.sign for part in subject.terms if subject.view.unstopped(subject.view.value(part)) is value)


CHECK = Check(BOUNDED, each(BOUNDED, of_one))
