"""Samples as other people's tools read them: what each of their readers asks of a line, and, where a package is installed, the reader itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from samples import folder_of

from halo.cli.main import main
from halo.starter.defaults import POLICY

QUESTIONS = {
    "What is rain?": [{"completion": "Water that falls.", "tokens": [5, 6, 2], "logps": [-0.5, -0.25, 0.0], "score": 1.5}, {"completion": "Wet."}],
    "Name a colour.": [{"completion": "Blue: \u00e9, \u4e16.", "tokens": [7, 2], "finish": "length", "score": None}, {"completion": ""}],
}  # fmt: skip
COLUMNS = {
    "What is rain?": {"question_id": 81, "dataset": "helpful", "uid": "a1"},
    "Name a colour.": {"question_id": 82, "dataset": "helpful", "uid": "b2"},
}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "samples", QUESTIONS, COLUMNS, model="runs/mine")


def exported(samples: Path, kind: str, *more: str) -> None:
    assert main(["export", str(samples), kind, *more]) == 0


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


# -- AlpacaEval ------------------------------------------------------------------------------------------------------------


def test_alpaca_eval_is_one_output_for_each_instruction(samples: Path, tmp_path: Path) -> None:
    exported(samples, "alpaca-eval", "--out", str(tmp_path / "outputs.json"), "--name", "org/mine-v1")
    assert json.loads((tmp_path / "outputs.json").read_text(encoding="utf-8")) == [
        {"instruction": prompt, "output": told[0]["completion"], "generator": "org/mine-v1", "dataset": "helpful"}
        for prompt, told in QUESTIONS.items()
    ]


def test_alpaca_evals_own_reader_takes_it(samples: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("alpaca_eval.utils")
    exported(samples, "alpaca-eval", "--out", str(tmp_path / "outputs.json"))
    frame = utils.load_or_convert_to_dataframe(tmp_path / "outputs.json")
    assert list(frame["instruction"]) == list(QUESTIONS)
    assert list(frame["output"]) == [told[0]["completion"] for told in QUESTIONS.values()]
    assert set(frame["generator"]) == {"mine"}


# -- Arena-Hard ------------------------------------------------------------------------------------------------------------


def test_arena_hard_is_read_by_both_of_its_versions(samples: Path, tmp_path: Path) -> None:
    """0.1 looks answers up by question_id and reads the first choice's turns; 2.0 by uid and reads the last message's answer."""
    exported(samples, "arena-hard", "--out", str(tmp_path / "model_answer"))
    file = tmp_path / "model_answer" / "mine.jsonl"
    old, new = {line["question_id"]: line for line in lines(file)}, {line["uid"]: line for line in lines(file)}
    for prompt, told in QUESTIONS.items():
        one, other = old[COLUMNS[prompt]["question_id"]], new[COLUMNS[prompt]["uid"]]
        assert [turn["content"] for turn in one["choices"][0]["turns"]] == [told[0]["completion"]]
        assert one["choices"][0]["turns"][0]["token_len"] == len(told[0]["tokens"])
        assert [choice["index"] for choice in one["choices"]] == [0, 1]
        assert other["messages"][-1]["content"]["answer"] == told[0]["completion"]
        assert other["messages"][0] == {"role": "user", "content": prompt}
        assert one["model_id"] == other["model"] == "mine"
    assert len({line["answer_id"] for line in lines(file)}) == 2


def test_a_question_without_a_name_is_called_by_its_prompt(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "samples", QUESTIONS)
    exported(folder, "arena-hard", "--out", str(tmp_path / "answers.jsonl"), "--name", "m")
    ids = [row["prompt_id"] for row in lines(folder / "prompts.jsonl")]
    assert [(line["question_id"], line["uid"]) for line in lines(tmp_path / "answers.jsonl")] == [(one, one) for one in ids]


# -- MT-Bench --------------------------------------------------------------------------------------------------------------


def conversations(folder: Path, questions: list[dict[str, Any]], *more: str) -> Path:
    file = folder / "question.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in questions))
    given = ["--prompts", str(file), "--out", str(folder / "asked"), "--n", "2", "--max-new-tokens", "8", "--use-cpu"]
    assert main(["sample", str(POLICY), *given, *more]) == 0
    return folder / "asked"


def test_mt_bench_has_both_answers_of_each_choice(tmp_path: Path) -> None:
    asked = [{"question_id": 80 + n, "category": "writing", "turns": [f"sort {n}21", f"sort 9{n}"]} for n in range(1, 4)]
    asked.append({"question_id": 99, "category": "math", "turns": ["sort 1", "sort " + "1" * 500]})
    folder = conversations(tmp_path, asked)
    exported(folder, "mt-bench", "--out", str(tmp_path / "model_answer"), "--name", "mine")
    found = {line["question_id"]: line for line in lines(tmp_path / "model_answer" / "mine.jsonl")}
    assert list(found) == [81, 82, 83]
    samples = lines(folder / "samples.jsonl")
    for question in asked[:3]:
        for choice in found[question["question_id"]]["choices"]:
            first, second = choice["turns"]
            (row,) = [
                row
                for row in samples
                if row.get("first_sample") == choice["index"] and row["prompt"][-1]["content"] == question["turns"][1]
            ]
            assert row["prompt"][1] == {"role": "assistant", "content": first}
            assert row["completion"] == second
        assert [choice["index"] for choice in found[question["question_id"]]["choices"]] == [0, 1]


def test_a_question_that_could_not_be_asked_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = conversations(tmp_path, [{"turns": ["sort 1", "sort 2"]}, {"turns": ["sort 3", "sort " + "1" * 500]}])
    exported(folder, "mt-bench", "--out", str(tmp_path / "model_answer"))
    assert "1 answers of" in (said := capsys.readouterr().out)
    assert "left out: 1 questions without a second answer" in said


# -- a table ---------------------------------------------------------------------------------------------------------------


def test_a_table_holds_the_rows_and_their_scores(samples: Path, tmp_path: Path) -> None:
    exported(samples, "parquet", "--out", str(tmp_path / "samples.parquet"))
    rows, scores = lines(samples / "samples.jsonl"), [1.5, None, None, None]
    table = parquet.read_table(tmp_path / "samples.parquet")
    names = table.column_names
    assert {name for row in rows for name in row} | {"score_reward"} == set(names)
    for found, row, score in zip(table.to_pylist(), rows, scores, strict=True):
        assert found == {name: row.get(name) for name in names} | {"score_reward": score}


def test_a_table_of_more_rows_than_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that the first group lacks, and one whose numbers become fractions."""
    monkeypatch.setattr("halo.files.parquet.ROWS", 3)
    told = {f"p{n}": [{"completion": f"c{n}", "score": n} | ({"kept": [-0.5]} if n > 6 else {})] for n in range(10)}
    told["p9"][0]["score"] = 8.5
    exported(folder_of(tmp_path / "samples", told), "parquet", "--out", str(tmp_path / "t.parquet"))
    found = parquet.ParquetFile(tmp_path / "t.parquet")
    assert found.num_row_groups == 4
    assert [row["score_reward"] for row in found.read().to_pylist()] == [*range(9), 8.5]
    assert [row["kept"] for row in found.read().to_pylist()] == [None] * 7 + [[-0.5]] * 3


