"""Whether v has a bound on the side that the loss falls towards, so that the loss cannot fall for ever."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from math import inf

import sympy
from sympy import Expr

from halo.analysis.curvature import Box, Calculus
from halo.analysis.decide import Question
from halo.analysis.defined import is_defined
from halo.analysis.ends.extent import SIDES, Extent
from halo.analysis.ends.far import Tail
from halo.analysis.kinks import jumps
from halo.analysis.ranges import Span
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import at_samples, each, extent_of, made_of_span, written
from halo.compiler.graph import Node
from halo.objective.propositions import BOUNDED

ABOVE, BELOW = 1, -1
WORDS = {ABOVE: "above", BELOW: "below"}


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is bounded above where some part's sign is -1, since the loss falls as v rises; below where some part's is +1."""
    extent = extent_of(subject, value, z)
    sides = _sides(subject, value)
    whole = made_of_span(subject, [subject.view.s.substitute(value, {z: argument}) for argument in extent.arguments])
    found = [at_samples(extent, partial(_of_side, scope, side, whole)) for side in sides]
    if not found:
        return Finding(BOUNDED.name, PROVED, "v has no part in the loss: its weight is 0", None, scope)
    worst = min(found, key=lambda one: (REFUTED, UNDECIDED, PROVED).index(one.verdict))
    if worst.verdict == REFUTED and len(sides) > 1 and not _takes_both_signs(subject, value):
        return Finding(BOUNDED.name, UNDECIDED, "v is bounded on one side only, and the sign before it was not decided", None, scope)
    if worst.verdict == PROVED and len({one.value for one in found}) > 1:  # each speaks of its own side
        return Finding(BOUNDED.name, PROVED, " and ".join(one.reason for one in found), None, scope)
    return worst


def _weights(subject: Subject, value: Node) -> Iterator[tuple[int, Node]]:
    """The sign and the weight before v, of each part that uses it."""
    view = subject.view
    for part in subject.terms:
        if view.unstopped(view.value(part)) is value:
            yield part.sign, view.unstopped(view.scalar(part.weight, view.generic(part)))


def _sides(subject: Subject, value: Node) -> list[int]:
    """On which sides v must be bounded, by all parts that use it."""
    found: set[int] = set()
    for sign, weight in _weights(subject, value):
        span = Calculus(subject.view.box).span(weight)
        if not span.nonpositive:
            found.add(-sign)
        if not span.nonnegative:
            found.add(sign)
    return sorted(found, reverse=True)


def _takes_both_signs(subject: Subject, value: Node) -> bool:
    """Whether v surely stands in the loss with both signs: each weight is of one sign, or a quantity that takes its whole range."""
    for _, weight in _weights(subject, value):
        span = Calculus(subject.view.box).span(weight)
        if not (span.nonnegative or span.nonpositive or weight.op in ("parameter", "input")):
            return False
    return True


def _of_side(scope: str, side: int, whole: Span, extent: Extent) -> Finding:
    """`whole` is a range of v over the inputs, where a reduction beside z is of the completion that z is of."""
    word, finding = WORDS[side], partial(Finding, BOUNDED.name, scope=scope)
    span = Calculus(extent.box).span(extent.value)
    span = span.within(whole) or span
    if (span.high if side > 0 else span.low) not in (inf, -inf):
        return finding(PROVED, f"v is bounded {word}: it lies in {span}", str(span))
    tails = {end: extent.tail(extent.value, end) for end in SIDES}
    limits = {end: None if tail is None else tail.limit for end, tail in tails.items()}
    endless, both = side * sympy.oo, written(limits[1], limits[-1])
    if any(limits[end] == endless and extent.reached(end) for end in SIDES):
        return finding(REFUTED, f"v is unbounded {word}: the loss has no lower bound in z", f"limits {both}")
    pole = extent.pole(extent.value)
    if pole is not None and side in pole.signs:
        low, high = pole.place
        return finding(
            REFUTED, f"v is unbounded {word}: it has a pole between z = {low} and {high}", None, witness={"from": low, "to": high}
        )
    if not all(_ends_well(extent, end, tails[end], -endless) for end in SIDES) or not _continuous(extent, extent.box):
        return finding(UNDECIDED, f"no bound of v from {word} was found")
    last = limits[side]
    if last is not None and last.is_finite and _rises(extent):
        lies = f"(-inf, {last}]" if side > 0 else f"[{last}, inf)"
        return finding(PROVED, f"v never falls and tends to {last} at {extent.place(side)}: it is bounded {word}", lies)
    return finding(PROVED, f"v is continuous on {extent.span} and does not grow without end towards an end: it is bounded {word}")


def _rises(extent: Extent) -> bool:
    return Question(extent.s, extent.value, extent.z, extent.inputs, extent.span, extent.first).monotone().proved


def _ends_well(extent: Extent, end: int, tail: Tail | None, harmless: Expr) -> bool:
    """Whether v stays bounded on one side towards an end: it does not grow there, or only the other way."""
    if tail is not None and (tail.finite or tail.limit == harmless):
        return True
    return isinstance(extent.end(end), Fraction) and _continuous(extent, extent.closure)


def _continuous(extent: Extent, box: Box) -> bool:
    """Whether v is defined and continuous on a box."""
    return is_defined(extent.s, extent.value, box) and not jumps(extent.s, extent.value, lambda v: v is extent.z, box)


CHECK = Check(BOUNDED, each(BOUNDED, of_one))
