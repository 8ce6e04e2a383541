"""Kinks and jumps: where a scalar switches between pieces, and whether the pieces meet."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import inf

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.budgets import MAX_SPLITS
from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import is_zero
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.analysis.verdict import PROVED as PROVED
from halo.analysis.verdict import REFUTED as REFUTED
from halo.analysis.verdict import UNDECIDED as UNDECIDED
from halo.analysis.verdict import Outcome as Outcome
from halo.analysis.verdict import Verdict as Verdict
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS, LETTERS, Kink, jumping, kinked

FAR = Fraction(10**4)
"""From where on a kink counts as settled: past every threshold that parameters of a usual size make, and it is checked, not assumed."""


def threshold(s: Scalars, a: Node, b: Node, x: Node, box: Box) -> tuple[Node, bool] | None:
    """Where a - b, affine in x with a slope of one strict sign, is 0; and whether it rises there."""
    difference = s.call("sub", a, b)
    slope = s.derivative(difference, x)
    if x in variables(slope):
        algebra = Algebra(box)
        try:
            form = algebra.normal(slope)
        except OutOfReach:
            return None
        if any(algebra.by_symbol[g].key is x or algebra.by_symbol[g].kind != "v" for g in form.free_symbols):
            return None
    span = Calculus(box).span(slope)
    if not (span.positive or span.negative):
        return None
    origin = s.substitute(difference, {x: s.number(0)})
    return s.call("neg", s.call("div", origin, slope)), span.positive


def settled(s: Scalars, node: Node, x: Node, box: Box, side: int) -> Node:
    """The node as it is far out at +oo (side 1) or -oo: every kink on the branch that holds there for good."""
    far = Span(FAR, inf) if side > 0 else Span(-inf, -FAR)
    for _ in range(MAX_SPLITS * 2):
        kink = next((n for n in topological_scalar(node) if switches_along(n, x)), None)
        if kink is None:
            break
        pair = switch(s, kink)
        difference = s.call("sub", *pair)
        span, affine = Calculus({**box, x: far}).span(difference), threshold(s, *pair, x, {**box, x: REALS})
        above = span.positive or (affine is not None and affine[1] == (side > 0))
        below = span.negative or (affine is not None and affine[1] != (side > 0))
        if above == below:
            break
        lower, upper = branches_of(s, kink, pair)
        node = s.substitute(node, {kink: upper if above else lower})
    return node


def switching_at(s: Scalars, node: Node, x: Node, box: Box) -> Node | None:
    """The threshold of the first kink along x, if it has a closed form."""
    kink = next((n for n in topological_scalar(node) if switches_along(n, x)), None)
    if kink is None:
        return None
    found = threshold(s, *switch(s, kink), x, {**box, x: REALS})
    if found is None:
        return None
    return found[0]


def switches_along(node: Node, x: Node) -> bool:
    """Whether this very node has a kink or jump along x, and none below it."""
    if node.op != "apply" or not kinked(node.data):
        return False
    sides = node.args[0].args if node.data == "where" else node.args
    inside = [inner for side in sides for inner in topological_scalar(side)]
    return x in inside and not any(switches_along(inner, x) for inner in inside if inner is not node)


def switch(s: Scalars, kink: Node) -> tuple[Node, Node]:
    """The two scalars whose order switches the kink."""
    if kink.data == "where":
        return kink.args[0].args[0], kink.args[0].args[1]
    row = _row(kink)
    if not row.pairs:
        return kink.args[0], kink.args[1]
    first, second = (s.formula(text, **_letters(kink)) for text in row.pairs[0])
    return first, second


def _row(kink: Node) -> Kink:
    row = FUNCTIONS[kink.data].kink
    assert row is not None
    return row


def _letters(node: Node) -> dict[str, Node]:
    return dict(zip(LETTERS, node.args, strict=False))


def meets(s: Scalars, node: Node, pair: tuple[Node, Node], x: Node, box: Box) -> bool:
    """Whether the two branches of a `where` are shown to agree where its sides are equal, so that it does not jump along x."""
    for side, other in (pair, pair[::-1]):
        if side.op == "apply" and side.data == "abs":  # |a| = b is a = b or -a = b
            (inner,) = side.args
            return all(meets(s, node, (signed, other), x, box) for signed in (inner, s.call("neg", inner)))
    at = threshold(s, *pair, x, box)
    if at is None:
        return False
    gap = s.substitute(s.call("sub", node.args[1], node.args[2]), {x: at[0]})
    return is_zero(s, gap, box) is True


def jumps(s: Scalars, node: Node, moved: Callable[[Node], bool], box: Box) -> bool:
    """Whether a scalar may jump as one of its `moved` variables does: a `sign`, or a `where` not shown to be continuous."""
    for inner in topological_scalar(node):
        if inner.op == "apply" and jumping(inner.data):
            pair = switch(s, inner)
            along = [v for side in pair for v in variables(side) if moved(v)]
            if along and (inner.data != "where" or not meets(s, inner, pair, along[0], box)):
                return True
    return False


def branches_of(s: Scalars, kink: Node, pair: tuple[Node, Node]) -> tuple[Node, Node]:
    """The kink where the first of the pair is smaller, and where it is larger."""
    if kink.data == "where":
        condition, holds, otherwise = kink.args
        if condition.data in ("lt", "le"):
            return holds, otherwise
        return otherwise, holds
    row = _row(kink)
    if row.pairs:
        return s.formula(row.below, **_letters(kink)), s.formula(row.above, **_letters(kink))
    low, high = pair
    if kink.data != "min":
        low, high = high, low
    rest = kink.args[2:]
    if not rest:
        return low, high
    return s.call(kink.data, low, *rest), s.call(kink.data, high, *rest)
