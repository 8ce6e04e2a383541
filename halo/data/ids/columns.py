"""Ids that a sampler wrote, in the columns of a row: trained on as they are, where the row has them.

    prompt_tokens                            the prompt's ids, with the template
    chosen_tokens, rejected_tokens           of pairs; completion_tokens of labels; completions_tokens, a list of lists, of lists
    ..._finish, ..._temperature, ..._weights how it ended, at which temperature its log-probs are, whose it is (12 hex of a fingerprint)

Text made ids again may be other ids, and then a sampler's log-probs are of something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from halo.data.tokenized import Finish
from halo.errors import DataError, Place

PROMPT_IDS, TOKENS, FINISH, TEMPERATURE, WEIGHTS, KEPT = "prompt_tokens", "tokens", "finish", "temperature", "weights", "kept"


@dataclass(frozen=True)
class Ids:
    """What a sampler wrote for a prompt: by completion its ids, how it ended, the temperature of its log-probs, whose weights."""

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    finishes: tuple[Finish, ...]
    temperatures: tuple[float, ...]
    weights: tuple[str, ...]

    def picked(self, *indices: int) -> Ids:
        """Of these completions."""
        return Ids(
            self.prompt,
            tuple(self.completions[i] for i in indices),
            tuple(self.finishes[i] for i in indices),
            tuple(self.temperatures[i] for i in indices),
            tuple(self.weights[i] for i in indices),
        )


def ids_of(row: Mapping[str, Any], sides: Sequence[str], place: Place) -> Ids | None:
    """Of a row with a completion on each side. None where it has no ids. Raises DataError for columns that are not what they should be."""
    if row.get(PROMPT_IDS) is None or any(row.get(f"{side}_{WEIGHTS}") is None for side in sides):  # a table has null for what is not there
        return None
    each = [{name: row.get(f"{side}_{name}") for name in (TOKENS, FINISH, TEMPERATURE, WEIGHTS)} for side in sides]
    return _ids(row[PROMPT_IDS], each, place)


def ids_of_list(row: Mapping[str, Any], size: int, place: Place) -> Ids | None:
    """Of a row with a list of completions."""
    if row.get(PROMPT_IDS) is None or row.get(f"completions_{WEIGHTS}") is None:
        return None
    columns = {name: row.get(f"completions_{name}") for name in (TOKENS, FINISH, TEMPERATURE, WEIGHTS)}
    for name, values in columns.items():
        if not isinstance(values, list) or len(values) != size:
            raise DataError("data-row", f"completions_{name} is no list of {size}, one for each completion", place=place)
    return _ids(row[PROMPT_IDS], [{name: values[k] for name, values in columns.items() if values} for k in range(size)], place)


def _ids(prompt: Any, sides: Sequence[Mapping[str, Any]], place: Place) -> Ids:
    if not _are_ids(prompt) or not prompt:
        raise DataError("data-row", f"{PROMPT_IDS} is no list of ids", place=place, hint="whole numbers from 0, as halo pair writes them")
    for side in sides:
        if not _are_ids(side[TOKENS]) or not side[TOKENS]:
            raise DataError("data-row", "the tokens of a completion are no list of ids", place=place, hint="as halo pair writes them")
        if side[FINISH] not in get_args(Finish):
            hint = f"one of {', '.join(filter(None, get_args(Finish)))}"
            raise DataError("data-row", f"a finish is {side[FINISH]!r}", place=place, hint=hint)
        if not isinstance(side[TEMPERATURE], int | float) or not 0 < side[TEMPERATURE] < float("inf"):
            raise DataError("data-row", f"a temperature is {side[TEMPERATURE]!r}", place=place, hint="a number above 0")
    return Ids(
        tuple(prompt),
        tuple(tuple(side[TOKENS]) for side in sides),
        tuple(side[FINISH] for side in sides),
        tuple(float(side[TEMPERATURE]) for side in sides),
        tuple(str(side[WEIGHTS]) for side in sides),
    )


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value)


def is_of_ids(column: str) -> bool:
    """Whether a column is read here, and no number of the row's."""
    return column == PROMPT_IDS or column.endswith((f"_{TOKENS}", f"_{FINISH}", f"_{TEMPERATURE}", f"_{WEIGHTS}"))
