"""The sign of a scalar over a box: by algebra, and case by case at its kinks."""

from __future__ import annotations

from fractions import Fraction
from math import inf

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.budgets import MAX_SPLITS
from halo.analysis.curvature import Box, Calculus
from halo.analysis.kinks import branches_of, switch
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, is_number, topological_scalar
from halo.analysis.verdict import PROVED as PROVED
from halo.analysis.verdict import REFUTED as REFUTED
from halo.analysis.verdict import UNDECIDED as UNDECIDED
from halo.analysis.verdict import Outcome as Outcome
from halo.analysis.verdict import Verdict as Verdict
from halo.compiler.graph import Node
from halo.objective.vocabulary import kinked, switches_twice


def sign_of(node: Node, box: Box, strict: bool = False, most: int | None = None) -> int | None:
    """+1: >= 0 on the box, -1: <= 0, 0: identically 0, None: not decided. By ranges, then by algebra.

    `strict`: it is also nowhere 0. `most` limits the polynomials, as in `Factors.sign`.
    """
    found = Calculus(box).span(node).sign(strict)
    if found is not None:
        return found
    algebra = Algebra(box)
    try:
        form = algebra.normal(node)
        if algebra.is_zero(form):
            return 0
        return algebra.sign(form, strict, most)
    except OutOfReach:
        return None


def sign_in_cases(s: Scalars, node: Node, box: Box, depth: int = MAX_SPLITS) -> int | None:
    """As `sign_of`; where that is not decided, on both sides of each number at which a variable switches a kink."""
    found = sign_of(node, box)
    if found is not None or depth == 0:
        return found
    cut = next(filter(None, (_cut(s, inner) for inner in topological_scalar(node))), None)
    if cut is None:
        return None
    kink, v, at, rising = cut
    left, right = branches_of(s, kink, switch(s, kink))
    if not rising:
        left, right = right, left
    cases = [(left, Span(-inf, at)), (right, Span(at, inf))]
    if kink.data == "sign":  # its value at the jump is neither side's
        cases.append((s.number(0), Span.point(at)))
    signs = set()
    for branch, side in cases:
        inside = box.get(v, REALS).within(side)
        if inside is not None:
            signs.add(sign_in_cases(s, s.substitute(node, {kink: branch}), {**box, v: inside}, depth - 1))
    if None in signs or {1, -1} <= signs:
        return None
    return next((sign for sign in (1, -1) if sign in signs), 0)


def _cut(s: Scalars, node: Node) -> tuple[Node, Node, Fraction, bool] | None:
    """A kink that a bare variable switches at a number: the kink, the variable, the number, whether the pair's difference rises with it."""
    if node.op != "apply" or not kinked(node.data) or switches_twice(node.data):
        return None
    a, b = switch(s, node)
    if a.op in ("input", "parameter") and is_number(b):
        return node, a, b.data, True
    if b.op in ("input", "parameter") and is_number(a):
        return node, b, a.data, False
    return None
