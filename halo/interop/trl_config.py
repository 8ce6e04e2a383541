"""What a TRL configuration is in halo: the objective, its parameters, and the settings that carry over by name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy

from halo.errors import ObjectiveError, Place, SettingsError, nearest
from halo.interop.trl_combinations import mixed, modified, text_of
from halo.interop.trl_settings import Read, number, read, trl_table
from halo.objective.formula import Formula, Name, Number
from halo.objective.loading import Objective, load
from halo.plugin.objectives import find_objective


@dataclass(frozen=True)
class Translation:
    """The objective, its parameters, and TRL's other settings as they were given; `text` of an objective that is not shipped.

    `unread` is a sentence about each setting that TRL takes and that has no effect with this loss type.
    """

    objective: Objective
    parameters: dict[str, float]
    settings: dict[str, str]
    text: str | None = None
    unread: tuple[str, ...] = ()


def table() -> dict[str, dict[str, str]]:
    """Objectives by trainer and loss type."""
    return {key: value for key, value in trl_table().items() if key not in ("defaults", "reads", "refuses", "gone")}


def translate(trainer: str, loss_type: str | None, given: Mapping[str, str], known_settings: Mapping[str, Any]) -> Translation:
    """The equivalent of a trainer's configuration. Raises SettingsError for what TRL or halo does not have."""
    trainers = table()
    if trainer not in trainers:
        raise SettingsError("wrong-value", f"no trainer {trainer!r} is known", place=Place("--trainer"), hint=nearest(trainer, trainers))
    types = trainers[trainer]
    settings = {flag: text for flag, text in given.items() if flag in known_settings}
    asked = {flag: text for flag, text in given.items() if flag not in known_settings}
    wanted = [word.strip() for word in (loss_type or types["default"]).split(",")]
    weights = _weights(asked.pop("loss_weights", None), len(wanted))
    if len(wanted) > 1:
        parts, unread = _parts(trainer, types, wanted, asked)
        values = mixed([(word, one.objective, one.parameters, w) for (word, one), w in zip(parts, weights, strict=True)])
        return Translation(load(values, find_objective), {}, settings, text_of(values), unread)
    return replace(_single(trainer, types, wanted[0], asked), settings=settings)


def _single(trainer: str, types: Mapping[str, str], wanted: str, given: Mapping[str, str]) -> Translation:
    """One loss type: the shipped objective that it is, with modifiers that no shipped one has written as a difference."""
    if wanted not in types or wanted == "default" or "+" in wanted:
        hint = nearest(wanted, [t for t in types if t != "default" and "+" not in t])
        raise SettingsError("wrong-value", f"no loss type {wanted!r} of {trainer} is known", place=Place("--loss-type"), hint=hint)
    asked = read(trainer, wanted, given)
    if wanted == "exo_pair" and "label_smoothing" not in asked.modifiers:
        hint = "--label-smoothing 0.001, the paper's"
        raise SettingsError("wrong-value", "TRL refuses exo_pair without it", place=Place("--label-smoothing"), hint=hint)
    name, used = types[wanted], set[str]()
    for flag, given_as in list(asked.modifiers.items())[:1]:  # the others are differences from it
        modifier = given_as if flag == "f_divergence_type" else flag
        if f"{wanted}+{modifier}" in types and _in_shipped_range(modifier, asked):
            name, used = types[f"{wanted}+{modifier}"], {flag}
    objective, text = load(name, find_objective), None
    left = {flag: asked.modifiers[flag] for flag in asked.modifiers if flag not in used and flag not in objective.declaration.aliases}
    own = {flag: given_as for flag, given_as in asked.modifiers.items() if flag not in left and flag not in _WORDS}
    numbers = {**asked.numbers, **own}
    if left:
        values = modified(objective, left, numbers.get("f_alpha_divergence_coef"))
        if "f_divergence_type" in left:
            numbers.pop("f_alpha_divergence_coef", None)
        objective, text = load(values, find_objective), text_of(values)
    parameters = _parameters(objective, numbers)
    for name, value in _parameters(objective, _usual(trainer, objective, {**numbers, **left})).items():
        parameters.setdefault(name, value)
    return Translation(objective, parameters, {}, text, asked.unread)


_WORDS = ("f_divergence_type", "use_weighting")
"""Modifiers whose value is no number."""


def _in_shipped_range(modifier: str, asked: Read) -> bool:
    """Whether the shipped objective of a modifier has the value that was given: those with an alpha have the papers' range."""
    if modifier == "alpha_divergence":
        return 0 < number("f_alpha_divergence_coef", asked.numbers["f_alpha_divergence_coef"]) < 1
    return modifier != "alpha" or number("alpha", asked.modifiers["alpha"]) > 0


