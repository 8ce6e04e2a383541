"""Each different value function of an objective as a function of z, asked one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy

from halo.analysis.decide import Question
from halo.analysis.limits import limit
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import variables
from halo.analysis.verdict import UNDECIDED, Finding
from halo.checks.check import Ask
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


def question(subject: Subject, value: Node, z: Node, region: Span = REALS) -> Question:
    """A question about v along z."""
    return Question(subject.view.s, value, z, subject.view.box, region, subject.view.first)


def limit_of(subject: Subject, node: Node, z: Node, side: int) -> sympy.Expr | None:
    """Where a function of z tends to at +oo (`side` 1) or -oo (-1)."""
    return limit(subject.view.s, node, z, subject.view.box, side)


def written(*limits: sympy.Expr | None) -> str:
    """Limits as they are said."""
    names = {None: "?", sympy.oo: "+oo", -sympy.oo: "-oo"}
    return ", ".join(names.get(one) or str(one) for one in limits)
