"""Declared columns: where a row holds their numbers, and whether these are what the objective declares.

    level        one completion (labelled, demonstrations)   pairs                        lists
    example      name: 0.5                                   name: 0.5                    name: 0.5
    completion   name: 0.5                                   chosen_name, rejected_name   name: [0.5, 0.1, ...]
    token        name: [1, 0, ...]                           chosen_name, rejected_name   name: [[1, 0, ...], ...]

A completion's numbers stay with it when pairs become labels, lists pairs, or when it is drawn for another prompt. A prompt or
an extra text has its own under its name and an underscore: gold_name. One number for each token counts the tokens that are
scored: the completion's, as tokenized behind its prompt, and the end-of-sequence token.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo.compiler.graph import Needs
from halo.data.examples import Example
from halo.data.tokenized import Numbers
from halo.errors import DataError, Place
from halo.objective.schema import Column, Interval

OLD_LOGP = "old_logp"
"""The column of a completion's log-probs under the policy that sampled it."""


@dataclass(frozen=True)
class Wanted:
    """A column that the objective reads, and of which slots' completions ("" for the example itself)."""

    name: str
    declared: Column
    slots: tuple[str, ...]

    def number(self, value: Any, key: str, place: Place) -> float:
        """The value as a float. Raises DataError for what is no number, not finite or outside the domain."""
        if value is None and self.declared.default is not None:
            return float(self.declared.default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError("data-row", f"{key} is {_shown(value)}, not a number", place=place)
        domain = Interval.parse(self.declared.domain)
        if not abs(value) <= sys.float_info.max or value not in domain:
            raise DataError("data-row", f"{key} is {_shown(value)}, outside its domain {self.declared.domain}", place=place)
        return domain.nearest(value)

    def numbers(self, value: Any, key: str, tokens: int, place: Place) -> tuple[float, ...]:
        """One number for each of so many tokens. Raises DataError."""
        if not isinstance(value, list | tuple):
            raise DataError("data-row", f"{key} is no list", place=place, hint=f"one number for each of the {tokens} tokens")
        if len(value) != tokens:
            message = f"{key} has {len(value)} numbers, the completion has {tokens} tokens"
            raise DataError("data-row", message, place=place, hint="one for each token of the completion and its end-of-sequence token")
        return tuple(self.number(x, f"{key}[{i}]", place) for i, x in enumerate(value))


def _shown(value: Any) -> str:
    """What stands where a number should, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, int) else f"a {type(value).__name__}"


def wanted_columns(declared: Mapping[str, Column], needs: Needs) -> tuple[Wanted, ...]:
    """What an objective wants of a row: its declared columns, the scores of scored feedback, a sampler's log-probs."""
    own = sorted({name for names in needs.own_columns.values() for name in names})
    scores = Column(level="completion")
    found = [Wanted(name, declared[name], ("",)) for name in needs.columns]
    found += [Wanted(n, declared.get(n, scores), tuple(s for s, names in needs.own_columns.items() if n in names)) for n in own]
    if needs.sampler:
        found.append(Wanted(OLD_LOGP, Column(level="token"), needs.slots))
    return tuple(found)


def of_example(example: Example, wanted: Sequence[Wanted]) -> dict[str, float]:
    """The example's own columns. Raises DataError."""
    found = {}
    for column in wanted:
        if column.declared.level == "example":
            value = example.columns.get(column.name, example.texts.get(column.name))
            found[column.name] = column.number(_given(value, column, column.name, example), column.name, example.place)
    return found


def of_completion(
    example: Example, slot: str, index: int, tokens: int, wanted: Sequence[Wanted], mismatched: Mapping[str, Any] | None = None
) -> Numbers:
    """The columns of a slot's completion, which has so many scored tokens. Raises DataError."""
    found: dict[str, float | tuple[float, ...]] = {}
    for column in wanted:
        if slot not in column.slots:
            continue
        key = column.name if slot in ("completion", "mismatched") else f"{slot}_{column.name}"
        value = _given(_value(example, slot, index, column, key, mismatched), column, key, example)
        default = column.declared.default
        if column.declared.level == "completion":
            found[column.name] = column.number(value, key, example.place)
        elif value is None and default is not None:
            found[column.name] = (float(default),) * tokens
        else:
            found[column.name] = column.numbers(value, key, tokens, example.place)
    return found


def _value(example: Example, slot: str, index: int, column: Wanted, key: str, mismatched: Mapping[str, Any] | None) -> Any:
    """What the row holds of a column for a slot's completion; None where it holds nothing."""
    if slot == "mismatched":
        return (mismatched or {}).get(column.name)
    if slot not in example.kind.completions:
        return example.columns.get(key)
    return example.own[index].get(column.name) if example.own else None


EACH = {"example": "a number", "completion": "a number for each completion", "token": "a number for each token"}
"""What a column of a level holds, in words."""


def _given(value: Any, column: Wanted, key: str, example: Example) -> Any:
    """The value, or None where the default stands for it. Raises DataError for a value that is missing."""
    if value is not None or column.declared.default is not None:
        return value
    name, level, whole = column.name, column.declared.level, example.columns.get(column.name)
    if example.kind.is_list and level != "example" and isinstance(whole, list) and len(whole) != len(example.completions):
        message = f"{name} has {len(whole)} entries, the row has {len(example.completions)} completions"
        raise DataError("data-row", message, place=example.place)
    where = ""
    if level != "example":
        where = f"{name} beside one completion, chosen_{name} and rejected_{name} in pairs, a list {name} in lists; "
    message, hint = f"the objective needs the column {key!r}, {EACH[level]}", f"{where}a `default` in the objective would stand for it"
    if name == OLD_LOGP:
        hint = "a sampler's log-probs: halo sample, halo score and halo pair write them (docs/sampling.md)"
    raise DataError("data-row", message, place=example.place, hint=hint)
