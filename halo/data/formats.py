"""Core's formats: pairs, labels, ranked lists, demonstrations (strings or messages), and HH transcripts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from halo.data.examples import Example, Message, Text
from halo.data.ids.columns import Ids, ids_of, ids_of_list, is_of_ids
from halo.data.interface import DataFormat, Row
from halo.errors import DataError, Place, RowLeftOut
from halo.objective.feedback import DEMONSTRATIONS, LABELLED, PAIRED, RANKED

HH_TURN = re.compile(r"\n\n(Human|Assistant):")


def text_of(row: Row, column: str, place: Place) -> Text:
    """A string, or a list of messages with role and content. Raises DataError for anything else."""
    value = row[column]
    if isinstance(value, str):
        return value
    if is_messages(value):
        return tuple(_message(turn) for turn in value)
    shown = "null" if value is None else type(value).__name__
    raise DataError("data-row", f"{column} is {shown}", place=place, hint="a text or a list of {role, content} messages")


def is_messages(value: Any) -> bool:
    """Whether this is a list of chat messages; a turn that only calls tools may have no content."""
    return isinstance(value, list) and bool(value) and all(map(_is_message, value))


def _is_message(turn: Any) -> bool:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
        return False
    return _is_content(turn.get("content")) or bool(turn.get("tool_calls"))


def _is_content(value: Any) -> bool:
    """A text, or a list of parts, each of a type."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in value)
    return isinstance(value, str)


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What the turn holds, without the nulls that a table puts where a turn lacks what another has."""
    held = {"content": ""} | _without_nulls(turn)
    if isinstance(held["content"], list):
        held["content"] = tuple(map(_without_nulls, held["content"]))
    return held


def _without_nulls(held: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in held.items() if value is not None}


def prompt_of(row: Row, place: Place) -> Text:
    """The prompt. Raises RowLeftOut for an empty one."""
    prompt = text_of(row, "prompt", place)
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise RowLeftOut("data-row", "the prompt is empty", place=place)
    return prompt


def answer_of(row: Row, column: str, prompt: Text, place: Place) -> Text:
    """A completion: what follows the prompt, also where the column holds the whole conversation. Raises DataError."""
    text = text_of(row, column, place)
    if isinstance(text, str):
        return text
    whole = (*messages_of(prompt, "user"),)
    rest = text
    if [_spoken(message) for message in text[: len(whole)]] == [_spoken(message) for message in whole]:
        rest = text[len(whole) :]
    if not rest or rest[0]["role"] != "assistant":
        what = next((f"a turn of the {message['role']}" for message in rest), "nothing")
        hint = "a completion begins with a turn of the assistant; before it there may be the prompt again, turn by turn"
        raise DataError("data-row", f"{column} has {what} after the prompt", place=place, hint=hint)
    return rest


def messages_of(text: Text, role: str) -> tuple[Message, ...]:
    """The text as messages; a plain text is one turn of that role."""
    if isinstance(text, str):
        return ({"role": role, "content": text},)
    return text


def _spoken(message: Message) -> tuple[str, str]:
    """Who said what; of parts, all that they hold."""
    content = message["content"]
    if isinstance(content, str):
        return message["role"], content.strip()
    return message["role"], str(content)


def tools_of(row: Row, place: Place) -> tuple[Mapping[str, Any], ...]:
    """The column `tools`: JSON schemas, as objects or as one JSON text. Raises DataError."""
    value = row.get("tools")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise DataError("data-row", "tools is a text and no JSON", place=place, hint="a list of JSON schemas") from None
    if value is None or value == []:
        return ()
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) for tool in value):
        raise DataError("data-row", f"tools is a {type(value).__name__}", place=place, hint="a list of JSON schemas")
    return tuple(value)


def extras(row: Row, used: tuple[str, ...], ids: Ids | None = None) -> dict[str, Any]:
    """What else a row holds: texts and numbers, for objectives that ask for them. Whether a number will do is asked then."""
    others = {key: value for key, value in row.items() if key not in (*used, "tools") and not (ids and is_of_ids(key))}
    return {"texts": {k: v for k, v in others.items() if isinstance(v, str)}, "columns": {k: v for k, v in others.items() if _numeric(v)}}


def _numeric(value: Any) -> bool:
    """A number, or a list that begins like one of numbers (of lists of numbers)."""
    return isinstance(value, int | float) or (isinstance(value, list) and (not value or value[0] is None or _numeric(value[0])))


def read_pair(row: Row, place: Place) -> Example:
    prompt = prompt_of(row, place)
    completions = (answer_of(row, "chosen", prompt, place), answer_of(row, "rejected", prompt, place))
    ids = ids_of(row, ("chosen", "rejected"), place)
    more = extras(row, ("prompt", "chosen", "rejected"), ids)
    return Example(PAIRED, prompt, completions, place, own=of_sides(more["columns"]), tools=tools_of(row, place), ids=ids, **more)


def of_sides(columns: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """What goes with the chosen and with the rejected completion: chosen_margin is the chosen one's margin."""
    return tuple({k.removeprefix(side): v for k, v in columns.items() if k.startswith(side)} for side in ("chosen_", "rejected_"))


