"""Whether exp(-loss) is a Bradley-Terry likelihood: it and that of the swapped pair add up to 1."""

from __future__ import annotations

from collections.abc import Iterator

import sympy

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Box
from halo.analysis.identity import is_zero, named, nonzero_point, number
from halo.analysis.scalar import Scalars, variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.batch.inside import batches
from halo.checks.scalars.batch.whole_batch import WholeBatch
from halo.checks.scalars.batch_form import counts_tokens, is_a_sum
from halo.checks.scalars.equal import depends_on_data
from halo.checks.scalars.occurring import can_occur
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node, topological
from halo.objective.propositions import SYMMETRY

SUM = "exp(-loss) and that of the swapped pair add up to"


def asked(subject: Subject) -> bool:
    """Where exchanging two completions reverses the preference."""
    return subject.feedback.swap is not None


def ask(subject: Subject) -> Iterator[Finding]:
    """The loss of a pair and that of the swapped pair; and whether the loss of several pairs is the mean of their losses."""
    view, s = subject.view, subject.view.s
    loss = view.unstopped(view.alone_loss())
    swap = _swap(subject, loss)
    swapped = s.substitute(loss, swap)
    box = {**{new: view.box[old] for old, new in swap.items()}, **view.box}
    gap = _excess(s, loss, swapped)
    verdict, point = is_zero(s, gap, box), None
    if verdict is False:
        point = nonzero_point(gap, box)
    if point is not None and can_occur(point[0], box):
        total = number(point[1] + 1)
        reason = f"{SUM} {total}, not 1{_constant_sum(s, box, loss, swapped)}"
        yield Finding(SYMMETRY.name, REFUTED, reason, witness=named(point[0]) | {"sum": total})
    elif verdict is True:
        yield _of_several(subject)
    else:
        yield _written_out(view) or Finding(
            SYMMETRY.name, UNDECIDED, "no proof that the likelihoods add up to 1, and no pair where they do not"
        )


def _excess(s: Scalars, loss: Node, swapped: Node) -> Node:
    """By how much the two likelihoods exceed 1 together."""
    likelihoods = [s.call("exp", s.call("neg", side)) for side in (loss, swapped)]
    return s.call("sub", s.call("add", *likelihoods), s.number(1))


def _swap(subject: Subject, loss: Node) -> dict[Node, Node]:
    """The inputs of one completion, and what is reduced over its tokens, as those of the other."""
    pair, s = subject.feedback.swap, subject.view.s
    assert pair is not None
    other = dict(zip(pair, pair[::-1], strict=True))

    def swapped(v: Node) -> Node:
        if v.op == "input":
            return s.variable(v.data, other.get(v.slot, v.slot), v.axes)
        if v.op != "reduce":
            return v
        inner = s.substitute(v.args[0], {w: swapped(w) for w in variables(v.args[0])})
        return s.make(op="reduce", args=(inner,), data=v.data, slot=other.get(v.slot, v.slot), batch=v.batch)

    return {v: swapped(v) for v in variables(loss) if swapped(v) is not v}


def _written_out(view: View) -> Finding | None:
    """A pair, token by token, against the same pair swapped; both completions have the same length."""
    if view.is_list:
        return None
    pair = view.graph.feedback.swap
    assert pair is not None
    other = dict(zip(pair, pair[::-1], strict=True))
    for batch in batches(view, sizes=(1,)):
        (outline,) = batch.outlines
        if outline.lengths[pair[0]] != outline.lengths[pair[1]]:
            continue
        loss = view.unstopped(batch.loss)
        swap = {v: view.s.variable(v.data, other[v.slot]) for v in batch.box if v.slot in other}
        found = nonzero_point(_excess(view.s, loss, view.s.substitute(loss, swap)), batch.box)
        if found is not None:
            total = number(found[1] + 1)
            return Finding(SYMMETRY.name, REFUTED, f"{SUM} {total}, not 1", witness=batch.told(found[0]) | {"sum": total})
    return None


def _of_several(subject: Subject) -> Finding:
    """Of one pair alone it holds. In a batch too, if the loss of a batch is the mean, or the sum, of those of its pairs."""
    view, graph = subject.view, subject.compiled.declared
    if not any(node.batch for node in topological([graph.loss])) and not counts_tokens(graph.loss):
        of_two = " (lists of two)" * view.is_list
        return Finding(SYMMETRY.name, PROVED, f"exp(-loss) and that of the swapped pair{of_two} add up to 1: a Bradley-Terry likelihood")
    for batch in batches(view, sizes=(2,), lists_of=2):
        found = nonzero_point(_beyond_its_pairs(view, batch), batch.box)
        if found is not None:
            reason = "the loss of several pairs is not the mean of their losses, so that no pair has a likelihood of its own"
            return Finding(SYMMETRY.name, REFUTED, reason, witness=batch.told(found[0]) | {"more than the mean": number(found[1])})
    return Finding(SYMMETRY.name, UNDECIDED, "it holds of one pair alone, and was not shown of a pair among others")


def _beyond_its_pairs(view: View, batch: WholeBatch) -> Node:
    """The loss of a batch less the mean of the losses that its examples have alone."""
    s, rest = view.s, view.unstopped(batch.loss)
    parts = view.s.number(1 if is_a_sum(view.graph.loss) else len(batch.outlines))
    for e, outline in enumerate(batch.outlines):
        alone = WholeBatch(view, [outline])
        loss = view.unstopped(alone.loss)
        own = {v: s.variable(v.data, f"example {e + 1} {v.slot}".strip()) for v in alone.box}
        shared = {v for v in alone.box if v in batch.box}
        loss = s.substitute(loss, {v: new for v, new in own.items() if v not in shared})
        rest = s.call("sub", rest, s.call("div", loss, parts))
    return rest


def _constant_sum(s: Scalars, box: Box, loss: Node, swapped: Node) -> str:
    """What else the swap leaves alone: the sum of the two losses, where it is constant."""
    algebra = Algebra(box)
    try:
        total = sympy.cancel(sympy.together(algebra.normal(s.call("add", loss, swapped))))
    except OutOfReach:
        return ""
    if depends_on_data(algebra, total):
        return ""
    return f"; the two losses add up to {algebra.pretty(total)}"


CHECK = Check(SYMMETRY, ask, asked)
