"""What the loss does not depend on: constants of the prompt, lengths, and the order of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Box, Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED
from halo.analysis.identity import is_free_of, is_zero, named, nonzero_point, number, shown
from halo.analysis.ranges import NEGATIVE, REALS, Span
from halo.analysis.scalar import Scalars, variables
from halo.checks.scalars.inputs import SUM_OF
from halo.checks.subject import Finding, Subject
from halo.checks.well_formed import depends_on_data
from halo.compiler import units as unit_inference
from halo.compiler.graph import Node, topological


def log_partition_cancels(subject: Subject) -> Iterator[Finding]:
    """Adding a constant c(x) of the prompt to every score, as log Z(x) does, changes nothing."""
    graph, view = subject.compiled.declared, subject.view
    if not graph.needs.reference or not graph.factors:
        return
    powers = {reward: unit_inference.power_of(graph, core) for reward, (_, core) in graph.factors.items()}
    if any("token" in core.axes for _, core in graph.factors.values()):
        return
    shifted, c = view.variant(shifts=powers), view.s.variable("c")
    for part in subject.parts:
        before = view.unstopped(view.whole(part))
        after = shifted.unstopped(shifted.whole(part))
        gap = view.s.call("sub", after, before)
        verdict = is_zero(view.s, gap, view.box)
        if verdict is True:
            continue
        moved = {v for v in variables(after) if v.op == "reduce"} - {v for v in variables(before) if v.op == "reduce"}
        point = nonzero_point(gap, {**view.box, c: Span(Fraction(1), Fraction(1))})
        hidden = any(c in topological([v]) for v in variables(gap) if v.op == "reduce")
        if verdict is False and point and not moved and not hidden:  # a reduction that moves with c is no free number
            reason = f"adding c = 1 to the scores of one prompt changes the loss by {number(point[1])}"
            yield Finding("log_partition_cancels", REFUTED, reason, scope=part.name, witness=named(point[0]) | {"change": number(point[1])})
        else:
            yield Finding("log_partition_cancels", UNDECIDED, "no proof that c(x) cancels, and no point where it does not", scope=part.name)
        return
    yield Finding("log_partition_cancels", PROVED, "adding c(x) to every score leaves the loss as it is: log Z(x) cancels")


def length_neutral(subject: Subject) -> Iterator[Finding]:
    """At fixed log-probability per token the loss does not depend on how long a completion is."""
    view, s = subject.view, subject.view.s
    for label in subject.labels:
        loss = view.unstopped(view.alone_loss(label))
        box, swap = dict(view.box), {}
        for v in variables(loss):
            if v.op == "input" and (v.data in ("log π", "log ref", "log old") or v.data.startswith(SUM_OF)):
                mean = s.variable(f"mean {v.data}", v.slot)
                box[mean] = view.box.get(v, REALS) if v.data.startswith(SUM_OF) else NEGATIVE
                swap[v] = s.call("mul", view.length(v.slot), mean)
            elif v.op == "reduce" and v.data == "total" and v.slot:
                mean = s.variable(f"mean of {shown(v.args[0])}", v.slot)
                box[mean] = Calculus(view.box).span(v.args[0])
                swap[v] = s.call("mul", view.length(v.slot), mean)
        by_length = s.substitute(loss, swap)
        scope = label or "loss"
        for v in variables(by_length):
            if v.op != "input" or v.data != "length":
                continue
            slope = s.derivative(by_length, v)
            verdict = is_free_of(s, by_length, v, box)
            point = nonzero_point(slope, box, off_kinks_of=by_length) if verdict is False else None
            if verdict is False and point is None:  # the slope is 0 almost everywhere: the length moves a step
                yield Finding("length_neutral", REFUTED, f"at fixed mean log-probability the length of {v.slot} moves a step of the loss", scope=scope)
                break
            if point is not None:
                way = "raises" if point[1] > 0 else "lowers"
                reason = f"at fixed mean log-probability the length of {v.slot} matters: here it {way} the loss, {number(point[1])} per token"
                yield Finding("length_neutral", REFUTED, reason, scope=scope, witness=named(point[0]) | {"slope": number(point[1])})
                break
            if verdict is None:
                yield Finding("length_neutral", UNDECIDED, f"the effect of the length of {v.slot} was not decided", scope=scope)
                break
        else:
            yield Finding("length_neutral", PROVED, "at fixed mean log-probability the loss does not depend on any length", scope=scope)


def symmetry(subject: Subject) -> Iterator[Finding]:
    """exp(-loss) is a Bradley-Terry likelihood: it and that of the swapped pair add up to 1."""
    pair = subject.feedback.swap
    if pair is None:
        return
    view, s = subject.view, subject.view.s
    if any(v.data == "batch sort" for part in subject.parts for v in variables(view.unstopped(view.whole(part)))):
        yield Finding("symmetry", UNDECIDED, "the loss sorts over the batch: that of one pair is no function of the pair")
        return
    loss = view.unstopped(view.alone_loss())
    other = dict(zip(pair, pair[::-1], strict=True))
    swap = {v: s.variable(v.data, other[v.slot], v.axes) for v in variables(loss) if v.op == "input" and v.slot in other}
    if any(v.op == "reduce" for v in variables(loss)) or not swap:
        yield Finding("symmetry", UNDECIDED, "the loss holds a reduction that the swap does not reach")
        return
    box = {**{new: view.box[old] for old, new in swap.items()}, **view.box}
    swapped = s.substitute(loss, swap)
    likelihoods = [s.call("exp", s.call("neg", side)) for side in (loss, swapped)]
    gap = s.call("sub", s.call("add", *likelihoods), s.number(1))
    verdict = is_zero(s, gap, box)
    if verdict is True:
        yield Finding("symmetry", PROVED, f"exp(-loss) and that of the swapped pair{' (lists of two)' if view.is_list else ''} add up to 1: a Bradley-Terry likelihood")
        return
    point = nonzero_point(gap, box)
    if verdict is False and point:
        total = number(point[1] + 1)
        reason = f"exp(-loss) and that of the swapped pair add up to {total}, not 1{_kinship(s, box, loss, swapped)}"
        yield Finding("symmetry", REFUTED, reason, witness=named(point[0]) | {"sum": total})
    else:
        yield Finding("symmetry", UNDECIDED, "no proof that the likelihoods add up to 1, and no point where they do not")


def _kinship(s: Scalars, box: Box, loss: Node, swapped: Node) -> str:
    """What else the swap leaves alone: a constant sum of the losses."""
    algebra = Algebra(box)
    try:
        total = sympy.cancel(sympy.together(algebra.normal(s.call("add", loss, swapped))))
    except OutOfReach:
        return ""
    return "" if depends_on_data(algebra, total) else f"; the two losses add up to {algebra.pretty(total)}"
