"""Pairs and labels over chat messages: OpenAI's preference fine-tuning, ms-swift's standard format, LLaMA-Factory's openai form.

Sources: OpenAI, "Direct preference optimization" (developers.openai.com/api/docs/guides/direct-preference-optimization);
ms-swift, "Custom dataset" (docs/source_en/Customization/Custom-dataset.md) and `RowPreprocessor`; LLaMA-Factory,
data/README.md, "OpenAI Format" with `ranking`.
"""

from __future__ import annotations

from collections.abc import Mapping

from halo.plugin import LABELLED, PAIRED, DataError, DataFormat, Example, Place, Row, RowLeftOut, is_messages
from halo_formats.turns import answering, asking, common_turns, conversation_of, flag_of, label, last_reply, pair, plain_of

PREFERENCE = ("input", "preferred_output", "non_preferred_output")
MESSAGES_PAIR = ("messages", "chosen", "rejected")


def is_preference(row: Row) -> bool:
    return isinstance(row["input"], Mapping) and is_messages(row["input"].get("messages"))


def read_preference(row: Row, place: Place) -> Example:
    """The prompt and the tools stand in `input`; both outputs are lists of messages, of the assistant alone."""
    if not isinstance(row["input"], Mapping) or "messages" not in row["input"]:
        raise DataError("data-row", "input holds no messages", place=place, hint='input: {"messages": [...], "tools": [...]}')
    prompt = asking(conversation_of({"input.messages": row["input"]["messages"]}, "input.messages", place), "input.messages", place)
    chosen, rejected = (answering(conversation_of(row, side, place), side, place) for side in PREFERENCE[1:])
    return pair({**row, "tools": row["input"].get("tools")}, PREFERENCE, prompt, chosen, rejected, place)


def read_rejected_response(row: Row, place: Place) -> Example:
    """The last turn of `messages` is chosen; the text `rejected_response` stands for it in the rejected conversation."""
    turns = conversation_of(row, "messages", place)
    reply = plain_of(row, "rejected_response", place, "a text; whole conversations stand in rejected_messages")
    if len(turns) < 2:
        raise RowLeftOut("data-row", "messages has no turn before the last: the prompt is empty", place=place)
    chosen, rejected = answering(turns[-1:], "messages", place), ({"role": "assistant", "content": reply},)
    return pair(row, ("messages", "rejected_response"), turns[:-1], chosen, rejected, place)


def read_rejected_messages(row: Row, place: Place) -> Example:
    """Two whole conversations; the prompt is what they begin with, as in TRL's implicit prompts."""
    used = ("messages", "rejected_messages")
    one, other = (conversation_of(row, column, place) for column in used)
    cut = common_turns(one, other)
    if not cut:
        raise RowLeftOut("data-row", "messages and rejected_messages have no turn of the user in common", place=place)
    return pair(row, used, one[:cut], answering(one[cut:], used[0], place), answering(other[cut:], used[1], place), place)


def read_messages_label(row: Row, place: Place) -> Example:
    """`label` is of the last reply."""
    desirable = flag_of(row, "label", place)
    prompt, completion = last_reply(conversation_of(row, "messages", place), "messages", place)
    return label(row, ("messages", "label"), prompt, completion, desirable, place)


def read_messages_pair(row: Row, place: Place) -> Example:
    """`messages` is the prompt, chosen and rejected are one turn each."""
    prompt = asking(conversation_of(row, "messages", place), "messages", place)
    chosen, rejected = (answering(conversation_of({side: [row[side]]}, side, place), side, place) for side in MESSAGES_PAIR[1:])
    return pair(row, MESSAGES_PAIR, prompt, chosen, rejected, place)


def _has_single_turns(row: Row) -> bool:
    return all(isinstance(row[side], Mapping) for side in MESSAGES_PAIR[1:])


FORMATS = (
    DataFormat("openai-preference", PAIRED, PREFERENCE, read_preference, is_preference),
    DataFormat(
        "rejected-response", PAIRED, ("messages", "rejected_response"), read_rejected_response, lambda row: is_messages(row["messages"])
    ),
    DataFormat(
        "rejected-messages", PAIRED, ("messages", "rejected_messages"), read_rejected_messages, lambda row: is_messages(row["messages"])
    ),
    DataFormat("messages-labels", LABELLED, ("messages", "label"), read_messages_label, lambda row: is_messages(row["messages"])),
    DataFormat("messages-pairs", PAIRED, MESSAGES_PAIR, read_messages_pair, _has_single_turns),
)
