"""The estimate of E_Q[r] that a reference point holds, under factors, constants that are added, and clamps."""

from __future__ import annotations

from dataclasses import dataclass

from halo.analysis.scalar import Scalars, inner_variables
from halo.checks.human_aware.forms import Construction
from halo.compiler.graph import Node
from halo.objective.vocabulary import clamping


@dataclass(frozen=True)
class Estimate:
    """factor * inner + constant, where inner was clamped or not."""

    factor: Node
    inner: Node
    constant: Node


def estimate(s: Scalars, point: Node, found: Construction) -> Estimate:
    """The reference point without the constants that are added, the factor, and the clamps at constants."""
    factor, inner, constant = s.number(1), point, s.number(0)
    while inner.op == "apply":
        fixed = [a for a in inner.args if all(v.op == "parameter" for v in inner_variables(a))]
        moving = [a for a in inner.args if a not in fixed]
        if len(moving) != 1:
            break
        match inner.data:
            case "neg":
                factor = s.call("neg", factor)
            case "add":
                constant = s.call("add", constant, s.call("mul", factor, fixed[0]))
            case "sub" if inner.args[0] in moving:
                constant = s.call("sub", constant, s.call("mul", factor, fixed[0]))
            case "sub":
                constant, factor = s.call("add", constant, s.call("mul", factor, fixed[0])), s.call("neg", factor)
            case "mul":
                factor = s.call("mul", factor, fixed[0])
            case "div" if inner.args[0] in moving:
                factor = s.call("div", factor, fixed[0])
            case word if clamping(word):
                found.notes.append("E_Q is clamped at a constant")
            case _:
                break
        inner = moving[0]
    return Estimate(factor, inner, constant)
