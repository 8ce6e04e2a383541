"""Scalars where policy = reference, as when training starts; and whether a form is then made of parameters alone."""

from __future__ import annotations

import sympy

from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.scalar import Scalars, variables
from halo.checks.scalars.inputs import SUM_OF, TIED
from halo.compiler.graph import Node


def where_equal(s: Scalars, node: Node) -> Node:
    """Reference and sampler replaced by the policy; a batch mean of what is then 0 is 0."""
    policy = {"log ref": "log π", "log old": "log π"} | TIED
    policy |= {f"{SUM_OF}{word}": name and f"{SUM_OF}{name}" for word, name in TIED.items()}
    swap: dict[Node, Node] = {}
    for v in variables(node):
        if v.op == "input" and v.data in policy:
            own = policy[v.data]  # a divergence has none: it is 0
            swap[v] = s.variable(own, v.slot, v.axes) if own else s.number(0)
        elif v.op == "reduce":
            inner = where_equal(s, v.args[0])
            swap[v] = inner if v.batch else s.make(op="reduce", args=(inner,), data=v.data, slot=v.slot)
    return s.substitute(node, swap)


def depends_on_data(algebra: Algebra, form: sympy.Expr) -> bool:
    """Whether anything but parameters is left in the form."""
    return any(v.op != "parameter" for v in algebra.variables_in(form))
