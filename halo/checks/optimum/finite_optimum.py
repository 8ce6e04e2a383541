"""Whether a sure preference has a finite optimum h*: then the objective itself stops the policy."""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.curvature import Calculus
from halo.analysis.identity import named, shown
from halo.analysis.kinks import settled, switching_at
from halo.analysis.points import switches
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import is_number, variables
from halo.analysis.sign import sign_in_cases
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding, Outcome
from halo.checks.check import Check
from halo.checks.optimum.attained import Attained
from halo.checks.optimum.curves import curves, has_curves
from halo.checks.optimum.stationary import BY_LENGTH, JUMPS, UNKNOWN, Descent, Root
from halo.checks.subject import Subject
from halo.objective.propositions import FINITE_OPTIMUM


def ask(subject: Subject) -> Iterator[Finding]:
    """Of the loss of the preferred outcome alone."""
    found = curves(subject)
    if found is not None:
        yield _of(Descent(subject, found.good, found.h, found.box, found.difference))


def _finding(verdict: Outcome, reason: str, value: str | None = None, **more: object) -> Finding:
    return Finding(FINITE_OPTIMUM.name, verdict, reason, value, **more)  # type: ignore[arg-type]


def _of(descent: Descent) -> Finding:
    """In closed form where h can be any number; else, or where that is not found, by how the loss ends."""
    if descent.may_jump:
        return _finding(UNDECIDED, JUMPS)
    if descent.has_ends_by_length:
        return _finding(PROVED, f"{BY_LENGTH}, and the loss of a sure preference is least at one of them or between")
    if descent.goes_everywhere:
        found = _in_closed_form(descent)
        if found.verdict != UNDECIDED:
            return found
    outcome, reason, value = Attained(descent.extent).decided()
    if outcome != UNDECIDED:
        return _finding(outcome, reason, value)
    for sample in descent.extent.samples:
        outcome, there, value = Attained(sample).decided()
        if outcome == REFUTED:
            return _finding(REFUTED, there + sample.said(), value, witness=named(sample.fixed))
    return _finding(UNDECIDED, UNKNOWN)


def _in_closed_form(descent: Descent) -> Finding:
    way = sign_in_cases(descent.subject.view.s, descent.slope, descent.box)
    if way in (-1, 1) and descent.form is not None:
        try:
            return _of_one_way(descent, way)
        except OutOfReach:
            return _finding(UNDECIDED, UNKNOWN)
    least = descent.minimum
    if least is None:
        return _finding(UNDECIDED, UNKNOWN)
    if not least.is_finite(descent.box):
        return _somewhere_infinite(descent, least)
    reason = f"the loss of a sure preference is least at h* = {least.pretty}, where h is the difference of scores"
    return _finding(PROVED, reason, str(least.pretty), steps=descent.convex.steps)


def _of_one_way(descent: Descent, way: int) -> Finding:
    """Of a loss that never rises (`way` -1) or never falls: it falls for ever, or is flat from somewhere on."""
    where, far = ("+oo", "large") if way < 0 else ("-oo", "low")
    if Calculus(descent.box).span(descent.slope).sign(strict=True) or descent.algebra.sign(descent.form, strict=True):
        reason = f"the loss of a sure preference keeps falling: its optimum is h = {where}, and nothing but the data stops it"
        return _finding(REFUTED, reason, where)
    flat = _flat(descent, way)
    if flat is not None:
        return _finding(PROVED, f"the loss of a sure preference is least, and flat, once h is {far} enough", flat)
    return _finding(UNDECIDED, f"the loss never rises towards h = {where}, and whether it becomes flat was not decided")


def _flat(descent: Descent, way: int) -> str | None:
    s, h, box = descent.subject.view.s, descent.h, descent.box
    if not is_number(settled(s, descent.slope, h, box, -way), 0):
        return None
    if way > 0:
        return "flat towards -oo"
    at = switching_at(s, descent.slope, h, box)
    if at is None or len({frozenset(pair) for pair in switches(descent.slope, h)}) > 1:  # of several kinks it is not the first
        return "flat"
    return f"h >= {shown(at)}"


def _somewhere_infinite(descent: Descent, root: Root) -> Finding:
    """A closed form that may divide by 0 is no finite optimum: at a closed end of a parameter the loss may fall for ever."""
    s = descent.subject.view.s
    for v in variables(descent.loss):
        span = descent.box.get(v, REALS)
        for end in (span.low, span.high):
            if v.op != "parameter" or isinstance(end, float) or end not in span:
                continue
            there = s.substitute(descent.slope, {v: s.number(end)})
            slope = Calculus({**descent.box, v: Span.point(end)}).span(there)
            if slope.positive or slope.negative:
                way = "+oo" if slope.negative else "-oo"
                reason = f"at {shown(v)} = {end} the loss of a sure preference keeps falling: its optimum is h = {way}"
                return _finding(REFUTED, f"{reason} (elsewhere {root.pretty})", way, witness={shown(v): str(end)})
    return _finding(UNDECIDED, f"the optimum h = {root.pretty} is not shown to be finite for every declared parameter value")


CHECK = Check(FINITE_OPTIMUM, ask, has_curves)
