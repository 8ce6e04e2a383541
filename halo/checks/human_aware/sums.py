"""Sums spelt in pieces, read as one: what is added up of sums over the same tokens, or of means over the same batch.

sum(relu(u)) - sum(relu(-u)) is sum(u)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from halo.analysis.identity import is_zero
from halo.analysis.scalar import Scalars, variables
from halo.checks.scalars.cases import has_kinks, is_zero_in_cases, settled
from halo.checks.scalars.view import View
from halo.compiler.graph import Node

LOGS = ("logp", "ref_logp", "old_logp", "log π", "log ref", "log old")
LINEAR = ("total", "mean", "batch mean", "batch total")
"""Reductions that add up: that of a sum is the sum of those of its summands."""
Form = dict[Node, Node]
"""A sum: each summand (a reduction, or anything else) with its factor."""


def written_out(view: View, node: Node) -> Node:
    """The scalar with every such sum read as one, and what is then linear in log-probabilities written over their sums."""
    done: dict[Node, Node] = {}

    def visit(current: Node) -> Node:
        if current not in done:
            done[current] = current
            if current.op == "reduce" or (current.op == "apply" and any(v.op == "reduce" for v in variables(current))):
                done[current] = _together(view, _form(view.s, current), visit)
        return done[current]

    return visit(node)


def _form(s: Scalars, node: Node) -> Form:
    """The summands of a scalar; what is no sum is one summand."""
    one, word = s.number(1), node.data if node.op == "apply" else ""
    if word in ("add", "sub"):
        found = _form(s, node.args[0])
        for summand, factor in _form(s, node.args[1]).items():
            found[summand] = s.call(word, found.get(summand, s.number(0)), factor)
        return found
    if word == "neg":
        return {summand: s.call("neg", factor) for summand, factor in _form(s, node.args[0]).items()}
    if word in ("mul", "div"):
        for scaled, factor in (node.args, node.args[::-1]):
            if not any(v.op == "reduce" for v in variables(factor)) and (word == "mul" or scaled is node.args[0]):
                return {summand: s.call(word, inner, factor) for summand, inner in _form(s, scaled).items()}
    return {node: one}


def _together(view: View, form: Form, visit: Callable[[Node], Node]) -> Node:
    s, groups, total = view.s, dict[object, list[tuple[Node, Node]]](), view.s.number(0)
    for summand, factor in form.items():
        if _adds_up(summand) and _still(summand, factor):
            groups.setdefault((summand.data, summand.slot), []).append((summand, factor))
        else:
            new = summand
            if summand.op == "apply":
                new = s.call(summand.data, *(visit(a) for a in summand.args))
            total = s.call("add", total, s.call("mul", factor, new))
    for members in groups.values():
        total = s.call("add", total, _as_one(view, members))
    return total


def _adds_up(node: Node) -> bool:
    return node.op == "reduce" and node.data in LINEAR and (node.batch or "token" in node.args[0].axes)


def _still(reduction: Node, factor: Node) -> bool:
    """Whether the factor is one number for all that is added up."""
    if reduction.batch:
        return all(v.op == "parameter" for v in variables(factor))
    return all(v.op == "parameter" or "token" not in v.axes for v in variables(factor))


def _as_one(view: View, members: Sequence[tuple[Node, Node]]) -> Node:
    """One reduction of what the members add up to, if that is linear; else the members as they are."""
    s, (first, _) = view.s, members[0]
    inner, apart = s.number(0), s.number(0)
    for reduction, factor in members:
        written = view.unstopped(written_out(view, reduction.args[0]))
        inner = s.call("add", inner, s.call("mul", factor, written))
        apart = s.call("add", apart, s.call("mul", factor, reduction))
    if len(members) == 1 and not has_kinks(inner):
        if written is first.args[0]:
            return apart
        return s.call("mul", members[0][1], view.same_reduction(first, written))
    plain = linear(view, inner)
    if plain is None and len(members) == 1:
        return apart
    return view.same_reduction(first, plain or inner)


def linear(view: View, inner: Node) -> Node | None:
    """The scalar as a linear form in log-probabilities, where it is proved to be one."""
    s = view.s
    logs = [v for v in variables(inner) if v.op == "input" and v.data in LOGS]
    base: dict[Node, Node] = {v: s.number(-2 - i) for i, v in enumerate(logs)}  # at different places: at no kink that compares two of them
    total = s.substitute(inner, {v: s.number(0) for v in logs})
    for v in logs:
        slope = settled(s, s.substitute(s.derivative(inner, v), base), view.box)
        total = s.call("add", total, s.call("mul", slope, v))
    if is_zero_in_cases(s, s.call("sub", inner, total), view.box):
        return total
    return None


def bends(view: View, node: Node) -> bool:
    """Whether a scalar is surely not linear in some log-probability of the policy."""
    s = view.s
    for v in variables(node):
        if v.op == "input" and v.data in ("logp", "log π"):
            low, middle, high = (s.substitute(node, {v: s.number(-n)}) for n in (9, 5, 1))
            gap = s.call("sub", s.call("add", low, high), s.call("mul", s.number(2), middle))
            if is_zero(s, gap, view.box) is False:
                return True
    return False
