"""Signs as one writes them by hand: moved outwards, cancelled, and hinges turned over. Exact algebra, nothing is expanded."""

from __future__ import annotations

from fractions import Fraction

from halo.objective.formula import Call, Formula, Number

ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))


def simplified(formula: Formula) -> Formula:
    """The same formula with its signs moved outwards and factors of 1 left out, as one writes by hand."""
    if isinstance(formula, Call):
        return _combined(formula.function, tuple(simplified(a) for a in formula.arguments))
    if isinstance(formula, Number) and formula.value < 0:
        return Call("neg", (Number(-formula.value),))
    return formula


def _combined(function: str, arguments: tuple[Formula, ...]) -> Formula:
    first, last = arguments[0], arguments[-1]
    minus_first, minus_last = _without_minus(first), _without_minus(last)
    match function:
        case "neg":
            return _negative(first)
        case "mul" if first == ONE:
            return last
        case "mul" | "div" if minus_first is not None:
            return _negative(_combined(function, (minus_first, last)))
        case "mul" if minus_last is not None:
            return _negative(_combined("mul", (first, minus_last)))
        case "add" if minus_last is not None:
            return Call("sub", (first, minus_last))
        case "sub" if minus_last is not None:
            return Call("add", (first, minus_last))
    return Call(function, arguments)


def _without_minus(formula: Formula) -> Formula | None:
    if isinstance(formula, Call) and formula.function == "neg":
        return formula.arguments[0]
    return None


def _negative(formula: Formula) -> Formula:
    """-formula, with the sign at each summand; a hinge -min(0, z) is written max(0, -z)."""
    inner = _without_minus(formula)
    if inner is not None:
        return inner
    if isinstance(formula, Call) and formula.function in ("min", "max") and formula.arguments[0] == ZERO:
        other = "max" if formula.function == "min" else "min"
        return Call(other, (ZERO, *(_negative(a) for a in formula.arguments[1:])))
    if isinstance(formula, Call) and formula.function == "sub":
        return Call("sub", (formula.arguments[1], formula.arguments[0]))
    if isinstance(formula, Call) and formula.function == "add":
        return Call("sub", (_negative(formula.arguments[0]), formula.arguments[1]))
    return Call("neg", (formula,))
