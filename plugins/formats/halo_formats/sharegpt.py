"""ShareGPT's conversations of {from, value}: demonstrations, LLaMA-Factory's pairs and labels over them.

Source: LLaMA-Factory, data/README.md, "Sharegpt Format" (roles human, gpt, system, function_call, observation; columns system
and tools). The other names of roles are those that axolotl and ms-swift read beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from halo.plugin import DEMONSTRATIONS, LABELLED, PAIRED, DataError, DataFormat, Example, Message, Place, Row, nearest
from halo_formats.turns import (
    Turns,
    after_system,
    answering,
    asking,
    demonstrated,
    demonstration,
    flag_of,
    holds_no_other,
    label,
    last_reply,
    pair,
)

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
    "function_call": "call", "tool_call": "call", "observation": "tool", "tool_response": "tool", "tool": "tool",
}  # fmt: skip


def is_sharegpt(value: Any) -> bool:
    """Whether this is a list of {from, value} turns, whoever speaks."""
    return isinstance(value, list) and bool(value) and all(map(_is_turn, value))


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, Mapping) and "from" in turn and "value" in turn


def turns_of(row: Row, place: Place) -> Turns:
    """The conversation as messages, behind the row's system prompt. Raises DataError."""
    turns = row["conversations"]
    if not is_sharegpt(turns):
        raise DataError("data-row", "conversations is no list of turns", place=place, hint='turns are {"from": "human", "value": "..."}')
    return after_system(tuple(message_of(turn, f"turn {i} of conversations", place) for i, turn in enumerate(turns, 1)), row)


def message_of(turn: Any, name: str, place: Place) -> Message:
    """One turn as a message; a function_call is a turn of the assistant with `tool_calls`. Raises DataError."""
    if not is_sharegpt([turn]) or not isinstance(turn["value"], str):
        raise DataError("data-row", f"{name} is no turn with a text", place=place, hint='turns are {"from": "human", "value": "..."}')
    role = ROLES.get(str(turn["from"]))
    if role is None:
        message = f"{name} is from {turn['from']!r}, an unknown role"
        raise DataError("data-row", message, place=place, hint=nearest(str(turn["from"]), ROLES))
    if role != "call":
        return {"role": role, "content": turn["value"]}
    try:
        calls = json.loads(turn["value"])
    except ValueError:
        calls = None
    if not isinstance(calls, list):
        calls = [calls]
    if not calls or not all(isinstance(call, Mapping) and "name" in call for call in calls):
        hint = 'JSON of the form {"name": ..., "arguments": {...}}, or a list'
        raise DataError("data-row", f"{name} is no function call", place=place, hint=hint)
    functions = [{"name": call["name"], "arguments": call.get("arguments", {})} for call in calls]
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function} for function in functions]}


def read_demonstration(row: Row, place: Place) -> Example:
    prompt, completion = demonstrated(turns_of(row, place), "conversations", place)
    return demonstration(row, ("conversations", "system"), prompt, completion, place)


def read_pair(row: Row, place: Place) -> Example:
    """The conversation is the prompt, chosen and rejected are one turn each."""
    prompt = asking(turns_of(row, place), "conversations", place)
    chosen, rejected = (answering((message_of(row[side], side, place),), side, place) for side in ("chosen", "rejected"))
    return pair(row, ("conversations", "system", "chosen", "rejected"), prompt, chosen, rejected, place)


def read_label(row: Row, place: Place) -> Example:
    """`kto_tag` is of the last reply."""
    desirable = flag_of(row, "kto_tag", place)
    prompt, completion = last_reply(turns_of(row, place), "conversations", place)
    return label(row, ("conversations", "system", "kto_tag"), prompt, completion, desirable, place)


def _fits_alone(row: Row) -> bool:
    return is_sharegpt(row["conversations"]) and holds_no_other(row, "conversations", "system")


def _fits_pair(row: Row) -> bool:
    sides = (row["chosen"], row["rejected"])
    return is_sharegpt(row["conversations"]) and all(isinstance(side, Mapping) and "from" in side for side in sides)


FORMATS = (
    DataFormat("sharegpt", DEMONSTRATIONS, ("conversations",), read_demonstration, _fits_alone),
    DataFormat("sharegpt-pairs", PAIRED, ("conversations", "chosen", "rejected"), read_pair, _fits_pair),
    DataFormat("sharegpt-labels", LABELLED, ("conversations", "kto_tag"), read_label, _fits_alone),
)
