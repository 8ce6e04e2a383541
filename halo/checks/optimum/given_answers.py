"""Whether a scalar has ends once the answers are given: how many tokens they have, and what the parameters are."""

from __future__ import annotations

from functools import partial

from halo.analysis.curvature import Box, Calculus
from halo.analysis.points import COUNTED
from halo.analysis.scalar import variables
from halo.compiler.graph import Node

KEEPS = ("add", "sub", "mul", "neg", "min", "max", "abs", "exp", "relu", "softplus")
"""Functions that have a value everywhere and are continuous: of what has ends they make what has ends."""


def has_ends(node: Node, box: Box) -> bool:
    """Of a sum or mean over tokens or a batch, whether each of them has; there are so many of them and no more."""
    if Calculus(box).span(node).bounded or _given(node) or node.data in COUNTED:
        return True
    if node.op == "reduce":
        way = node.data.removeprefix("batch ")
        return way in ("total", "mean", "largest", "smallest") and has_ends(node.args[0], box)
    if node.op != "apply":
        return False
    if node.data == "div":
        return has_ends(node.args[0], box) and _given(node.args[1])
    if node.data == "clip":  # wherever the first lies
        return all(map(partial(has_ends, box=box), node.args[1:]))
    return node.data in KEEPS and all(map(partial(has_ends, box=box), node.args))


def _given(node: Node) -> bool:
    """Whether it is made of parameters alone: a number, which is another question's if it is not there."""
    return all(v.op == "parameter" for v in variables(node))
