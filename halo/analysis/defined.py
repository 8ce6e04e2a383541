"""Whether a scalar has a value everywhere on a box: by ranges, and where those are too wide, by algebra."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Box, Calculus
from halo.analysis.numbers.rationals import ending
from halo.analysis.scalar import Scalars, topological_scalar
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS


def is_defined(s: Scalars, node: Node, box: Box) -> bool:
    """Whether it is shown to have a value on the whole box. Of a `where` each branch needs one only where it is taken."""
    return next(doubts(s, node, box), None) is None


def is_defined_throughout(s: Scalars, node: Node, box: Box) -> bool:
    """The same of all that stands in it, also of branches where they are not taken: then no piece grows without end at its edge."""
    calculus = Calculus(box)
    for inner in topological_scalar(node):
        calculus.shape(inner)
    return all(_settled(s, bad, box) for bad in calculus.undefined)


def doubts(s: Scalars, node: Node, box: Box) -> Iterator[Node]:
    """What may have no value somewhere on the box."""
    calculus = Calculus(box)
    if not calculus.shape(node).defined:
        yield from (bad for bad in calculus.undefined if not _settled(s, bad, box))


def _settled(s: Scalars, node: Node, box: Box) -> bool:
    """Whether algebra shows that a quotient's denominator is never 0, or an argument inside the function's domain."""
    room = _room(s, node)
    if room is None:
        return False
    algebra = Algebra(box)
    strict = node.data != "sqrt"  # the only function whose closed end is an argument
    try:
        sign = algebra.sign(algebra.normal(room), strict=strict)
    except OutOfReach:
        return False
    return sign == 1 or (sign == -1 and node.data == "div") or (sign == 0 and not strict)


def _room(s: Scalars, node: Node) -> Node | None:
    """What must not be 0 (a denominator), or must be positive (the distance of an argument from the end of a domain)."""
    if node.data == "div":
        return node.args[1]
    low, high = map(ending, FUNCTIONS[node.data].domain)
    if isinstance(low, Fraction):
        return s.call("sub", node.args[0], s.number(low))
    if isinstance(high, Fraction):
        return s.call("sub", s.number(high), node.args[0])
    return None