# -- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["samples", "alpacaeval"],
            "samples are not exported as 'alpacaeval'; did you mean 'alpaca-eval'?; known are alpaca-eval, arena-hard",
        ),
        (["samples", "alpaca-eval", "--out", "there.json"], "there.json is there already"),
        (["samples", "arena-hard", "--name", "org/mine"], "--name: 'org/mine' is no name of a file"),
        (["samples", "mt-bench"], "nothing is left to write: 2 questions without a second answer"),
        (["samples", "parquet", "--dtype", "float32"], "--dtype: there is no such flag"),
        (["nowhere", "mt-bench"], "nowhere is no folder of samples"),
        (["nowhere", "merged"], "there is no folder nowhere"),
    ],
)
def test_bad_input_is_one_message(
    given: list[str], said: str, samples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(samples.parent)
    Path("there.json").write_text("mine")
    assert main(["export", *given]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert sorted(file.name for file in samples.parent.iterdir()) == ["samples", "there.json"]


def test_a_conversation_is_no_instruction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = conversations(tmp_path, [{"turns": ["sort 1", "sort 2"]}])
    assert main(["export", str(folder), "alpaca-eval", "--out", str(tmp_path / "outputs.json")]) == 2
    assert "a conversation of 2 turns is no instruction" in capsys.readouterr().err
