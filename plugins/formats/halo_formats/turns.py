"""What the formats share: conversations cut into a prompt and what answers it, and the examples made of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from halo.plugin import (
    DEMONSTRATIONS,
    LABELLED,
    PAIRED,
    DataError,
    Example,
    Message,
    Place,
    Row,
    RowLeftOut,
    Text,
    extras,
    text_of,
    tools_of,
)

Turns = tuple[Message, ...]

PROMPTS = frozenset({"prompt", "instruction", "input", "question", "query", "system", "history", "context", "messages", "conversations"})
ANSWERS = frozenset(
    {"completion", "completions", "chosen", "rejected", "response", "responses", "answer", "answers", "output", "output_1", "output_2"}
    | {"rejected_response", "rejected_messages", "preferred_output", "non_preferred_output"}
)
"""Columns that hold a prompt or an answer in some published set. A format that lacks one of them in its `columns` may not
take a row that has it: it would silently read half of what the row says."""

TURN = re.compile(r"\n\n(Human|Assistant):")


def holds_no_other(row: Row, *own: str) -> bool:
    """Whether the row has no column for prompts or answers but a format's own."""
    return not (PROMPTS | ANSWERS).difference(own) & row.keys()


def plain_of(row: Row, column: str, place: Place, hint: str = "a text") -> str:
    """A plain text. Raises DataError for anything else."""
    value = row[column]
    if not isinstance(value, str):
        raise DataError("data-row", f"{column} is {'null' if value is None else type(value).__name__}", place=place, hint=hint)
    return value


def conversation_of(row: Row, column: str, place: Place) -> Turns:
    """A list of chat messages. Raises DataError for anything else, a plain text too."""
    turns = text_of(row, column, place)
    if isinstance(turns, str):
        raise DataError("data-row", f"{column} is a text", place=place, hint="a list of {role, content} messages")
    return turns


def after_system(turns: Turns, row: Row) -> Turns:
    """The turns, behind the system prompt of the column `system` where they have none of their own."""
    system = row.get("system")
    if not isinstance(system, str) or not system.strip() or (turns and turns[0]["role"] == "system"):
        return turns
    return ({"role": "system", "content": system}, *turns)


def demonstrated(turns: Turns, column: str, place: Place) -> tuple[Turns, Turns]:
    """The turns before the first of the assistant, and from it on. A greeting that opens the conversation is prompt.

    Raises RowLeftOut where the assistant answers nothing or has not the last word.
    """
    first = next((i for i in range(1, len(turns)) if turns[i]["role"] == "assistant"), len(turns))
    return turns[:first], answering(turns[first:], column, place)


def last_reply(turns: Turns, column: str, place: Place) -> tuple[Turns, Turns]:
    """The turns up to the last that is not the assistant's, and the reply to it. Raises RowLeftOut where there is none."""
    cut = 1 + max((i for i, turn in enumerate(turns) if turn["role"] != "assistant"), default=-1)
    if not cut:
        raise RowLeftOut("data-row", f"{column} begins with the assistant's reply: the prompt is empty", place=place)
    return turns[:cut], answering(turns[cut:], column, place)


def answering(turns: Turns, column: str, place: Place) -> Turns:
    """The turns, if they begin and end with the assistant. Raises RowLeftOut otherwise."""
    if not turns:
        raise RowLeftOut("data-row", f"{column} has no turn of the assistant after the prompt", place=place)
    for turn, does in ((turns[0], "begins after the prompt"), (turns[-1], "ends")):
        if turn["role"] != "assistant":
            raise RowLeftOut("data-row", f"{column} {does} with a turn of the {turn['role']}, not of the assistant", place=place)
    return turns


def asking(turns: Turns, column: str, place: Place) -> Turns:
    """The turns, if there is something to answer. Raises RowLeftOut where the assistant has had the last word."""
    if turns[-1]["role"] == "assistant":
        raise RowLeftOut("data-row", f"{column} ends with a turn of the assistant: there is nothing to answer", place=place)
    return turns


