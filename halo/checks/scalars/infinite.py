"""What becomes of the logsumexp of an empty population, which is -inf: the weakest completion has nobody below it."""

from __future__ import annotations

from collections.abc import Sequence

from halo.analysis.scalar import LEAVES, Scalars
from halo.compiler.graph import Node


class NoValue(Exception):
    """The batch has no loss that is a scalar: something infinite is left in it."""


EMPTY = Node("input", data="-inf")
"""The logsumexp of an empty population."""
FULL = Node("input", data="inf")
"""Its negative."""
AT_INFINITY: dict[tuple[str, int, Node], Node | int] = {
    ("sub", 1, EMPTY): FULL, ("sub", 1, FULL): EMPTY, ("sub", 0, EMPTY): EMPTY, ("sub", 0, FULL): FULL,
    ("neg", 0, EMPTY): FULL, ("neg", 0, FULL): EMPTY, ("add", 0, EMPTY): EMPTY, ("add", 1, EMPTY): EMPTY,
    ("sigmoid", 0, EMPTY): 0, ("sigmoid", 0, FULL): 1, ("logsigmoid", 0, FULL): 0, ("exp", 0, EMPTY): 0,
}  # fmt: skip
"""What a function makes of it at a place among its arguments, the others being numbers. Nothing else is written out."""


def applied(s: Scalars, word: str, given: Sequence[Node]) -> Node:
    """A function of scalars, one of which may be infinite. Raises NoValue."""
    infinite = [(word, i, x) for i, x in enumerate(given) if x in (EMPTY, FULL)]
    if not infinite:
        return s.call(word, *given)
    found = AT_INFINITY.get(infinite[0])
    if found is None or len(infinite) > 1:
        raise NoValue
    return found if isinstance(found, Node) else s.number(found)


def with_nobody(s: Scalars, node: Node, empty: set[Node]) -> Node:
    """The scalar where these logsumexps are of nothing. Raises NoValue."""
    done: dict[Node, Node] = dict.fromkeys(empty, EMPTY)

    def visit(current: Node) -> Node:
        if current not in done:
            if current.op in LEAVES:
                done[current] = current
            else:
                done[current] = applied(s, current.data, [visit(a) for a in current.args])
        return done[current]

    found = visit(node)
    if found in (EMPTY, FULL):
        raise NoValue
    return found
