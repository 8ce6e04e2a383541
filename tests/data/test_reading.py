"""Rows become examples, or one message names the line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiny
from refusals import refused

from halo.data.conversion import convert
from halo.data.examples import Example
from halo.data.formats import FORMATS
from halo.data.interface import DataFormat
from halo.data.preparing import Draws, prepare, split, usable
from halo.data.reading import read_examples
from halo.data.tokenizing import Preparation
from halo.errors import DataError, Place, RowLeftOut
from halo.objective import feedback
from halo.training.data.mixing import order


def written(folder: Path, rows: list[Any], name: str = "data.jsonl") -> str:
    file = folder / name
    file.write_text(json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


PAIR = {"prompt": "p", "chosen": "c", "rejected": "r"}
LABEL = {"prompt": "p", "completion": "c", "label": True}
RANKED = {"prompt": "p", "completions": ["a", "b", "c"], "scores": [0.5, 1, 0.5]}
HH = {"chosen": "\n\nHuman: hi\n\nAssistant: good", "rejected": "\n\nHuman: hi\n\nAssistant: bad"}


@pytest.mark.parametrize(("row", "name", "kind"), [(PAIR, "pairs", "paired"), (LABEL, "labels", "labelled"), (RANKED, "ranked", "ranked"),
                                                   (HH, "hh", "paired"), ({"prompt": "p", "completion": "c"}, "demonstrations", "demonstrations")])  # fmt: skip
@pytest.mark.parametrize("file", ["data.jsonl", "data.json"])
def test_formats_are_told_apart(row: dict[str, Any], name: str, kind: str, file: str, tmp_path: Path) -> None:
    examples, left_out, form = read_examples(written(tmp_path, [row, row], file), FORMATS)
    assert (form.name, examples[0].kind.name, len(examples), left_out) == (name, kind, 2, [])


def test_a_datasets_folder_is_read(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list([PAIR, PAIR]).save_to_disk(tmp_path / "set")
    assert len(read_examples(str(tmp_path / "set"), FORMATS)[0]) == 2


def test_scores_become_ranks_with_ties(tmp_path: Path) -> None:
    assert read_examples(written(tmp_path, [RANKED]), FORMATS)[0][0].ranks == (2, 1, 2)


def test_hh_keeps_the_turns_before_the_last(tmp_path: Path) -> None:
    row = {side: f"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    example = read_examples(written(tmp_path, [row]), FORMATS)[0][0]
    assert [m["content"] for m in example.prompt] == ["a", "b", "c"]  # type: ignore[index]
    assert example.completions == ("chosen", "rejected")


BAD: dict[str, tuple[list[Any], str, str]] = {
    "null label": ([LABEL, {**LABEL, "label": None}], "data-row", "data.jsonl:2"),
    "label as a text": ([LABEL, {**LABEL, "label": "true"}], "data-row", "data.jsonl:2"),
    "no label": ([LABEL, {"prompt": "p", "completion": "c"}], "data-format", "data.jsonl:2"),
    "a number for a text": ([PAIR, {**PAIR, "chosen": 3}], "data-row", "data.jsonl:2"),
    "nan score": ([RANKED, {**RANKED, "scores": [1, float("nan"), 2]}], "data-row", "data.jsonl:2"),
    "score past a float": ([RANKED, {**RANKED, "scores": [1, 10**400, 2]}], "data-row", "data.jsonl:2"),
    "too few scores": ([RANKED, {**RANKED, "scores": [1, 2]}], "data-row", "data.jsonl:2"),
    "unknown columns": ([{"question": "q"}], "data-format", "data.jsonl:1"),
    "no rows": ([], "empty-file", "data.jsonl"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(case: str, tmp_path: Path) -> None:
    rows, code, where = BAD[case]
    with refused(DataError, code, at=where):
        read_examples(written(tmp_path, rows), FORMATS)


DEMONSTRATION = {"prompt": "p", "completion": "c"}


SEVERAL_FORMATS: dict[str, tuple[list[Any], str]] = {
    "labels and pairs": ([LABEL, PAIR], "data-format"),
    "demonstrations and labels": ([DEMONSTRATION, LABEL], "data-format"),
    "texts and messages": ([HH, {"chosen": [{"role": "user", "content": "q"}], "rejected": "r"}], "data-row"),
}


@pytest.mark.parametrize("case", SEVERAL_FORMATS)
def test_a_set_holds_rows_of_one_format(case: str, tmp_path: Path) -> None:
    rows, code = SEVERAL_FORMATS[case]
    with refused(DataError, code, at="data.jsonl:2"):
        read_examples(written(tmp_path, rows), FORMATS)


def test_further_columns_of_a_later_row_are_no_other_format(tmp_path: Path) -> None:
    assert len(read_examples(written(tmp_path, [PAIR, {**PAIR, "chosen_score": 1}, {"id": 3, **PAIR}]), FORMATS)[0]) == 3


def test_a_format_that_was_asked_for_is_held_to_its_columns_alone(tmp_path: Path) -> None:
    examples, _, form = read_examples(written(tmp_path, [DEMONSTRATION, LABEL]), FORMATS, format_name="demonstrations")
    assert (form.name, [e.kind.name for e in examples]) == ("demonstrations", ["demonstrations"] * 2)


def test_a_format_says_which_rows_are_left_out(tmp_path: Path) -> None:
    def read(row: Any, place: Place) -> Example:
        if row["winner"] == "tie":
            raise RowLeftOut("data-row", "a tie", place=place)
        return Example("paired", "p", ("c", "r"), place)

    form = DataFormat("compared", "paired", ("winner",), read)
    examples, left_out, found = read_examples(written(tmp_path, [{"winner": "a"}, {"winner": "tie"}]), (*FORMATS, form))
    assert (len(examples), found) == (1, form)
    assert [str(problem).endswith("data.jsonl:2: a tie [data-row]") for problem in left_out] == [True]


def test_the_nearest_formats_are_named(tmp_path: Path) -> None:
    with refused(DataError, "data-format", at="data.jsonl:1"):
        read_examples(written(tmp_path, [{"prompt": "p", "choosen": "c", "rejected": "r"}]), FORMATS)


def test_transcripts_that_differ_early_are_left_out_and_counted(tmp_path: Path) -> None:
    other = {**HH, "rejected": "\n\nHuman: ho\n\nAssistant: bad"}
    examples, left_out, _ = read_examples(written(tmp_path, [HH, other]), FORMATS)
    assert len(examples) == 1
    assert "data.jsonl:2: the transcripts differ" in str(left_out[0])


def example(kind: str, completions: tuple[str, ...], **more: Any) -> Example:
    return Example(kind, "p", completions, Place("x"), **more)  # type: ignore[arg-type]


def test_conversions() -> None:
    pair, listed = example("paired", ("c", "r")), example("ranked", ("a", "b", "c"), ranks=(2, 1, 2))
    assert [(e.completions[0], e.desirable) for e in convert([pair], feedback.LABELLED)[0]] == [("c", True), ("r", False)]
    assert convert([pair], feedback.RANKED)[0][0].ranks == (1, 2)
    assert [e.completions for e in convert([listed], feedback.PAIRED)[0]] == [("b", "a"), ("b", "c")]
    assert convert([listed], feedback.DEMONSTRATIONS)[0][0].completions == ("b",)
    assert "each pair" in convert([pair], feedback.LABELLED)[1]
    with refused(DataError, "data-format", at="x"):
        convert([example("labelled", ("c",), desirable=True)], feedback.PAIRED)


def test_the_order_comes_from_seed_and_epoch_alone() -> None:
    assert order(50, 1, 0) == order(50, 1, 0) != order(50, 1, 1)
    assert sorted(order(50, 1, 0)) == list(range(50))


def test_held_out_prompts_do_not_occur_in_training() -> None:
    rows = [Example("paired", f"p{i % 10}", ("c", "r"), Place("x")) for i in range(40)]
    train, held_out = split(rows, 0.3, seed=0)
    assert len(held_out) == 12
    assert not {e.prompt for e in train} & {e.prompt for e in held_out}


def drawing(seed: int) -> Preparation:
    return Preparation(feedback.LABELLED, feedback.LABELLED.slots, tiny.template(), seed=seed)


def test_mismatched_completions_come_from_other_prompts_and_do_not_depend_on_the_limit_order() -> None:
    rows = [Example("labelled", f"sort {i}", (f"{i}",), Place("x"), desirable=True) for i in range(100, 130)]
    prepared, _ = prepare(rows, drawing(seed=3))
    for tokenized in prepared:
        assert tokenized.tails["mismatched"][0].ids != tokenized.tails["completion"][0].ids
    assert prepared == prepare(rows, drawing(seed=3))[0]
    with refused(DataError, "no-rows", at="x"):
        prepare([rows[0]] * 3, drawing(seed=3))


def test_a_prompt_as_a_text_and_as_a_message_is_one_prompt() -> None:
    """No mismatched completion comes from the same prompt, and no prompt is on both sides of a split."""
    prompts = ("sort 12", ({"content": "sort 12", "role": "user"},))
    same = [Example("labelled", prompt, (str(i),), Place("x"), desirable=True) for prompt in prompts for i in range(10, 15)]
    with refused(DataError, "no-rows", at="x"):
        prepare(same, drawing(seed=0))
    others = [Example("labelled", f"sort {i}", ("1",), Place("x"), desirable=True) for i in range(30, 40)]
    for seed in range(9):
        assert all(sum(e in side for e in same) in (0, 10) for side in split([*same, *others], 0.5, seed))


def test_the_few_rows_of_another_prompt_are_looked_for_once() -> None:
    class Counted(list[Any]):
        passes = 0

        def __iter__(self) -> Any:
            self.passes += 1
            return super().__iter__()

    how = drawing(seed=0)
    rare, common = (Example("labelled", prompt, ("1",), Place("x"), desirable=True) for prompt in ("sort 31", "sort 41"))
    kept = Counted((example, usable(example, how)) for example in [rare, *[common] * 3000])
    draws = Draws(how, kept, random.Random(1))
    for _ in range(20):
        draws.completed(*kept[-1])
    assert kept.passes == 1
