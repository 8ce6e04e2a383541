"""Whether a scalar with kinks is 0 everywhere, case by case: above a switch, at it, and below it.

A case moves one variable to the switch and a positive number to one side of it, so that the ranges of what is left know the case.
"""

from __future__ import annotations

from fractions import Fraction

from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import is_zero
from halo.analysis.kinks import branches_of, switch, threshold
from halo.analysis.ranges import POSITIVE, Span
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.analysis.sign import sign_of
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS, LETTERS, kinked, switches_twice

DEPTH = 3
"""Switches at which one question is split, one inside the other: each makes three of it."""
SHARE = Span(Fraction(0), Fraction(1), True, True)
HOLDS_AT_A_TIE = ("le", "ge")


def is_zero_in_cases(s: Scalars, node: Node, box: Box, depth: int = DEPTH) -> bool:
    """Whether the scalar is proved to be 0 on the box."""
    node = _of_single_switches(s, node)
    found = is_zero(s, node, box)
    if found is not None or depth == 0:
        return found is True
    cut = next(filter(None, (_cut(s, inner, box) for inner in topological_scalar(node))), None)
    if cut is None:
        return False
    x, at = cut
    step, share = s.variable(f"step {depth}"), s.variable(f"share {depth}")
    inside = {**box, step: POSITIVE, share: SHARE}
    below = s.call("sub", at, step)
    if box.get(x) == POSITIVE and sign_of(at, box, strict=True) == 1:  # what an outer case knows of x is kept
        below = s.call("mul", at, share)
    for there in (s.call("add", at, step), at, below):
        if not is_zero_in_cases(s, settled(s, s.substitute(node, {x: there}), inside), inside, depth - 1):
            return False
    return True


def _of_single_switches(s: Scalars, node: Node) -> Node:
    """With every `clip` as the maximum and minimum that it is."""
    twice = {n: s.formula(FUNCTIONS[n.data].definition, **dict(zip(LETTERS, n.args, strict=False)))
             for n in topological_scalar(node) if n.op == "apply" and switches_twice(n.data)}  # fmt: skip
    return s.substitute(node, twice)


def has_kinks(node: Node) -> bool:
    """Whether there is anything to split at."""
    return any(_is_kink(n) for n in topological_scalar(node))


def _is_kink(node: Node) -> bool:
    return node.op == "apply" and kinked(node.data)


def _cut(s: Scalars, node: Node, box: Box) -> tuple[Node, Node] | None:
    """A variable and where it switches this kink, if nothing inside has a kink and the place has a closed form."""
    if not _is_kink(node):
        return None
    a, b = switch(s, node)
    if has_kinks(a) or has_kinks(b):
        return None
    for x in variables(s.call("sub", a, b)):
        found = threshold(s, a, b, x, box)
        if x.op == "input" and found is not None:
            return x, found[0]
    return None


def settled(s: Scalars, node: Node, box: Box, by_algebra: bool = True) -> Node:
    """With every kink replaced by the branch that holds on the whole box, where that is known; inner ones first."""
    done: dict[Node, Node] = {}
    for inner in topological_scalar(node):
        done[inner] = inner
        if inner.op == "apply":
            done[inner] = s.call(inner.data, *(done[a] for a in inner.args))
        if _is_kink(done[inner]):
            done[inner] = _branch(s, done[inner], box, by_algebra)
    return done[node]


def _branch(s: Scalars, kink: Node, box: Box, by_algebra: bool) -> Node:
    pair = switch(s, kink)
    gap = s.call("sub", *pair)
    side = Calculus(box).span(gap).sign(strict=True)
    if side is None and by_algebra:
        side = sign_of(gap, box, strict=True)
    if side is None:
        return kink
    below, above = branches_of(s, kink, pair)
    if side > 0:
        return above
    if side < 0:
        return below
    return _tied(s, kink, below)


def _tied(s: Scalars, kink: Node, below: Node) -> Node:
    """The value where the sides of the switch are equal; without a jump that of either branch."""
    if kink.data == "sign":
        return s.number(0)
    if kink.data != "where":
        return below
    condition, then, otherwise = kink.args
    if condition.data in HOLDS_AT_A_TIE:
        return then
    return otherwise
