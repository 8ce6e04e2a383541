"""Each different value function of an objective as a function of z, asked one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import sympy

from halo.analysis.curvature import Calculus
from halo.analysis.decide import Question
from halo.analysis.defined import is_defined
from halo.analysis.ends.extent import Extent
from halo.analysis.identity import named
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import variables
from halo.analysis.verdict import REFUTED, UNDECIDED, Finding
from halo.checks.check import Ask
from halo.checks.scalars.made_of import MadeOf
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import Proposition

OfOne = Callable[[Subject, str, Node, Node], Finding]
"""What is said of one v: the subject, where that v is used, v itself, and its z."""


def each(proposition: Proposition, of_one: OfOne) -> Ask:
    """The answer of a check that asks of every different v, where z can be told from the rest of it."""

    def ask(subject: Subject) -> Iterator[Finding]:
        for scope, value, z in _distinct(subject):
            if subject.view.opaque.intersection(variables(value)):
                reason = "z stands inside a reduction over the list, whose terms are not told apart"
                yield Finding(proposition.name, UNDECIDED, reason, None, scope)
            else:
                yield of_one(subject, scope, value, z)

    return ask


def _distinct(subject: Subject) -> Iterator[tuple[str, Node, Node]]:
    """Each different value function, where it is used, and its z."""
    users: dict[Node, list[str]] = {}
    z_of: dict[Node, Node] = {}
    for part in subject.terms:
        value = subject.view.unstopped(subject.view.value(part))
        z_of[value] = subject.z_of(part)
        users.setdefault(value, []).append(part.role if part.name == "main" else f"{part.name}/{part.role}")
    for value, names in users.items():
        scope = "v" if len(users) == 1 else f"v of {', '.join(names)}"
        yield scope, value, z_of[value]


def region_of(subject: Subject, value: Node, z: Node, region: Span = REALS) -> Span | None:
    """The region itself where v is defined on the whole line, else what of it z can reach; None if that is nothing."""
    if is_defined(subject.view.s, value, {**subject.view.box, z: REALS}):
        return region
    return extent_of(subject, value, z).span.within(region)


def question(subject: Subject, value: Node, z: Node, region: Span) -> Question:
    """A question about v along z."""
    return Question(subject.view.s, value, z, subject.view.box, region, subject.view.first)


def extent_of(subject: Subject, value: Node, z: Node) -> Extent:
    """That of one v of an objective."""
    if value in subject.extents:
        return subject.extents[value]
    view = subject.view
    using = [part for part in subject.terms if view.unstopped(view.value(part)) is value]
    arguments = tuple(dict.fromkeys(view.unstopped(view.argument(part)) for part in using))
    found = Extent(view.s, value, z, arguments, view.box, view.first, {}, made_of_span(subject, arguments))
    subject.extents[value] = found
    return found


def made_of_span(subject: Subject, nodes: Sequence[Node]) -> Span:
    """A range that holds all of these scalars, by what is known between their reductions and what these are made of."""
    result: Span | None = None
    for node in nodes:
        own = REALS
        for form, box in MadeOf(subject.view).rewritten(node):
            own = own.within(Calculus(box).span(form)) or own
        result = own if result is None else result.joined(own)
    return result or REALS


def at_samples(extent: Extent, of_extent: Callable[[Extent], Finding]) -> Finding:
    """What is said for all parameters; where that is undecided, a refutation at single values of them."""
    found = of_extent(extent)
    if found.verdict != UNDECIDED:
        return found
    for sample in extent.samples:
        there = of_extent(sample)
        if there.verdict == REFUTED:
            return replace(there, reason=there.reason + sample.said(), witness={**there.witness, **named(sample.fixed)})
    return found


def written(*limits: sympy.Expr | None) -> str:
    """Limits as they are said."""
    names = {None: "?", sympy.oo: "+oo", -sympy.oo: "-oo"}
    return ", ".join(names.get(one) or str(one) for one in limits)
