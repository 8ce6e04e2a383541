"""The loss of a preferred and of a dispreferred outcome as functions of h, the difference of scores before normalizer and margin.

The optimum of a preference of probability p is Psi(p) = argmin p L(h) + (1 - p) L(-h). An objective whose Psi is bounded does not
overfit sure preferences (IPO, 2310.12036, section 4). For labelled feedback p is the share of `desirable` labels of a completion.
"""

from __future__ import annotations

from dataclasses import dataclass

from halo.analysis.identity import is_zero
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, variables
from halo.checks.scalars.inputs import Where
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part


@dataclass
class Curves:
    """The two losses, the ranges of their variables, and h over the inputs."""

    h: Node
    good: Node
    bad: Node
    box: dict[Node, Span]
    difference: Node


def curves(subject: Subject) -> Curves | None:
    """The two curves, or None where the loss is not a function of one difference of scores."""
    if not _is_of_one_difference(subject):
        return None
    s, terms = subject.view.s, subject.terms
    h = s.variable("h")
    box = {**subject.view.box, h: REALS}
    found: dict[str, Node] = {}
    for part in terms:
        curve = _curve(subject, part, h)
        if curve is None or part.role in found:
            return None
        found[part.role] = curve
    if subject.feedback.labels and set(found) == {"desirable", "undesirable"}:
        return Curves(h, found["desirable"], found["undesirable"], box, _difference(subject, _of_role(terms, "desirable")))
    if subject.feedback.swap and set(found) == {"chosen"} and _is_difference(subject, terms[0]):
        good = found["chosen"]
        return Curves(h, good, s.substitute(good, {h: s.call("neg", h)}), box, _difference(subject, terms[0]))
    return None


def has_curves(subject: Subject) -> bool:
    """Whether a question about the optimum has a meaning."""
    return curves(subject) is not None


def _is_of_one_difference(subject: Subject) -> bool:
    if subject.compiled.objective.declaration.control:  # the labels are said to the model: each has an optimum of its own
        return False
    terms, view = subject.terms, subject.view
    if not terms or len(terms) < len(subject.parts) or not all(subject.single(part) for part in terms):
        return False
    read = (v for part in terms for v in variables(view.unstopped(view.whole(part))))
    return not any(v.data == "batch sort" for v in read)  # of a sort no two completions stay beside each other


def _of_role(terms: list[Part], role: str) -> Part:
    return next(part for part in terms if part.role == role)


def _difference(subject: Subject, part: Part) -> Node:
    """h of a part over the inputs: the score, less what it is compared with if that is no constant."""
    s, view = subject.view.s, subject.view
    assert part.reward is not None
    assert part.normalizer is not None
    where, node = view.generic(part), part.reference_point
    own = view.unstopped(view.scalar(part.reward, where))
    if node is None:
        return own
    point = view.unstopped(view.scalar(node, where))
    if all(v.op == "parameter" for v in variables(point)):  # it is in the margin
        return own
    while node.op in ("stop", "view", "select"):
        if node.op == "view":
            where = Where(where.other, where.other, where.members, where.label)
        elif node.op == "select":
            where = Where(node.data, where.other, where.members, where.label)
        node = node.args[0]
    factors = subject.compiled.declared.factors.get(node)
    if factors is not None and factors[0] is part.normalizer:
        return s.call("sub", own, view.unstopped(view.scalar(factors[1], where)))
    return s.call("sub", own, s.call("div", point, view.scalar(part.normalizer, view.generic(part))))


def _is_difference(subject: Subject, part: Part) -> bool:
    """Whether what stands against the reward is a reward, the other completion's."""
    node = part.reference_point
    while node is not None and node.op in ("stop", "view", "select"):
        node = node.args[0]
    return node is not None and node in subject.compiled.declared.factors


def _curve(subject: Subject, part: Part, h: Node) -> Node | None:
    s, view = subject.view.s, subject.view
    assert part.normalizer is not None
    normalizer, margin = view.scalar(part.normalizer, view.generic(part)), _margin(subject, part)
    if any(v.op != "parameter" for scalar in (normalizer, margin) for v in variables(scalar)):
        return None
    item = view.unstopped(view.item(part))
    if any(v.slot or v.op == "reduce" for v in variables(item)):  # h alone does not say what they are
        return None
    return s.substitute(item, {view.z: s.call("sub", s.call("mul", normalizer, h), margin)})


def _margin(subject: Subject, part: Part) -> Node:
    """What is subtracted beside the reference point; of a point made of parameters alone, also that."""
    s, view = subject.view.s, subject.view
    where, margin = view.generic(part), s.number(0)
    if part.margin is not None:
        margin = view.scalar(part.margin, where)
    if part.reference_point is not None:
        point = view.unstopped(view.scalar(part.reference_point, where))
        if all(v.op == "parameter" for v in variables(point)):
            margin = s.call("add", margin, point)
    return margin


# -- are both completions scored alike? ------------------------------------------------------------------------------------


def same_for_both(subject: Subject, part: Part) -> bool:
    """Whether swapping the pair turns z + margin into its negative: both completions are scored alike."""
    s, view = subject.view.s, subject.view
    z = s.call("add", view.unstopped(view.argument(part)), _margin(subject, part))
    own, other = part.role, view.generic(part).other
    swap = {v: _of_the_other(s, v, {own: other, other: own}) for v in variables(z)}
    return is_zero(s, s.call("add", z, s.substitute(z, swap)), view.box) is True


def _of_the_other(s: Scalars, node: Node, roles: dict[str, str]) -> Node:
    slot = roles.get(node.slot, node.slot)
    if node.op == "input":
        return s.variable(node.data, slot, node.axes)
    if node.op != "reduce":
        return node
    inner = s.substitute(node.args[0], {v: _of_the_other(s, v, roles) for v in variables(node.args[0])})
    return s.make(op="reduce", args=(inner,), data=node.data, slot=slot, batch=node.batch)