def _usual(trainer: str, objective: Objective, numbers: Mapping[str, str]) -> dict[str, str]:
    """TRL's own defaults of what the objective has and nobody gave."""
    known = _names(objective)
    defaults = trl_table()["defaults"].get(trainer, {})
    return {flag: str(number) for flag, number in defaults.items() if flag in known and flag not in numbers}


def _parts(
    trainer: str, types: Mapping[str, str], wanted: list[str], given: Mapping[str, str]
) -> tuple[list[tuple[str, Translation]], tuple[str, ...]]:
    """The losses of a sum, each with the parameters that it has, and sentences about what none of them reads."""
    has = {word: _names(load(types[word], find_objective)) for word in wanted if word in types}
    asked = {word: read(trainer, word, given) for word in has}
    for flag in given:
        place = Place(f"--{flag}")
        if any(flag in names for names in has.values()):
            continue
        if any(flag in one.modifiers for one in asked.values()):
            raise SettingsError("wrong-value", "a sum of losses with a modifier", place=place, hint="write it by hand: a file with `terms`")
        if any(flag in one.numbers for one in asked.values()):
            hint = nearest(flag, set().union(*has.values()))
            raise SettingsError("unknown-name", f"none of {', '.join(wanted)} has it", place=place, hint=hint)
    parts = [(word, _single(trainer, types, word, {f: x for f, x in given.items() if f in has.get(word, ())})) for word in wanted]
    said = [set(one.unread) for one in asked.values()]
    return parts, tuple(sorted(set.union(*said))) if all(said) else ()


def _names(objective: Objective) -> set[str]:
    """What a number of TRL's may be called to reach the objective."""
    return {*objective.declaration.aliases, *objective.declaration.parameters}


def _weights(text: str | None, count: int) -> list[float]:
    """One for each loss; 1 where none is given."""
    if not text:
        return [1.0] * count
    words = text.split(",")
    if len(words) != count:
        message = f"{len(words)} weights for {count} losses"
        raise SettingsError("wrong-value", message, place=Place("--loss-weights"), hint="such as 0.8,0.2,1")
    return [float(number("loss-weights", word.strip())) for word in words]


def _parameters(objective: Objective, numbers: Mapping[str, str]) -> dict[str, float]:
    """Our parameters for which the aliases have the values given."""
    declared = objective.declaration
    symbols = {name: sympy.Symbol(name) for name in declared.parameters}
    equations = []
    for flag, text in numbers.items():
        if flag in declared.aliases:
            equations.append(_read(objective.formula(("aliases", flag), declared.aliases[flag]), symbols) - _number(flag, text))
        elif flag in declared.parameters:
            equations.append(symbols[flag] - _number(flag, text))
        elif text.lower() not in ("false", "none", "null"):  # a setting that is switched off has no loss to be in
            hint = nearest(flag, [*declared.aliases, *declared.parameters])
            raise SettingsError("unknown-name", f"{objective.name} has nothing that is {flag}", place=Place(f"--{flag}"), hint=hint)
    unknowns = sorted({s for e in equations for s in e.free_symbols}, key=str)
    if not unknowns:
        return {}
    solved = sympy.solve([*equations, *_defaults(objective, equations, unknowns)], unknowns, dict=True)
    if not solved:
        message = f"no values of {', '.join(map(str, unknowns))} give what was asked for"
        raise SettingsError("wrong-value", message, place=Place(objective.file))
    values = {str(symbol): float(value) for symbol, value in solved[0].items()}
    try:
        objective.with_parameters(values)
    except ObjectiveError as problem:
        raise SettingsError(problem.code, problem.message, place=problem.place, hint=problem.hint) from None
    return values


def _defaults(objective: Objective, equations: list[Any], unknowns: list[Any]) -> list[Any]:
    """What the equations leave free keeps its default."""
    missing = len(unknowns) - len(equations)
    fixed = {e for e in equations if len(e.free_symbols) == 1}
    determined = {s for e in fixed for s in e.free_symbols}
    free = [s for s in unknowns if s not in determined][: max(0, missing)]
    return [s - sympy.Rational(str(objective.declaration.parameters[str(s)].default)) for s in free]


def _number(flag: str, text: str) -> Any:
    exact = number(flag, text)
    return sympy.Rational(exact.numerator, exact.denominator)


def _read(formula: Formula, symbols: Mapping[str, Any]) -> Any:
    """An alias as algebra: aliases are rational."""
    if isinstance(formula, Number):
        return sympy.Rational(formula.value.numerator, formula.value.denominator)
    if isinstance(formula, Name):
        return symbols[formula.name]
    return _OPERATIONS[formula.function](*(_read(argument, symbols) for argument in formula.arguments))


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
}  # fmt: skip
