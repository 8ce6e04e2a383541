"""A bad row is one message at its line: it ends the run where it is built wrongly, and is counted where nothing can be learnt from it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from published_rows import ASKED, BAD, CORE, GOOD, PUBLISHED, SHAREGPT, said, spoken

from halo.data.reading import read_examples
from halo.plugin import DataError
from halo.plugin.registry import supplied

FORMATS = [item.thing for item in supplied("format")]


def good(name: str) -> dict[str, Any]:
    return deepcopy(next(row for key, (row, _) in PUBLISHED.items() if key == name or key.startswith(f"{name}/")))


def changed(name: str, **changes: Any) -> list[dict[str, Any]]:
    return [good(name), good(name) | changes]


def entry_changed(name: str, column: str, **changes: Any) -> list[dict[str, Any]]:
    row = good(name)
    row[column][1] |= changes
    return [good(name), row]


def written(folder: Path, rows: list[Any]) -> str:
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


NAN = float("nan")
WRONG = {
    "label null": (changed("messages-labels", label=None), "label is null; true for desirable"),
    "label a number": (changed("messages-labels", label=1), "label is 1; true for desirable"),
    "kto_tag a text": (changed("sharegpt-labels", kto_tag="true"), "kto_tag is 'true'; true for desirable"),
    "kto_tag null": (changed("alpaca-labels", kto_tag=None), "kto_tag is null; true for desirable"),
    "score missing": ([good("ultrafeedback"), good("ultrafeedback") | {"completions": [{"response": "a"}] * 2}], "entry 1 of completions has no 'overall_score'; it has response"),
    "score null": (entry_changed("ultrafeedback", "completions", overall_score=None), "overall_scores [2.0, None, 2.0] are not all finite numbers"),
    "score NaN": (entry_changed("ultrafeedback", "completions", overall_score=NAN), "overall_scores [2.0, nan, 2.0] are not all finite numbers"),
    "rank null": (entry_changed("nectar", "answers", rank=None), "ranks [3.0, None, 2.0] are not all finite numbers"),
    "rank true": (entry_changed("nemo-ranks", "completions", rank=True), "ranks [1, True] are not all finite numbers"),
    "ranks too few": (changed("ranks", ranks=[1, 2]), "completions and ranks must be lists of one length, at least 2"),
    "ranks NaN": (changed("ranks", ranks=[1, 2, NAN]), "ranks [1, 2, nan] are not all finite numbers"),
    "binarized score null": (changed("ultrafeedback-binarized", score_rejected=None), "score_chosen, score_rejected [8.0, None] are not all finite numbers"),
    "shp score null": (changed("shp", score_A=None), "score_A, score_B [None, 9] are not all finite numbers"),
    "shp label 2": (changed("shp", labels=2), "labels is 2; 1 where A is preferred to B, else 0"),
    "shp label true": (changed("shp", labels=True), "labels is True; 1 where A is preferred to B, else 0"),
    "preference 3": (changed("alpaca-eval", preference=3), "preference is 3; from 1 (output_1) to 2 (output_2)"),
    "preference false": (changed("alpaca-eval", preference=False), "preference [False] are not all finite numbers"),
    "unknown role": (changed("sharegpt", conversations=[spoken("human", "Hi"), spoken("gptt", "Hello!")]), "turn 2 of conversations is from 'gptt', an unknown role; did you mean 'gpt'?"),
    "no function call": (changed("sharegpt", conversations=[SHAREGPT[0], spoken("function_call", "weather")]), "turn 2 of conversations is no function call; JSON of the form"),
    "turn without a text": (changed("sharegpt", conversations=[{"from": "human", "value": 3}]), "turn 1 of conversations is no turn with a text"),
    "chosen unknown role": (changed("sharegpt-pairs", chosen=spoken("robot", "Hi")), "chosen is from 'robot', an unknown role; known: assistant, function_call"),
    "instruction null": (changed("alpaca", instruction=None), "instruction is null; a text"),
    "history flat": (changed("alpaca", history=["a", "b"]), "history is no list of rounds; each round is [prompt, response]"),
    "text null": (changed("text", text=None), "text is null; a text"),
    "rejected_response a list": (changed("rejected-response", rejected_response=list(BAD)), "rejected_response is list; a text; whole conversations stand in rejected_messages"),
    "input without messages": (changed("openai-preference", input={}), "input holds no messages"),
    "messages a text": (changed("messages", messages="Hi"), "messages is a text; a list of {role, content} messages"),
    "tools no JSON": (changed("messages", tools="weather"), "tools is a text and no JSON"),
    "completions texts": (changed("ultrafeedback", completions=["a", "b"]), "completions is no list of objects; objects with response, overall_score"),
    "chosen null": (changed("hh-prompt", chosen=None), "chosen is null; a text"),
    "sides of two kinds": (changed("implicit-prompt", rejected=[*ASKED, *GOOD]), "chosen is a text; a list of {role, content} messages"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_row_that_is_built_wrongly_ends_the_run(name: str, tmp_path: Path) -> None:
    rows, message = WRONG[name]
    file = written(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        read_examples(file, FORMATS)
    assert str(caught.value).startswith(f"{file}:2: {message}"), caught.value
    assert caught.value.code == "data-row"


USER = said("user", "And now?")
LEFT_OUT = {
    "no assistant": (changed("messages", messages=ASKED), "messages has no turn of the assistant after the prompt"),
    "only the assistant": (changed("messages", messages=list(GOOD)), "messages has no turn of the assistant after the prompt"),
    "the user ends": (changed("messages", messages=[*ASKED, *GOOD, USER]), "messages ends with a turn of the user, not of the assistant"),
    "the user ends a labelled one": (changed("sharegpt-labels", conversations=[*SHAREGPT, SHAREGPT[0]]), "conversations has no turn of the assistant"),
    "a reply to nothing": (changed("messages-labels", messages=list(GOOD)), "messages begins with the assistant's reply: the prompt is empty"),
    "a response to nothing": (changed("rejected-response", messages=list(GOOD)), "messages has no turn before the last: the prompt is empty"),
    "the human chosen": (changed("sharegpt-pairs", chosen=spoken("human", "Hi")), "chosen begins after the prompt with a turn of the user"),
    "pairs answer nothing": (changed("messages-pairs", messages=[*ASKED, *GOOD]), "messages ends with a turn of the assistant: there is nothing to answer"),
    "sides begin differently": (
        changed("implicit-prompt/messages", rejected=[USER, *BAD]), "chosen and rejected have no turn of the user in common: the prompt is empty",
    ),
    "a side without an answer": (changed("implicit-prompt/messages", rejected=ASKED), "rejected has no turn of the assistant after the prompt"),
    "other prompts": (changed("rejected-messages", rejected_messages=[USER, *BAD]), "messages and rejected_messages have no turn of the user in common"),
    "empty instruction": (changed("alpaca", instruction="", input=" "), "the prompt is empty"),
    "empty history": (changed("shp", history=""), "the prompt is empty"),
    "no transcript": (changed("nectar", prompt="Name a prime."), "prompt does not end with a Human turn"),
    "an answered transcript": (changed("hh-prompt", prompt="\n\nHuman: Hi\n\nAssistant: Hello!"), "prompt does not end with a Human turn"),
    "one completion": (changed("ultrafeedback", completions=good("ultrafeedback")["completions"][:1]), "completions has 1 entries"),
    "a tie": (changed("alpaca-eval", preference=1.5), "preference is 1.5: a tie"),
    "a tie of older files": (changed("alpaca-eval", preference=0), "preference is 0: a tie"),
    "no preference": (changed("alpaca-eval", preference=None), "preference is null: the annotator gave none"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_row_that_nothing_can_be_learnt_from_is_counted(name: str, tmp_path: Path) -> None:
    rows, message = LEFT_OUT[name]
    file = written(tmp_path, rows)
    examples, left_out, _ = read_examples(file, FORMATS)
    assert len(examples) == len(left_out) == 1
    assert str(left_out[0]).startswith(f"{file}:2: {message}"), left_out[0]


MIXED = [
    (good("sharegpt"), good("sharegpt-labels"), "this row is of format sharegpt-labels, the first (FILE:1) of sharegpt"),
    (good("sharegpt"), good("sharegpt-pairs"), "this row is of format sharegpt-pairs, the first (FILE:1) of sharegpt"),
    (good("alpaca"), good("alpaca-labels"), "this row is of format alpaca-labels, the first (FILE:1) of alpaca"),
    (good("implicit-prompt/text"), CORE["hh"], "this row is of format hh, the first (FILE:1) of implicit-prompt"),
    (CORE["pairs"], good("sharegpt"), "the column 'prompt' is missing, and this row is of format sharegpt, the first (FILE:1) of pairs"),
    (good("messages"), good("messages-labels"), "this row is of format messages-labels, the first (FILE:1) of messages"),
    (CORE["ranked"], good("ultrafeedback"), "the column 'prompt' is missing, and this row is of format ultrafeedback, the first (FILE:1) of ranked"),
]


@pytest.mark.parametrize(("first", "second", "message"), MIXED)
def test_a_set_holds_rows_of_one_format(first: Any, second: Any, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, [first, second])
    with pytest.raises(DataError) as caught:
        read_examples(file, FORMATS)
    assert str(caught.value).startswith(f"{file}:2: {message.replace('FILE', file)}; a set holds rows of one format"), caught.value


def test_a_misspelt_column_names_the_nearest_formats(tmp_path: Path) -> None:
    row = {"conversation": SHAREGPT, "kto_tag": True}
    with pytest.raises(DataError, match="the columns conversation, kto_tag are of no known format; nearest are sharegpt"):
        read_examples(written(tmp_path, [row]), FORMATS)
