"""What a TRL configuration is in halo: the objective, its parameters, and the settings that carry over by name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sympy
import yaml

from halo.errors import ObjectiveError, Place, SettingsError, nearest
from halo.interop.trl_combinations import mixed, modified, text_of
from halo.objective.formula import Formula, Name, Number
from halo.objective.loading import Objective, load
from halo.plugin.objectives import find_objective

MODIFIERS = ("f_divergence_type", "ld_alpha", "use_weighting", "label_smoothing")
"""What turns a loss type into another objective. The table says which combinations exist."""


@dataclass(frozen=True)
class Translation:
    """The objective, its parameters, and TRL's other settings as they were given; `text` of an objective that is not shipped."""

    objective: Objective
    parameters: dict[str, float]
    settings: dict[str, str]
    text: str | None = None


def table() -> dict[str, dict[str, str]]:
    """Objectives by trainer and loss type."""
    return {key: value for key, value in _read_table().items() if key != "defaults"}


def _read_table() -> dict[str, Any]:
    return dict(yaml.safe_load((Path(__file__).parent / "trl.yaml").read_text(encoding="utf-8")))


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
        parts = _parts(trainer, types, wanted, asked)
        values = mixed([(word, one.objective, one.parameters, w) for (word, one), w in zip(parts, weights, strict=True)])
        return Translation(load(values, find_objective), {}, settings, text_of(values))
    one = _single(trainer, types, wanted[0], asked)
    return Translation(one.objective, one.parameters, settings, one.text)


def _single(trainer: str, types: Mapping[str, str], wanted: str, given: Mapping[str, str]) -> Translation:
    """One loss type: the shipped objective that it is, with modifiers that no shipped one has written as a difference."""
    if wanted not in types or wanted == "default" or "+" in wanted:
        hint = nearest(wanted, [t for t in types if t != "default" and "+" not in t])
        raise SettingsError("wrong-value", f"no loss type {wanted!r} of {trainer} is known", place=Place("--loss-type"), hint=hint)
    modifiers = [flag for flag in MODIFIERS if flag in given and _is_on(given[flag])]
    name, used = types[wanted], set[str]()
    for flag in modifiers:
        modifier = given[flag] if flag == "f_divergence_type" else flag
        key = f"{wanted}+{modifier}"
        if key in types and not used:
            name, used = types[key], {flag}
    objective, text = load(name, find_objective), None
    left = {flag: given[flag] for flag in modifiers if flag not in used and flag not in objective.declaration.aliases}
    numbers = {flag: number for flag, number in given.items() if flag not in left and flag not in ("f_divergence_type", "use_weighting")}
    if left:
        values = modified(objective, left)
        objective, text = load(values, find_objective), text_of(values)
        if "alpha_divergence" in objective.declaration.parameters and "f_alpha_divergence_coef" in numbers:
            numbers["alpha_divergence"] = str(1 - float(_number("f-alpha-divergence-coef", numbers.pop("f_alpha_divergence_coef"))))
    parameters = _parameters(objective, numbers)
    for name, value in _parameters(objective, _usual(trainer, objective, numbers)).items():
        parameters.setdefault(name, value)
    return Translation(objective, parameters, {}, text)


def _usual(trainer: str, objective: Objective, numbers: Mapping[str, str]) -> dict[str, str]:
    """TRL's own defaults of what the objective has and nobody gave."""
    known = {*objective.declaration.aliases, *objective.declaration.parameters}
    defaults = _read_table()["defaults"].get(trainer, {})
    return {flag: str(number) for flag, number in defaults.items() if flag in known and flag not in numbers}


def _parts(trainer: str, types: Mapping[str, str], wanted: list[str], given: Mapping[str, str]) -> list[tuple[str, Translation]]:
    """The losses of a sum; each takes the parameters that it has, and somebody must have each."""
    plain = [load(types[word], find_objective) for word in wanted if word in types]
    has = [{*one.declaration.aliases, *one.declaration.parameters} for one in plain]
    for flag, text in given.items():
        place = Place(f"--{flag}")
        if any(flag in names for names in has):
            continue
        if flag not in MODIFIERS:
            raise SettingsError("unknown-name", f"none of {', '.join(wanted)} has it", place=place, hint=nearest(flag, set().union(*has)))
        if _is_on(text):
            raise SettingsError("wrong-value", "a sum of losses with a modifier", place=place, hint="write it by hand: a file with `terms`")
    known = dict(zip([word for word in wanted if word in types], has, strict=True))
    return [(word, _single(trainer, types, word, {f: x for f, x in given.items() if f in known.get(word, ())})) for word in wanted]


def _weights(text: str | None, count: int) -> list[float]:
    """One for each loss; 1 where none is given."""
    if not text:
        return [1.0] * count
    words = text.split(",")
    if len(words) != count:
        message = f"{len(words)} weights for {count} losses"
        raise SettingsError("wrong-value", message, place=Place("--loss-weights"), hint="such as 0.8,0.2,1")
    return [float(_number("loss-weights", word.strip())) for word in words]


def _is_on(text: str) -> bool:
    return text.lower() not in ("false", "0", "0.0", "none", "reverse_kl")


def _parameters(objective: Objective, numbers: Mapping[str, str]) -> dict[str, float]:
    """Our parameters for which the aliases have the values given."""
    declared = objective.declaration
    symbols = {name: sympy.Symbol(name) for name in declared.parameters}
    equations = []
    for flag, text in numbers.items():
        value = _number(flag, text)
        if flag in declared.aliases:
            equations.append(_read(objective.formula(("aliases", flag), declared.aliases[flag]), symbols) - value)
        elif flag in declared.parameters:
            equations.append(symbols[flag] - value)
        elif _is_on(text):
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
    try:
        return sympy.Rational(text)
    except (TypeError, ValueError):
        raise SettingsError("wrong-value", f"{text!r} is no number", place=Place(f"--{flag}"), hint="such as 0.1") from None


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
