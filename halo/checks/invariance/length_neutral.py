"""Whether the loss, at fixed log-probability per token, does not depend on how long a completion is."""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_free_of, named, nonzero_point, number, shown
from halo.analysis.ranges import NEGATIVE, REALS, Span
from halo.analysis.scalar import variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.inputs import SUM_OF
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import LENGTH_NEUTRAL


def ask(subject: Subject) -> Iterator[Finding]:
    """Of each label: sums become lengths times means, and the means are held fixed."""
    for label in subject.labels:
        loss, box = _by_length(subject, label)
        lengths = (v for v in variables(loss) if v.op == "input" and v.data == "length")
        scope = label or "loss"
        found = (_of_length(subject, loss, length, box, scope) for length in lengths)
        kept = "at fixed mean log-probability the loss does not depend on any length"
        yield next(filter(None, found), Finding(LENGTH_NEUTRAL.name, PROVED, kept, scope=scope))


def _by_length(subject: Subject, label: str) -> tuple[Node, dict[Node, Span]]:
    """The loss over lengths and means per token, and their ranges."""
    view, s = subject.view, subject.view.s
    loss = view.unstopped(view.alone_loss(label))
    box, swap = dict(view.box), dict[Node, Node]()
    for v in variables(loss):
        if v.op == "input" and (v.data in ("log π", "log ref", "log old") or v.data.startswith(SUM_OF)):
            mean = s.variable(f"mean {v.data}", v.slot)
            box[mean] = view.box.get(v, REALS) if v.data.startswith(SUM_OF) else NEGATIVE
        elif v.op == "reduce" and v.data == "total" and v.slot:
            mean = s.variable(f"mean of {shown(v.args[0])}", v.slot)
            box[mean] = Calculus(view.box).span(v.args[0])
        else:
            continue
        swap[v] = s.call("mul", view.length(v.slot), mean)
    return s.substitute(loss, swap), box


def _of_length(subject: Subject, loss: Node, length: Node, box: dict[Node, Span], scope: str) -> Finding | None:
    """What is against it because of one length, or None."""
    s, name, fixed = subject.view.s, LENGTH_NEUTRAL.name, "at fixed mean log-probability the length of"
    slope = s.derivative(loss, length)
    verdict = is_free_of(s, loss, length, box)
    if verdict is True:
        return None
    if verdict is None:
        return Finding(name, UNDECIDED, f"the effect of the length of {length.slot} was not decided", scope=scope)
    point = nonzero_point(slope, box, off_kinks_of=loss)
    if point is None:  # the slope is 0 almost everywhere
        return Finding(name, REFUTED, f"{fixed} {length.slot} moves a step of the loss", scope=scope)
    way, by = "lowers", number(point[1])
    if point[1] > 0:
        way = "raises"
    reason = f"{fixed} {length.slot} matters: here it {way} the loss, {by} per token"
    return Finding(name, REFUTED, reason, scope=scope, witness=named(point[0]) | {"slope": by})


CHECK = Check(LENGTH_NEUTRAL, ask)
