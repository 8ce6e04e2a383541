"""Whether what stands under `stop` still steers the gradient of something, or only shifts the loss."""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_free_of, named, nonzero_point, number, shown
from halo.analysis.scalar import topological_scalar
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.pulls.total import over_inputs
from halo.checks.pulls.ways import pulls, roles
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import STOP_GRADIENT_EFFECT


def ask(subject: Subject) -> Iterator[Finding]:
    """Each detached quantity becomes a free number: does a gradient depend on it?"""
    for stopped in _stops(subject):
        yield _of_one(subject, stopped)


def _of_one(subject: Subject, stopped: Node) -> Finding:
    s, view = subject.view.s, subject.view
    free, other = s.variable("detached"), s.variable("otherwise detached")
    span = Calculus(view.box).span(view.unstopped(stopped))
    box = {**view.box, free: span, other: span}
    gradients = [s.substitute(gradient, {stopped: free}) for gradient in _gradients(subject)]
    verdicts = [is_free_of(s, gradient, free, box) for gradient in gradients]
    name, what = STOP_GRADIENT_EFFECT.name, shown(stopped.args[0])
    if all(verdict is True for verdict in verdicts):
        reason = f"no gradient depends on the detached {what}: it only shifts the loss (v is affine in it)"
        return Finding(name, REFUTED, reason, scope=what)
    if False not in verdicts:
        return Finding(name, UNDECIDED, f"the effect of the detached {what} was not decided", scope=what)
    gradient = gradients[verdicts.index(False)]
    point = nonzero_point(s.call("sub", gradient, s.substitute(gradient, {free: other})), box)
    witness = {}
    if point is not None:
        witness = named(point[0]) | {"change of the gradient": number(point[1])}
    return Finding(name, PROVED, f"the detached {what} changes the gradient of the rest", scope=what, witness=witness)


def _gradients(subject: Subject) -> Iterator[Node]:
    """Every way in which a role pulls."""
    for role, slot, parts in roles(subject):
        for part in parts:
            yield from (over_inputs(subject, part, way) for way in pulls(subject, part, slot, role))


def _stops(subject: Subject) -> list[Node]:
    found: dict[Node, None] = {}
    for part in subject.parts:
        found |= {node: None for node in topological_scalar(subject.view.whole(part)) if node.op == "stop"}
    return list(found)


CHECK = Check(STOP_GRADIENT_EFFECT, ask)
