"""Alpaca's rows of instruction and input: demonstrations, LLaMA-Factory's pairs and labels over them.

Source: LLaMA-Factory, data/README.md, "Alpaca Format": the prompt is instruction, newline, input; `system` and `history`, a list
of [prompt, response], stand before it. tatsu-lab/alpaca and AlpacaEval's model outputs are of this form too.
"""

from __future__ import annotations

from halo.plugin import DEMONSTRATIONS, LABELLED, PAIRED, DataError, DataFormat, Example, Message, Place, Row, RowLeftOut, Text
from halo_formats.turns import after_system, demonstration, flag_of, holds_no_other, label, pair, plain_of

PROMPT = ("instruction", "input", "system", "history")


def prompt_of(row: Row, place: Place) -> Text:
    """A plain text, or messages where there is a system prompt or a history.

    Raises DataError for another type, RowLeftOut for an empty prompt.
    """
    parts = [plain_of(row, column, place) for column in PROMPT[:2] if column == "instruction" or row.get(column) is not None]
    asked = "\n".join(part for part in parts if part)
    if not asked.strip():
        raise RowLeftOut("data-row", "the prompt is empty", place=place)
    turns = after_system((*_history(row, place), {"role": "user", "content": asked}), row)
    return turns if len(turns) > 1 else asked


def _history(row: Row, place: Place) -> tuple[Message, ...]:
    rounds = row.get("history") or []
    if not isinstance(rounds, list) or not all(isinstance(r, list) and len(r) == 2 and all(isinstance(t, str) for t in r) for r in rounds):
        raise DataError("data-row", "history is no list of rounds", place=place, hint="each round is [prompt, response]")
    return tuple({"role": role, "content": text} for r in rounds for role, text in zip(("user", "assistant"), r, strict=True))


def read_demonstration(row: Row, place: Place) -> Example:
    return demonstration(row, (*PROMPT, "output"), prompt_of(row, place), plain_of(row, "output", place), place)


def read_pair(row: Row, place: Place) -> Example:
    chosen, rejected = (plain_of(row, side, place) for side in ("chosen", "rejected"))
    return pair(row, (*PROMPT, "chosen", "rejected"), prompt_of(row, place), chosen, rejected, place)


def read_label(row: Row, place: Place) -> Example:
    desirable = flag_of(row, "kto_tag", place)
    return label(row, (*PROMPT, "output", "kto_tag"), prompt_of(row, place), plain_of(row, "output", place), desirable, place)


def _fits_one(row: Row) -> bool:
    return all(isinstance(row[c], str) for c in ("instruction", "output")) and holds_no_other(row, *PROMPT, "output")


def _fits_pair(row: Row) -> bool:
    texts = all(isinstance(row[column], str) for column in ("instruction", "chosen", "rejected"))
    return texts and holds_no_other(row, *PROMPT, "chosen", "rejected")


FORMATS = (
    DataFormat("alpaca", DEMONSTRATIONS, ("instruction", "output"), read_demonstration, _fits_one),
    DataFormat("alpaca-pairs", PAIRED, ("instruction", "chosen", "rejected"), read_pair, _fits_pair),
    DataFormat("alpaca-labels", LABELLED, ("instruction", "output", "kto_tag"), read_label, _fits_one),
)
