"""How large an objective becomes when every let stands where it is named, before anything is lowered: a few lines may say a great deal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from halo.compiler.lowering.context import Context
from halo.objective.document import Path
from halo.objective.formula import Call, Formula, Name, Number

MAX_PARTS = 4_000
"""Numbers, names and calls of one formula, lets written out. The largest of a shipped objective has 114."""
SLOTS = ("reward", "normalizer", "reference_point", "margin", "value", "weight", "constant")
MAX_LEVELS = 60
"""Calls inside each other, lets written out. The deepest of a shipped objective has 17."""
MAX_DEGREE = 4_096
"""Of a formula as a power of one of its names: powers of powers multiply."""
MAX_TERMS = 100
"""Terms, and regularizers, of one objective."""


@dataclass(frozen=True)
class Size:
    """Of a formula with the lets written out."""

    parts: int = 1
    levels: int = 1
    degree: int = 1


def check_expansion(context: Context) -> None:
    """Raises ObjectiveError at the first formula that becomes too large. A let that needs itself is somebody else's to name."""
    sizes: dict[str, Size] = {}
    for key, entries in (("terms", context.declaration.terms or {}), ("regularizers", context.declaration.regularizers)):
        if len(entries) > MAX_TERMS:
            raise context.fail("formula-limit", f"there are {len(entries):,} {key}; at most {MAX_TERMS} are read", (key,))
    for name in _inner_first(context):
        sizes[name] = _checked(context, ("let", name), context.declaration.let[name], sizes)
    declared = context.declaration
    sizes["reward"] = _checked(context, ("reward",), declared.reward, sizes)
    for key in SLOTS:
        _checked(context, (key,), getattr(declared, key), sizes)
        for name, term in (declared.terms or {}).items():
            _checked(context, ("terms", name, key), getattr(term, key), sizes)
    for name, part in declared.regularizers.items():
        _checked(context, ("regularizers", name, "expression"), part.expression, sizes)
        _checked(context, ("regularizers", name, "weight"), part.weight, sizes)


def _checked(context: Context, path: Path, value: Any, sizes: Mapping[str, Size]) -> Size:
    if value is None:
        return Size()
    own = [_size(formula, sizes) for formula in _formulas(context, path, value)]
    size = Size(sum(one.parts for one in own), max(one.levels for one in own), max(one.degree for one in own))
    limits = [(size.parts, MAX_PARTS, "parts"), (size.levels, MAX_LEVELS, "calls inside each other")]
    for found, most, what in (*limits, (size.degree, MAX_DEGREE, "as its degree")):
        if found > most:
            message = f"with its lets written out it has {_said(found)} {what}; at most {most:,} are read"
            raise context.fail("formula-limit", message, path, hint="a loss that somebody else is to read has a few hundred parts")
    return size


def _inner_first(context: Context) -> Iterator[str]:
    """The lets, each after those that it names; without recursion, as a chain of them may be long."""
    needs = {name: list(_named(context, name)) for name in context.declaration.let}
    done: set[str] = set()
    for first in needs:
        open_ones = [first]
        while open_ones:
            name = open_ones[-1]
            left = [other for other in needs[name] if other not in done and other not in open_ones]
            if left:
                open_ones.append(left[0])
                continue
            open_ones.pop()
            if name not in done:
                done.add(name)
                yield name


def _named(context: Context, name: str) -> Iterator[str]:
    for formula in _formulas(context, ("let", name), context.declaration.let[name]):
        yield from (part.name for part in _parts(formula) if isinstance(part, Name) and part.name in context.declaration.let)


def _formulas(context: Context, path: Path, value: Any) -> Iterator[Formula]:
    """A formula, or one for each role. What cannot be read is somebody else's to name."""
    if isinstance(value, Mapping):
        for role, text in value.items():
            yield context.objective.formula((*path, role), text)
    else:
        yield context.objective.formula(path, value)


def _parts(formula: Formula) -> Iterator[Formula]:
    yield formula
    if isinstance(formula, Call):
        for argument in formula.arguments:
            yield from _parts(argument)


def _size(formula: Formula, sizes: Mapping[str, Size]) -> Size:
    if isinstance(formula, Name):
        return sizes.get(formula.name, Size())
    if not isinstance(formula, Call):
        return Size()
    own = [_size(argument, sizes) for argument in formula.arguments]
    degrees = [one.degree for one in own]
    degree = max(degrees, default=1)
    if formula.function == "mul":
        degree = sum(degrees)
    elif formula.function == "pow" and isinstance(formula.arguments[1], Number):
        degree = degrees[0] * max(1, math.ceil(abs(formula.arguments[1].value)))
    return Size(1 + sum(one.parts for one in own), 1 + max((one.levels for one in own), default=0), degree)


def _said(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "more than a trillion"
