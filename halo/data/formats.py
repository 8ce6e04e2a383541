"""Core's formats: pairs, labels, ranked lists, demonstrations (strings or messages), and HH transcripts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from halo.data.examples import Example, Text
from halo.data.interface import DataFormat, Row
from halo.errors import DataError, Place

HH_TURN = re.compile(r"\n\n(Human|Assistant):")


def text_of(row: Row, column: str, place: Place) -> Text:
    """A string, or a list of messages with role and content. Raises DataError for anything else."""
    value = row[column]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(m, Mapping) and {"role", "content"} <= set(m) for m in value):
        return tuple({"role": str(m["role"]), "content": str(m["content"])} for m in value)
    shown = "null" if value is None else type(value).__name__
    raise DataError("data-row", f"{column} is {shown}", place=place, hint="a text or a list of {role, content} messages")


def prompt_of(row: Row, place: Place) -> Text:
    """The prompt; an empty one is refused."""
    prompt = text_of(row, "prompt", place)
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise DataError("data-row", "the prompt is empty", place=place)
    return prompt


def extras(row: Row, used: tuple[str, ...]) -> dict[str, Any]:
    """What else a row holds: texts and numbers, for objectives that ask for them. Whether a number will do is judged then."""
    others = {key: value for key, value in row.items() if key not in used}
    return {"texts": {k: v for k, v in others.items() if isinstance(v, str)}, "columns": {k: v for k, v in others.items() if _numeric(v)}}


def _numeric(value: Any) -> bool:
    """A number, or a list that begins like one of numbers (of lists of numbers)."""
    return isinstance(value, int | float) or (isinstance(value, list) and (not value or value[0] is None or _numeric(value[0])))


def read_pair(row: Row, place: Place) -> Example:
    completions = (text_of(row, "chosen", place), text_of(row, "rejected", place))
    more = extras(row, ("prompt", "chosen", "rejected"))
    return Example("paired", prompt_of(row, place), completions, place, own=of_sides(more["columns"]), **more)


def of_sides(columns: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """What goes with the chosen and with the rejected completion: chosen_margin is the chosen one's margin."""
    return tuple({k.removeprefix(side): v for k, v in columns.items() if k.startswith(side)} for side in ("chosen_", "rejected_"))


def read_label(row: Row, place: Place) -> Example:
    label = row["label"]
    if not isinstance(label, bool):
        hint = "true for desirable, false for undesirable"
        raise DataError("data-row", f"label is {'null' if label is None else repr(label)}", place=place, hint=hint)
    completion = text_of(row, "completion", place)
    more = extras(row, ("prompt", "completion", "label"))
    return Example("labelled", prompt_of(row, place), (completion,), place, desirable=label, own=(more["columns"],), **more)


def read_ranked(row: Row, place: Place) -> Example:
    """Scores become ranks: the highest is 1, equal scores share a rank. The order of the row is kept."""
    completions, scores = row["completions"], row["scores"]
    if not isinstance(completions, list) or not isinstance(scores, list) or len(completions) != len(scores) or len(scores) < 2:
        raise DataError("data-row", "completions and scores must be lists of one length, at least 2", place=place)
    if any(isinstance(s, bool) or not isinstance(s, (int, float)) or not math.isfinite(s) for s in scores):
        raise DataError("data-row", f"scores {scores} are not all finite numbers", place=place)
    texts = tuple(text_of({"completions": one}, "completions", place) for one in completions)
    ranks = tuple(1 + sum(other > score for other in scores) for score in scores)
    more = extras(row, ("prompt", "completions", "scores"))
    lists = {k: v for k, v in more["columns"].items() if isinstance(v, list) and len(v) == len(texts)}
    own = tuple({k: v[i] for k, v in lists.items()} | {"score": score} for i, score in enumerate(scores))
    return Example("ranked", prompt_of(row, place), texts, place, ranks=ranks, own=own, **more)


def read_demonstration(row: Row, place: Place) -> Example:
    completion = text_of(row, "completion", place)
    more = extras(row, ("prompt", "completion"))
    return Example("demonstrations", prompt_of(row, place), (completion,), place, own=(more["columns"],), **more)


def is_hh(row: Row) -> bool:
    return all(isinstance(row[c], str) and row[c].startswith("\n\nHuman:") for c in ("chosen", "rejected"))


def read_hh(row: Row, place: Place) -> Example:
    """Two transcripts with a common beginning: the last assistant turn of each is the completion."""
    (prompt, chosen), (other, rejected) = (_last_turn(row[column], place) for column in ("chosen", "rejected"))
    if prompt != other:
        raise DataError("data-row", "the transcripts differ before their last turn", place=place)
    more = extras(row, ("chosen", "rejected"))
    return Example("paired", prompt, (chosen, rejected), place, own=of_sides(more["columns"]), **more)


def _last_turn(transcript: str, place: Place) -> tuple[Text, str]:
    parts = HH_TURN.split(transcript)[1:]
    roles = ["user" if name == "Human" else "assistant" for name in parts[::2]]
    contents = [content.strip() for content in parts[1::2]]
    if len(roles) < 2 or roles[-1] != "assistant":
        raise DataError("data-row", "the transcript does not end with an Assistant turn", place=place)
    messages = tuple({"role": r, "content": c} for r, c in zip(roles[:-1], contents[:-1], strict=True))
    return messages, contents[-1]


FORMATS = (
    DataFormat("hh", "paired", ("chosen", "rejected"), read_hh, is_hh),
    DataFormat("pairs", "paired", ("prompt", "chosen", "rejected"), read_pair),
    DataFormat("ranked", "ranked", ("prompt", "completions", "scores"), read_ranked),
    DataFormat("labels", "labelled", ("prompt", "completion", "label"), read_label),
    DataFormat("demonstrations", "demonstrations", ("prompt", "completion"), read_demonstration),
)
"""In the order they are tried: the first whose columns are there and that fits."""
