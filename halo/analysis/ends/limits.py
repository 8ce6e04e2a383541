"""The limit of a scalar at an end of a line: far out, or at a number. It is read off the leading term (`far.py`)."""

from __future__ import annotations

from math import inf

import sympy
from sympy import Expr

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra, Finer
from halo.analysis.curvature import Box
from halo.analysis.ends.far import Far, Tail
from halo.analysis.kinks import FAR, branches_of, settled, switch, switches_along
from halo.analysis.ranges import Span
from halo.analysis.scalar import Scalars, topological_scalar
from halo.compiler.graph import Node

CASES = 3
"""Kinks of which both sides are looked at, one inside the other."""
ROUNDS = 4
"""Each makes a denominator of exponents finer."""


def limit(s: Scalars, node: Node, x: Node, box: Box, side: int, end: Node | None = None) -> Expr | None:
    """The limit as in `tail`: an expression, +-oo, or None if not found."""
    found = tail(s, node, x, box, side, end)
    if found is None:
        return None
    return found.limit


def tail(s: Scalars, node: Node, x: Node, box: Box, side: int, end: Node | None = None) -> Tail | None:
    """How the scalar ends as x tends to +oo (side 1) or -oo, for every value of the rest; or to a finite end, from below (side 1)."""
    if end is not None:
        beyond = s.variable("far out")
        step = s.call("div", s.number(side), beyond)
        node, x, side = s.substitute(node, {x: s.call("sub", end, step)}), beyond, 1
    far = Span(FAR, inf) if side > 0 else Span(-inf, -FAR)
    return _tail(s, settled(s, node, x, box, side), x, {**box, x: far}, side, CASES)


def _tail(s: Scalars, node: Node, x: Node, box: Box, side: int, cases: int) -> Tail | None:
    """Where it is not known on which side of a kink the end lies, what both sides say."""
    algebra = Algebra(box)
    try:
        return _of_lead(algebra, node, x, side)
    except (OutOfReach, NotImplementedError, sympy.PolynomialError):  # the last two are sympy's, of forms that it does not know
        kink = next((n for n in topological_scalar(node) if switches_along(n, x)), None)
    if kink is None or not cases:
        return None
    tails = [_tail(s, s.substitute(node, {kink: branch}), x, box, side, cases - 1) for branch in branches_of(s, kink, switch(s, kink))]
    below, above = tails
    if below is None or above is None:
        return None
    same_limit = below.limit if below.limit == above.limit else None
    same_sign = below.sign if below.sign == above.sign else None
    return Tail(same_limit, same_sign, below.finite and above.finite)


def _of_lead(algebra: Algebra, node: Node, x: Node, side: int) -> Tail:
    for _ in range(ROUNDS):
        far = Far(algebra, x, side)
        try:
            return far.tail(far.seen(algebra.normal(node)))
        except Finer:
            algebra.restart()
    raise OutOfReach("exponents without a common denominator")