def of_one(columns: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """What goes with the only completion: margin, or completion_margin."""
    return ({key.removeprefix("completion_"): value for key, value in columns.items()},)


def read_label(row: Row, place: Place) -> Example:
    label = row["label"]
    if not isinstance(label, bool):
        hint = "true for desirable, false for undesirable"
        raise DataError("data-row", f"label is {'null' if label is None else repr(label)}", place=place, hint=hint)
    prompt = prompt_of(row, place)
    completion = answer_of(row, "completion", prompt, place)
    ids = ids_of(row, ("completion",), place)
    more = extras(row, ("prompt", "completion", "label"), ids)
    own, tools = of_one(more["columns"]), tools_of(row, place)
    return Example(LABELLED, prompt, (completion,), place, desirable=label, own=own, tools=tools, ids=ids, **more)


def read_ranked(row: Row, place: Place) -> Example:
    """Scores become ranks: the highest is 1, equal scores share a rank. The order of the row is kept."""
    completions, scores = row["completions"], row["scores"]
    if not isinstance(completions, list) or not isinstance(scores, list) or len(completions) != len(scores) or len(scores) < 2:
        raise DataError("data-row", "completions and scores must be lists of one length, at least 2", place=place)
    if any(isinstance(s, bool) or not isinstance(s, (int, float)) or not abs(s) <= sys.float_info.max for s in scores):
        raise DataError("data-row", f"scores {scores} are not all finite numbers", place=place)
    prompt = prompt_of(row, place)
    texts = tuple(answer_of({"completions": one}, "completions", prompt, place) for one in completions)
    ranks = tuple(1 + sum(other > score for other in scores) for score in scores)
    ids = ids_of_list(row, len(texts), place)
    more = extras(row, ("prompt", "completions", "scores"), ids)
    lists = {k: v for k, v in more["columns"].items() if isinstance(v, list) and len(v) == len(texts)}
    own = tuple({k: v[i] for k, v in lists.items()} | {"score": score} for i, score in enumerate(scores))
    return Example(RANKED, prompt, texts, place, ranks=ranks, own=own, tools=tools_of(row, place), ids=ids, **more)


def read_demonstration(row: Row, place: Place) -> Example:
    prompt = prompt_of(row, place)
    completion = answer_of(row, "completion", prompt, place)
    ids = ids_of(row, ("completion",), place)
    more = extras(row, ("prompt", "completion"), ids)
    return Example(DEMONSTRATIONS, prompt, (completion,), place, own=of_one(more["columns"]), tools=tools_of(row, place), ids=ids, **more)


def is_hh(row: Row) -> bool:
    return all(isinstance(row[c], str) and row[c].startswith("\n\nHuman:") for c in ("chosen", "rejected"))


def read_hh(row: Row, place: Place) -> Example:
    """Two transcripts with a common beginning: the last assistant turn of each is the completion."""
    (prompt, chosen), (other, rejected) = (_last_turn(row, column, place) for column in ("chosen", "rejected"))
    if prompt != other:
        raise RowLeftOut("data-row", "the transcripts differ before their last turn", place=place)
    more = extras(row, ("chosen", "rejected"))
    return Example(PAIRED, prompt, (chosen, rejected), place, own=of_sides(more["columns"]), **more)


def _last_turn(row: Row, column: str, place: Place) -> tuple[Text, str]:
    transcript = text_of(row, column, place)
    if not isinstance(transcript, str):
        raise DataError("data-row", f"{column} is a list of messages", place=place, hint="a transcript of Human and Assistant turns")
    parts = HH_TURN.split(transcript)[1:]
    roles = [{"Human": "user", "Assistant": "assistant"}[name] for name in parts[::2]]
    contents = [content.strip() for content in parts[1::2]]
    if len(roles) < 2 or roles[-1] != "assistant":
        raise RowLeftOut("data-row", "the transcript does not end with an Assistant turn", place=place)
    messages = tuple({"role": r, "content": c} for r, c in zip(roles[:-1], contents[:-1], strict=True))
    return messages, contents[-1]


FORMATS = (
    DataFormat("hh", PAIRED, ("chosen", "rejected"), read_hh, is_hh),
    DataFormat("pairs", PAIRED, ("prompt", "chosen", "rejected"), read_pair),
    DataFormat("ranked", RANKED, ("prompt", "completions", "scores"), read_ranked),
    DataFormat("labels", LABELLED, ("prompt", "completion", "label"), read_label),
    DataFormat("demonstrations", DEMONSTRATIONS, ("prompt", "completion"), read_demonstration),
)
"""What a main job needs; more come from plugins."""
