"""Declared columns of every level: found in every format, kept by every conversion, and one message for what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from refusals import refused

import halo
from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
from halo.errors import DataError

PAIR = {"prompt": "sort 312\n", "chosen": "123", "rejected": "3"}
LABEL = {"prompt": "sort 312\n", "completion": "123", "label": True}
LIST = {"prompt": "sort 312\n", "completions": ["3", "123", "21"], "scores": [0.1, 0.9, 0.9]}


def objective(feedback: str, columns: dict[str, Any], expression: str, role: Any = None) -> Any:
    role = role or {"paired": ["chosen", "rejected"], "labelled": ["desirable", "undesirable"]}.get(feedback, "completion")
    reduce = {"completions": "sum", "examples": "mean"} if feedback in ("paired", "ranked", "scored") else {"examples": "mean"}
    part = {"role": role, "expression": expression, "reduce": reduce}
    return halo.compile_objective({"name": "mine", "feedback": feedback, "columns": columns, "regularizers": {"a": part}})


def prepared(tmp_path: Path, rows: list[dict[str, Any]], loss: Any) -> list[TokenizedExample]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples, _ = convert(read_examples(str(file), FORMATS)[0], loss.feedback)
    return prepare(examples, Preparation.of(loss.compiled, tiny.template(), None, 0))[0]


def tokens(text: str) -> int:
    """Scored tokens of a completion of the prompt above."""
    return len(tiny.template().ids(text)[0]) + 1


def test_one_number_for_each_completion_in_every_format(tmp_path: Path) -> None:
    columns = {"w": {"level": "completion", "domain": "[0, 10]"}}
    (pair,) = prepared(tmp_path, [PAIR | {"chosen_w": 1, "rejected_w": 2.5}], objective("paired", columns, "w * sum(logp)"))
    assert pair.own == {"chosen": ({"w": 1.0},), "rejected": ({"w": 2.5},)}
    (label,) = prepared(tmp_path, [LABEL | {"w": 3}], objective("labelled", columns, "w * sum(logp)"))
    assert label.own == {"completion": ({"w": 3.0},)}
    (ranked,) = prepared(tmp_path, [LIST | {"w": [1, 2, 3]}], objective("ranked", columns, "w * sum(logp)"))
    assert ranked.own == {"completion": ({"w": 1.0}, {"w": 2.0}, {"w": 3.0})}
    demonstration = {"prompt": "sort 312\n", "completion": "123", "w": 4}
    (shown,) = prepared(tmp_path, [demonstration], objective("demonstrations", columns, "w * sum(logp)"))
    assert shown.own == {"completion": ({"w": 4.0},)}


def test_one_number_for_each_token_in_every_format(tmp_path: Path) -> None:
    columns = {"w": {"level": "token"}}
    first, second, third = ([float(i) for i in range(tokens(text))] for text in ("123", "3", "21"))
    (pair,) = prepared(tmp_path, [PAIR | {"chosen_w": first, "rejected_w": second}], objective("paired", columns, "sum(w * logp)"))
    assert pair.own == {"chosen": ({"w": tuple(first)},), "rejected": ({"w": tuple(second)},)}
    (label,) = prepared(tmp_path, [LABEL | {"w": first}], objective("labelled", columns, "sum(w * logp)"))
    assert label.own == {"completion": ({"w": tuple(first)},)}
    (ranked,) = prepared(tmp_path, [LIST | {"w": [second, first, third]}], objective("ranked", columns, "sum(w * logp)"))
    assert [row["w"] for row in ranked.own["completion"]] == [tuple(second), tuple(first), tuple(third)]


def test_conversions_keep_what_goes_with_a_completion(tmp_path: Path) -> None:
    columns = {"w": {"level": "completion"}, "trust": {"level": "example"}}
    formula = "trust * w * sum(logp)"
    pair = PAIR | {"chosen_w": 1, "rejected_w": 2, "trust": 0.5}
    labels = prepared(tmp_path, [pair], objective("labelled", columns, formula))
    assert [(e.desirable, e.own["completion"][0]["w"], e.columns["trust"]) for e in labels] == [(True, 1.0, 0.5), (False, 2.0, 0.5)]
    (listed,) = prepared(tmp_path, [pair], objective("ranked", columns, formula))
    assert [row["w"] for row in listed.own["completion"]] == [1.0, 2.0]
    (shown,) = prepared(tmp_path, [pair], objective("demonstrations", columns, formula))
    assert shown.own["completion"] == ({"w": 1.0},)
    ranked = LIST | {"w": [1, 2, 3], "trust": 1}
    pairs = prepared(tmp_path, [ranked], objective("paired", columns, formula))
    assert [(e.own["chosen"][0]["w"], e.own["rejected"][0]["w"]) for e in pairs] == [(2.0, 1.0), (3.0, 1.0)]
    labels = prepared(tmp_path, [ranked], objective("labelled", columns, formula))
    assert [e.own["completion"][0]["w"] for e in labels] == [2.0, 1.0]
    (best,) = prepared(tmp_path, [ranked], objective("demonstrations", columns, formula))
    assert best.own["completion"] == ({"w": 2.0},)


def test_scores_are_a_column_of_completions(tmp_path: Path) -> None:
    (scored,) = prepared(tmp_path, [LIST], objective("scored", {}, "score * sum(logp)"))
    assert [row["score"] for row in scored.own["completion"]] == [0.1, 0.9, 0.9]
    margin = objective("paired", {"score": {"level": "completion"}}, "score * sum(logp)")
    for rows in ([PAIR | {"chosen_score": 0.9, "rejected_score": 0.1}], [LIST]):
        pair = prepared(tmp_path, rows, margin)[0]
        assert (pair.own["chosen"][0]["score"], pair.own["rejected"][0]["score"]) == (0.9, 0.1)


def test_prompts_extra_texts_and_mismatched_completions_have_their_own(tmp_path: Path) -> None:
    columns = {"w": {"level": "completion"}}
    loss = objective("labelled", columns, "w * sum(logp)", ["completion", "mismatched"])
    rows = [LABEL | {"w": 1}, {"prompt": "sort 45\n", "completion": "54", "label": False, "w": 2}]
    first, second = prepared(tmp_path, rows, loss)
    assert (first.own["mismatched"], second.own["mismatched"]) == (({"w": 2.0},), ({"w": 1.0},))
    source = {"name": "mine", "feedback": "paired", "columns": columns, "roles": ["gold"],
              "regularizers": {"a": {"role": ["gold", "prompt"], "expression": "w * sum(logp)", "reduce": {"completions": "sum", "examples": "mean"}}}}  # fmt: skip
    (pair,) = prepared(tmp_path, [PAIR | {"gold": "123", "gold_w": 3, "prompt_w": 4}], halo.compile_objective(source))
    assert (pair.own["gold"], pair.own["prompt"]) == (({"w": 3.0},), ({"w": 4.0},))


def test_defaults_stand_for_what_is_missing_or_null(tmp_path: Path) -> None:
    columns = {"w": {"level": "completion", "default": 2}, "t": {"level": "token", "default": 1}, "e": {"level": "example", "default": 5}}
    loss = objective("paired", columns, "e * w * sum(t * logp)")
    for more in ({}, {"chosen_w": None, "e": None, "chosen_t": None}):
        (pair,) = prepared(tmp_path, [PAIR | more], loss)
        assert pair.columns == {"e": 5.0}
        assert pair.own["chosen"] == ({"w": 2.0, "t": (1.0,) * tokens("123")},)
    (pair,) = prepared(tmp_path, [PAIR | {"chosen_t": [None] * tokens("123")}], loss)
    assert pair.own["chosen"][0]["t"] == (1.0,) * tokens("123")


@pytest.mark.parametrize("single", [False, True])
def test_rows_hold_the_ends_of_a_closed_decimal_domain(tmp_path: Path, single: bool) -> None:
    """As float64 and as float32 write them; what is computed with is the end itself."""
    low, high, opened = 0.7, 0.8, 0.1  # exactly, the floats lie below 7/10, above 8/10 and above 1/10
    if single:
        low, high, opened = (torch.tensor(x, dtype=torch.float32).item() for x in (low, high, opened))
    columns = {"w": {"level": "completion", "domain": "[0.7, 0.8]"}, "t": {"level": "token", "domain": "[0.7, 0.8]", "default": 0.8}}
    row = PAIR | {"chosen_w": low, "rejected_w": high, "chosen_t": [high] * tokens("123")}
    (pair,) = prepared(tmp_path, [row], objective("paired", columns, "w * sum(t * logp)"))
    assert [pair.own[slot][0]["w"] for slot in ("chosen", "rejected")] == [0.7, 0.8]
    assert pair.own["chosen"][0]["t"] == (0.8,) * tokens("123")
    loss = objective("paired", {"w": {"level": "completion", "domain": "(0.1, 0.8)"}}, "w * sum(logp)")
    with refused(DataError, "data-row", at="rows.jsonl:1"):
        prepared(tmp_path, [PAIR | {"chosen_w": opened, "rejected_w": 0.5}], loss)


LEVELS = {
    "example": ("trust * sum(logp)", {"trust": {"level": "example", "domain": "[0, 1]"}}),
    "completion": ("trust * sum(logp)", {"trust": {"level": "completion", "domain": "[0, 1]"}}),
    "token": ("sum(trust * logp)", {"trust": {"level": "token", "domain": "[0, 1]"}}),
}
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "missing": ("example", {}),
    "past its domain": ("example", {"trust": 2}),
    "nan": ("example", {"trust": math.nan}),
    "a text": ("example", {"trust": "0.5"}),
    "a truth value": ("example", {"trust": True}),
    "a list": ("example", {"trust": [0.5]}),
    "both missing": ("completion", {}),
    "one number for two": ("completion", {"trust": 0.5}),
    "one is missing": ("completion", {"chosen_trust": 0.5}),
    "one is past its domain": ("completion", {"chosen_trust": 0.5, "rejected_trust": -1}),
    "a list for a number": ("completion", {"chosen_trust": [0.5]}),
    "tokens: missing": ("token", {}),
    "tokens: no list": ("token", {"chosen_trust": 0.5}),
    "tokens: too few": ("token", {"chosen_trust": [0.5]}),
    "tokens: too many": ("token", {"chosen_trust": [0.5, math.inf, *[0.5] * 9]}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_message_at_its_row(case: str, tmp_path: Path) -> None:
    level, more = WRONG[case]
    formula, columns = LEVELS[level]
    good = (
        {"trust": 0.5}
        if level == "example"
        else {f"{s}_trust": 0.5 if level == "completion" else [0.5] * tokens(PAIR[s]) for s in ("chosen", "rejected")}
    )
    with refused(DataError, "data-row", at="rows.jsonl:2"):
        prepared(tmp_path, [PAIR | good, PAIR | more], objective("paired", columns, formula))


def test_a_token_outside_its_domain_is_named(tmp_path: Path) -> None:
    formula, columns = LEVELS["token"]
    numbers = [0.5] * tokens("123")
    row = PAIR | {"chosen_trust": numbers, "rejected_trust": [math.nan, *[0.5] * (tokens("3") - 1)]}
    loss = objective("paired", columns, formula)
    with refused(DataError, "data-row", at="rows.jsonl:1"):
        prepared(tmp_path, [row], loss)


def test_a_list_of_another_length_is_named(tmp_path: Path) -> None:
    loss = objective("ranked", {"w": {"level": "completion"}}, "w * sum(logp)")
    with refused(DataError, "data-row", at="rows.jsonl:1"):
        prepared(tmp_path, [LIST | {"w": [1, 2]}], loss)


def test_numbers_that_nothing_reads_may_be_anything(tmp_path: Path) -> None:
    more = {"chosen_w": math.nan, "w": [1, "x"], "trust": None, "ids": [[1], []], "nested": {"a": 1}}
    (pair,) = prepared(tmp_path, [PAIR | more], objective("paired", {}, "sum(logp)"))
    assert (pair.columns, dict(pair.own)) == ({}, {})
