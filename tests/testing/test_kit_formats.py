"""The kit on formats: core's pass, planted mistakes are caught with a message that says which."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from refusals import refused

from halo.data.formats import FORMATS
from halo.plugin import DataError, DataFormat, Example, Place, PluginError, Row, extras, text_of
from halo.testing import check_format
from halo.testing.samples import SAMPLES

ROWS = [
    {"question": "2 + 2 =", "good": " 4", "bad": " 5", "note": "easy"},
    {"question": "1 + 1 =", "good": " 2", "bad": " 3", "note": "easy"},
]


def read(row: Row, place: Place) -> Example:
    """A sound reader, which the planted ones differ from in one thing."""
    question, good, bad = (text_of(row, column, place) for column in ("question", "good", "bad"))
    if not question:
        raise DataError("data-row", "the question is empty", place=place)
    return Example("paired", question, (good, bad), place, **extras(row, ("question", "good", "bad")))


SOUND = DataFormat("sound", "paired", ("question", "good", "bad"), read)


def reading(change: Any) -> DataFormat:
    return replace(SOUND, read=lambda row, place: change(row, place, read(row, place)))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_cores_formats_pass(form: DataFormat) -> None:
    check_format(form, SAMPLES[form.name])


def test_a_sound_format_passes() -> None:
    check_format(SOUND, ROWS)


def careless(row: Row, place: Place) -> Example:
    return Example("paired", row["question"], (row["good"], row["bad"]), place)


def as_text(row: Row, place: Place) -> Example:
    return Example("paired", str(row["question"]), (str(row["good"]), str(row["bad"])), place)


def noted(row: Row, place: Place) -> Example:
    return replace(read(row, place), texts={"note": row["note"].strip()})


def popping(row: Any, place: Place) -> Example:
    row.pop("note", None)
    return read(row, place)


def elsewhere(row: Row, place: Place) -> Example:
    return read(row, Place("somewhere"))


def shy(row: Row) -> bool:
    return bool(row["question"].endswith("="))


WRONG = {
    "values as they come": (replace(SOUND, read=careless), ROWS, "a row with null in question was read as Example(kind='paired', prompt=None"),
    "everything made a text": (replace(SOUND, read=as_text), ROWS, "a row with null in question was read as"),
    "a column that it does not name": (replace(SOUND, read=noted), ROWS, "`read` raised AttributeError"),
    "fits that cannot look": (replace(SOUND, fits=shy), ROWS, "`fits` raised AttributeError"),
    "fits nothing": (replace(SOUND, fits=lambda row: False), ROWS, "fits says False of sample row 1"),
    "a row that is changed": (replace(SOUND, read=popping), ROWS, "reading changed the row sample:1"),
    "another place": (replace(SOUND, read=elsewhere), ROWS, "pass on the `place` that `read` is given"),
    "another kind": (reading(lambda row, place, e: replace(e, kind="ranked", ranks=(1, 2))), ROWS, "has the kind 'ranked', and the format says 'paired'"),
    "one completion": (reading(lambda row, place, e: e.picked(0)), ROWS, "paired examples have a tuple of 2"),
    "completions in a list": (reading(lambda row, place, e: replace(e, completions=list(e.completions))), ROWS, "completions [' 4', ' 5']; paired"),
    "texts in a list": (reading(lambda row, place, e: replace(e, texts=["gold"])), ROWS, "texts ['gold']; a mapping"),
    "a label on a pair": (reading(lambda row, place, e: replace(e, desirable=True)), ROWS, "desirable=True"),
    "ranks on a pair": (reading(lambda row, place, e: replace(e, ranks=(1, 2))), ROWS, "ranks (1, 2); only ranked examples"),
    "numbers of one completion": (reading(lambda row, place, e: replace(e, own=({"score": 1.0},))), ROWS, "1 entries in own and 2 completions"),
    "a list as a text": (reading(lambda row, place, e: replace(e, prompt=["2 + 2"])), ROWS, "as prompt ['2 + 2']"),
    "no example": (reading(lambda row, place, e: vars(e)), ROWS, "the type dict; `read` returns an Example"),
    "core's rows": (replace(SOUND, columns=("prompt", "chosen", "rejected")), SAMPLES["pairs"], "fit several formats"),
    "core's rows taken": (replace(SOUND, columns=("prompt", "completion", "label")), ROWS, "sample row 1 lacks its column prompt"),
    "columns as a text": (replace(SOUND, columns="question"), ROWS, "a tuple of names"),
    "a kind that no row has": (replace(SOUND, kind="scored"), ROWS, "its kind is 'scored'; it would be one of demonstrations, labelled, paired, ranked"),
    "too few rows": (SOUND, ROWS[:1], "two or more sample rows"),
    "identical pairs": (SOUND, [ROWS[0], {**ROWS[1], "bad": " 2"}], "of 2 sample rows 1 are trained on"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str) -> None:
    form, rows, said = WRONG[case]
    rows = copy.deepcopy(rows)  # one of the planted readers changes them
    with pytest.raises(AssertionError) as caught:
        check_format(form, rows)
    assert said in str(caught.value)
    assert form.name in str(caught.value)


def test_a_refusal_without_a_place_is_caught() -> None:
    def nowhere(row: Row, place: Place) -> Example:
        try:
            return read(row, place)
        except DataError as problem:
            raise DataError("data-row", problem.message) from None

    with pytest.raises(AssertionError, match="is refused at None, not at its place sample:1"):
        check_format(replace(SOUND, read=nowhere), ROWS)


def test_a_row_of_cores_that_is_taken() -> None:
    """Three columns of four, all of which core's labels have too, and a row that has all of them."""
    rows = [{"prompt": "2 + 2", "completion": "4", "label": True, "judge": "a"}] * 2
    wide = replace(SOUND, kind="labelled", columns=("prompt", "completion", "label"), read=lambda row, place: FORMATS[3].read(row, place))
    with pytest.raises(AssertionError, match=r"is not taken for it: .* fit several formats: labels, sound"):
        check_format(wide, rows)
    greedy = replace(wide, columns=("label",), fits=lambda row: "prompt" in row)
    with pytest.raises(AssertionError, match=r"is not taken for it: labels"):
        check_format(greedy, rows)


def test_a_column_that_may_be_null() -> None:
    def with_context(row: Row, place: Place) -> Example:
        context = row["context"] or ""
        if not isinstance(context, str):
            raise DataError("data-row", "context is no text", place=place)
        example = read(row, place)
        return replace(example, prompt=context + str(example.prompt)) if isinstance(example.prompt, str) else example

    form = replace(SOUND, columns=(*SOUND.columns, "context"), read=with_context)
    rows = [{**row, "context": "Sum: "} for row in ROWS]
    with pytest.raises(AssertionError, match=r"a row with null in context was read as .*check_format\(optional=..., unread=...\) name columns that may be so"):
        check_format(form, rows)
    check_format(form, rows, optional=("context",))


def test_a_column_that_only_tells_rows_apart() -> None:
    form = replace(SOUND, columns=(*SOUND.columns, "note"))
    with pytest.raises(AssertionError, match="a row with null in note was read as"):
        check_format(form, ROWS)
    with pytest.raises(AssertionError, match="a row with 7 in note was read as"):
        check_format(form, ROWS, optional=("note",))
    check_format(form, ROWS, unread=("note",))


def test_a_kind_that_there_is_not_is_told_at_once() -> None:
    with refused(PluginError, "plugin"):
        replace(SOUND, kind="pairs")
