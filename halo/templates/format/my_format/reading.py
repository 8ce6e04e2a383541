"""Rows such as {"question": "2 + 2 =", "good": " 4", "bad": " 5"} become pairs."""

from __future__ import annotations

from halo.plugin import PAIRED, Example, Place, Row, RowLeftOut, answer_of, extras, text_of

COLUMNS = ("question", "good", "bad")


def read(row: Row, place: Place) -> Example:
    """One row as an example. Raises DataError at the row's place for a row built wrongly, RowLeftOut for one with nothing to learn."""
    question = text_of(row, "question", place)  # a text or a list of messages; anything else is refused
    if not question or (isinstance(question, str) and not question.strip()):
        raise RowLeftOut("data-row", "the question is empty", place=place)
    completions = tuple(answer_of(row, column, question, place) for column in ("good", "bad"))  # the chosen one first
    return Example(PAIRED, question, completions, place, **extras(row, COLUMNS))  # extras: further texts and numbers of the row
