"""TRL's types that core does not read: preference with an implicit prompt, language modeling.

Source: TRL, "Dataset formats and types" (huggingface.co/docs/trl/dataset_formats); the cut of implicit prompts is that of
`trl.extract_prompt`. Explicit prompts, prompt-completion and unpaired preference are core's pairs, demonstrations and labels.
"""

from __future__ import annotations

from halo.plugin import DEMONSTRATIONS, PAIRED, DataFormat, Example, Place, Row, RowLeftOut, is_messages
from halo_formats.turns import (
    ANSWERS,
    PROMPTS,
    answering,
    common_turns,
    conversation_of,
    demonstrated,
    demonstration,
    holds_no_other,
    pair,
    plain_of,
)

PAIR = ("chosen", "rejected")


def is_implicit(row: Row) -> bool:
    """Two texts that are no HH transcripts, or two conversations (an answer alone has its prompt elsewhere)."""
    if PROMPTS & row.keys():
        return False
    if all(isinstance(row[side], str) for side in PAIR):
        return not all(row[side].startswith("\n\nHuman:") for side in PAIR)
    return all(is_messages(row[side]) and row[side][0]["role"] != "assistant" for side in PAIR)


def read_implicit(row: Row, place: Place) -> Example:
    """The prompt is what both sides begin with: whole turns of conversations, characters of texts.

    Raises RowLeftOut where they begin differently or one side has no answer of its own.
    """
    if all(isinstance(row[side], str) for side in PAIR):
        cut = common_characters(row["chosen"], row["rejected"])
        prompt, chosen, rejected = row["chosen"][:cut], row["chosen"][cut:], row["rejected"][cut:]
        if not chosen or not rejected:
            raise RowLeftOut("data-row", "one of chosen and rejected is the beginning of the other", place=place)
        if not prompt.strip():
            raise RowLeftOut("data-row", "chosen and rejected do not begin alike: the prompt is empty", place=place)
        return pair(row, PAIR, prompt, chosen, rejected, place)
    one, other = (conversation_of(row, side, place) for side in PAIR)
    cut = common_turns(one, other)
    if not cut:
        raise RowLeftOut("data-row", "chosen and rejected have no turn of the user in common: the prompt is empty", place=place)
    return pair(row, PAIR, one[:cut], answering(one[cut:], "chosen", place), answering(other[cut:], "rejected", place), place)


def common_characters(chosen: str, rejected: str) -> int:
    """How many characters two texts begin with; a space before the first difference belongs to the completions.

    As TRL's, but for a text that is the beginning of the other: TRL cuts before its last character.
    """
    shorter = min(len(chosen), len(rejected))
    cut = next((i for i in range(shorter) if chosen[i] != rejected[i]), shorter)
    return cut - 1 if cut < shorter and chosen[:cut].endswith(" ") else cut


def read_text(row: Row, place: Place) -> Example:
    """A plain text: the completion of the empty prompt."""
    return demonstration(row, ("text",), "", plain_of(row, "text", place), place)


def read_messages(row: Row, place: Place) -> Example:
    """The prompt is what stands before the first turn of the assistant; tool and user turns after it are kept."""
    prompt, completion = demonstrated(conversation_of(row, "messages", place), "messages", place)
    return demonstration(row, ("messages", "prompt"), prompt, completion, place)


FORMATS = (
    DataFormat("implicit-prompt", PAIRED, PAIR, read_implicit, is_implicit),
    DataFormat("text", DEMONSTRATIONS, ("text",), read_text, lambda row: isinstance(row["text"], str) and holds_no_other(row)),
    DataFormat(
        # HuggingFaceH4/ultrachat_200k repeats the first turn in a column `prompt`
        "messages", DEMONSTRATIONS, ("messages",), read_messages,
        lambda row: is_messages(row["messages"]) and not (ANSWERS | {"conversations"}) & row.keys(),
    ),
)  # fmt: skip
