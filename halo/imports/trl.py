"""What a TRL configuration is in halo: the objective, its parameters, and the settings that carry over by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sympy
import yaml

from halo.errors import ObjectiveError, Place, SettingsError, nearest
from halo.objective.formula import Formula, Name, Number
from halo.objective.loading import Objective, load
from halo.plugin.objectives import find_objective

MODIFIERS = ("f_divergence_type", "ld_alpha", "use_weighting", "label_smoothing")
"""What turns a loss type into another objective. The table says which combinations exist."""


@dataclass(frozen=True)
class Translation:
    """The objective, its parameters, and TRL's other settings as they were given."""

    objective: Objective
    parameters: dict[str, float]
    settings: dict[str, str]


def table() -> dict[str, dict[str, str]]:
    """Objectives by trainer and loss type."""
    return dict(yaml.safe_load((Path(__file__).parent / "trl.yaml").read_text(encoding="utf-8")))


def translate(trainer: str, loss_type: str | None, given: Mapping[str, str], known_settings: Mapping[str, Any]) -> Translation:
    """The equivalent of a trainer's configuration. Raises SettingsError for what TRL or halo does not have."""
    trainers = table()
    if trainer not in trainers:
        raise SettingsError("wrong-value", f"no trainer {trainer!r} is known", place=Place("--trainer"), hint=nearest(trainer, trainers))
    types = trainers[trainer]
    wanted = loss_type or types["default"]
    modifiers = [flag for flag in MODIFIERS if flag in given and _is_on(given[flag])]
    name, used = types.get(wanted), set[str]()
    for flag in modifiers:
        key = f"{wanted}+{given[flag] if flag == 'f_divergence_type' else flag}"
        if key in types:
            name, used = types[key], used | {flag}
    if name is None or wanted == "default":
        choices = [t for t in types if t != "default" and "+" not in t]
        hint = nearest(wanted, choices) + ("; a list of loss types is a file with `terms`" if "," in wanted else "")
        raise SettingsError("wrong-value", f"no loss type {wanted!r} of {trainer} is known", place=Place("--loss-type"), hint=hint)
    objective = load(name, find_objective)
    numbers = {flag: text for flag, text in given.items() if flag not in known_settings and flag not in ("f_divergence_type", "use_weighting")}
    settings = {flag: text for flag, text in given.items() if flag in known_settings}
    if "f_divergence_type" in given and "f_divergence_type" not in used and given["f_divergence_type"] != "reverse_kl":
        raise SettingsError("wrong-value", f"{wanted} with {given['f_divergence_type']} is no shipped objective", place=Place("--f-divergence-type"))
    return Translation(objective, _parameters(objective, numbers), settings)


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
            known = [*declared.aliases, *declared.parameters]
            raise SettingsError("unknown-name", f"{objective.name} has nothing that is {flag}", place=Place(f"--{flag}"), hint=nearest(flag, known))
    unknowns = sorted({s for e in equations for s in e.free_symbols}, key=str)
    solved = sympy.solve([*equations, *_defaults(objective, equations, unknowns)], unknowns, dict=True) if unknowns else [{}]
    if not solved:
        raise SettingsError("wrong-value", f"no values of {', '.join(map(str, unknowns))} give what was asked for", place=Place(objective.file))
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
    a = [_read(argument, symbols) for argument in formula.arguments]
    operations = {"add": lambda: a[0] + a[1], "sub": lambda: a[0] - a[1], "mul": lambda: a[0] * a[1], "div": lambda: a[0] / a[1], "neg": lambda: -a[0]}
    return operations[formula.function]()