def common_turns(chosen: Turns, rejected: Turns) -> int:
    """How many turns both conversations begin with, up to and including the last of them that asks (user, tool)."""
    pairs = enumerate(zip(chosen, rejected, strict=False))
    common = next((i for i, (one, other) in pairs if one != other), min(len(chosen), len(rejected)))
    return max((i + 1 for i in range(common) if chosen[i]["role"] not in ("assistant", "system", "developer")), default=0)


def transcript_of(row: Row, column: str, place: Place) -> Turns:
    """A text of Human and Assistant turns as messages, without the empty turn that waits for the answer.

    Raises RowLeftOut where nothing of the Human is left at its end.
    """
    parts = TURN.split(str(row[column]))[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()
    if not turns or turns[-1]["role"] != "user" or not turns[-1]["content"]:
        raise RowLeftOut("data-row", f"{column} does not end with a Human turn", place=place)
    return tuple(turns)


def flag_of(row: Row, column: str, place: Place) -> bool:
    """A label. Raises DataError for what is not true or false."""
    value = row[column]
    if not isinstance(value, bool):
        hint = "true for desirable, false for undesirable"
        raise DataError("data-row", f"{column} is {'null' if value is None else repr(value)}", place=place, hint=hint)
    return value


def numbers_of(values: Sequence[Any], column: str, place: Place) -> list[float]:
    """Finite numbers. Raises DataError."""
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) <= sys.float_info.max for v in values):
        raise DataError("data-row", f"{column} {list(values)} are not all finite numbers", place=place)
    return list(values)


def offered_tools(row: Row, place: Place) -> tuple[Mapping[str, Any], ...]:
    """The column `tools`; an empty text, as LLaMA-Factory's sets have it, offers none. Raises DataError."""
    tools = row.get("tools")
    if isinstance(tools, str) and not tools.strip():
        return ()
    return tools_of(row, place)


def of_both(columns: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """What goes with the chosen and with the rejected completion, named chosen_score or score_chosen."""
    return _of_side(columns, "chosen"), _of_side(columns, "rejected")


def _of_side(columns: Mapping[str, Any], side: str) -> dict[str, Any]:
    before, behind = f"{side}_", f"_{side}"
    own = {name: value for name, value in columns.items() if name.startswith(before) or name.endswith(behind)}
    return {name.removeprefix(before).removesuffix(behind): value for name, value in own.items()}


def pair(row: Row, used: tuple[str, ...], prompt: Text, chosen: Text, rejected: Text, place: Place) -> Example:
    """A pair, with what the row holds beside the columns `used`."""
    more = extras(row, used)
    own = of_both(more["columns"])
    more["columns"] = gap_of(own) | more["columns"]
    return Example(PAIRED, prompt, (chosen, rejected), place, own=own, tools=offered_tools(row, place), **more)


def gap_of(own: tuple[Mapping[str, Any], ...]) -> dict[str, float]:
    """The column `score_gap` of a pair whose completions have scores: the objectives with margins read it."""
    chosen, rejected = (side.get("score") for side in own)
    if not isinstance(chosen, int | float) or not isinstance(rejected, int | float):
        return {}
    return {"score_gap": chosen - rejected}


def label(row: Row, used: tuple[str, ...], prompt: Text, completion: Text, desirable: bool, place: Place) -> Example:
    """A labelled completion, with what the row holds beside the columns `used`."""
    more, tools = extras(row, used), offered_tools(row, place)
    return Example(LABELLED, prompt, (completion,), place, desirable=desirable, own=(more["columns"],), tools=tools, **more)


def demonstration(row: Row, used: tuple[str, ...], prompt: Text, completion: Text, place: Place) -> Example:
    """A demonstration, with what the row holds beside the columns `used`."""
    more = extras(row, used)
    return Example(DEMONSTRATIONS, prompt, (completion,), place, own=(more["columns"],), tools=offered_tools(row, place), **more)
