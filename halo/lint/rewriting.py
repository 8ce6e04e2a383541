"""Formulas rewritten: what an edit does to the text of a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halo.objective.formula import Call, Formula, Name, Number


def rewritten(formula: Formula, rule: Callable[[Formula], Formula | None]) -> Formula:
    """The formula with every part, innermost first, that the rule has another form for in that form."""
    if isinstance(formula, Call):
        formula = Call(formula.function, tuple(rewritten(a, rule) for a in formula.arguments), formula.offset)
    return rule(formula) or formula


def parts_of(formula: Formula) -> Iterator[Formula]:
    """The formula and everything in it."""
    yield formula
    if isinstance(formula, Call):
        for argument in formula.arguments:
            yield from parts_of(argument)


def called(formula: Formula, function: str) -> tuple[Formula, ...]:
    return formula.arguments if isinstance(formula, Call) and formula.function == function else ()


def reads(formula: Formula, name: str) -> bool:
    return any(isinstance(f, Name) and f.name == name for f in parts_of(formula))


def negated(formula: Formula) -> Formula:
    """Minus the formula; a minus in front is taken away."""
    if isinstance(formula, Call) and formula.function == "neg":
        return formula.arguments[0]
    if isinstance(formula, Number) and formula.value < 0:
        return Number(-formula.value)
    if isinstance(formula, Call) and formula.function in ("mul", "div"):
        left, right = formula.arguments
        turned = negated(left)
        if not called(turned, "neg"):
            return Call(formula.function, (turned, right))
    return Call("neg", (formula,))
