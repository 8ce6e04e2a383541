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
from halo.checks.scalars.equal import depends_on_data
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import SYMMETRY


def asked(subject: Subject) -> bool:
    """Where exchanging two completions reverses the preference."""
    return subject.feedback.swap is not None


def ask(subject: Subject) -> Iterator[Finding]:
    """The loss of a pair and that of the swapped pair."""
    view, s = subject.view, subject.view.s
    if any(v.data == "batch sort" for part in subject.parts for v in variables(view.unstopped(view.whole(part)))):
        yield Finding(SYMMETRY.name, UNDECIDED, "the loss sorts over the batch: that of one pair is no function of the pair")
        return
    loss = view.unstopped(view.alone_loss())
    swap = _swap(subject, loss)
    if any(v.op == "reduce" for v in variables(loss)) or not swap:
        yield Finding(SYMMETRY.name, UNDECIDED, "the loss holds a reduction that the swap does not reach")
        return
    box = {**{new: view.box[old] for old, new in swap.items()}, **view.box}
    swapped = s.substitute(loss, swap)
    likelihoods = [s.call("exp", s.call("neg", side)) for side in (loss, swapped)]
    gap = s.call("sub", s.call("add", *likelihoods), s.number(1))
    verdict, point = is_zero(s, gap, box), None
    if verdict is False:
        point = nonzero_point(gap, box)
    if verdict is True:
        of_two = " (lists of two)" * view.is_list
        yield Finding(SYMMETRY.name, PROVED, f"exp(-loss) and that of the swapped pair{of_two} add up to 1: a Bradley-Terry likelihood")
    elif point is not None:
        total = number(point[1] + 1)
        reason = f"exp(-loss) and that of the swapped pair add up to {total}, not 1{_constant_sum(s, box, loss, swapped)}"
        yield Finding(SYMMETRY.name, REFUTED, reason, witness=named(point[0]) | {"sum": total})
    else:
        yield Finding(SYMMETRY.name, UNDECIDED, "no proof that the likelihoods add up to 1, and no point where they do not")


def _swap(subject: Subject, loss: Node) -> dict[Node, Node]:
    """The inputs of one completion as those of the other."""
    pair = subject.feedback.swap
    assert pair is not None
    other = dict(zip(pair, pair[::-1], strict=True))
    inputs = (v for v in variables(loss) if v.op == "input" and v.slot in other)
    return {v: subject.view.s.variable(v.data, other[v.slot], v.axes) for v in inputs}


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
