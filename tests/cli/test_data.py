"""`halo data`: counts that were counted by hand, what would make training wrong, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from refusals import refused_command

from halo.cli.main import main
from halo.data.formats import FORMATS
from halo.data.inspection import Inspection, inspect, percentiles
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.text.template import Template
from halo.data.tokenizing import Preparation
from halo.objective.feedback import PAIRED

PAIRS = [
    {"prompt": "sort 312", "chosen": "123", "rejected": "321"},
    {"prompt": "sort 312", "chosen": "123", "rejected": "213"},
    {"prompt": "sort 41", "chosen": "14", "rejected": "14"},
    {"prompt": "sort 42", "chosen": "24", "rejected": " "},
    {"prompt": "sort 99999999999999999999", "chosen": "9" * 20, "rejected": "8"},
]


def written(folder: Path, rows: list[Any]) -> str:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def report(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["data", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(written(tmp_path, PAIRS), "--objective", "dpo", "--max-length", "30", capsys=capsys)
    assert (code, found["kept"], found["prompts"]) == (0, 2, 1)
    assert found["left_out"] == {"pairs of identical completions": 1, "with an empty completion": 1, "longer than max_length 30": 1}
    assert found["lengths"]["chosen"] == [4, 4, 4, 4]  # 1 2 3 <eos>
    assert found["memory"]["parameters"] == 354944
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_rows_are_shown_with_what_is_trained_on_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", written(tmp_path, PAIRS), "--objective", "dpo"]) == 0
    said = capsys.readouterr().out
    assert "prompt     <bos><|user|>sort 312<|assistant|>\n  chosen     123<eos>\n  rejected   321<eos>\n" in said
    assert "1 pairs of identical completions, the first: " + str(tmp_path / "rows.jsonl:3") in said


def test_json_says_what_the_format_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = report(written(tmp_path, [*PAIRS[:1], {"prompt": "", "chosen": "1", "rejected": "2"}]), "--objective", "dpo", capsys=capsys)
    assert any("1 rows left out, the first: " in line and "the prompt is empty" in line for line in found["said"])


def test_the_steps_are_those_of_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [{"prompt": f"sort {i}", "chosen": "1", "rejected": "2"} for i in range(20, 25)]
    flags = ["--per-device-train-batch-size", "1", "--num-train-epochs", "0.5", "--max-steps", "-1"]
    assert main(["data", written(tmp_path, pairs), "--objective", "dpo", *flags]) == 0
    assert "steps      3 of 1 examples" in capsys.readouterr().out
    assert main(["train", "dpo", "--data", str(tmp_path / "rows.jsonl"), *flags, "--output-dir", str(tmp_path / "run")]) == 0
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def labelled(good: int, bad: int) -> list[dict[str, Any]]:
    return [{"prompt": f"sort {i}", "completion": f"{i}", "label": i < 100 + good} for i in range(100, 100 + good + bad)]


def test_label_balance_and_ktos_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(written(tmp_path, labelled(2, 8)), "--objective", "kto", capsys=capsys)
    assert (code, found["labels"]) == (0, [2, 8])
    assert found["notes"][0].startswith("lambda_d n_d / (lambda_u n_u) is 0.25;")
    assert "lambda_d between 4 and 5.33" in found["notes"][0]


@pytest.mark.parametrize(("good", "bad", "said"), [(5, 0, "all 5 examples are desirable"), (0, 5, "all 5 examples are undesirable")])
def test_one_label_alone_is_wrong(good: int, bad: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(written(tmp_path, labelled(good, bad)), "--objective", "kto", capsys=capsys)
    assert code == 1
    assert said in found["problems"][0]


def test_lists_of_ties_alone_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"sort {i}", "completions": ["1", "2"], "scores": [1, 1]} for i in range(3)]
    code, found = report(written(tmp_path, rows), "--objective", "dpo_pl", capsys=capsys)
    assert code == 1
    assert "3 lists of ties only" in found["problems"][0]


def inspected(template: Template, folder: Path) -> Inspection:
    examples, _, _ = read_examples(written(folder, PAIRS[:2]), FORMATS)
    prepared, _ = prepare(examples, Preparation(PAIRED, PAIRED.slots, template))
    return inspect(prepared, template, {}, PAIRED)


def test_ends_and_beginnings(tmp_path: Path) -> None:
    """An end token that the tokenizer does not know as one, and a template that writes BOS beside a text that does."""
    from copy import deepcopy

    assert inspected(tiny.template(), tmp_path).problems == []
    tokenizer = deepcopy(tiny.template().tokenizer)
    tokenizer.chat_template = "<bos>" + tokenizer.chat_template
    assert inspected(Template.of(tokenizer, "auto"), tmp_path).problems == ["2 examples begin with two BOS tokens: the template writes one and the text another"]

    class Endless:
        """The tokenizer, with an end-of-sequence token that its text is not split at."""

        def __getattr__(self, name: str) -> Any:
            return 3 if name == "eos_token_id" else getattr(tiny.template().tokenizer, name)

        def __call__(self, *arguments: Any, **more: Any) -> Any:
            return tiny.template().tokenizer(*arguments, **more)

    assert "do not end with the end-of-sequence token" in inspected(Template(Endless(), True), tmp_path).problems[0]


def test_percentiles() -> None:
    assert percentiles(range(1, 101)) == (50, 90, 99, 100)
    assert percentiles([7]) == (7, 7, 7, 7)


def test_a_stream_is_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(written(tmp_path, labelled(5, 5)), "--objective", "kto", "--streaming", "--max-steps", "3", capsys=capsys)
    assert (code, found["examples"]) == (0, 1000)


REFUSED = {  # the code, the place
    "": ("missing-key", ""),
    "--objective dpo --rows many": ("wrong-value", "--rows"),
    "--objective dpo --rows ²": ("wrong-value", "--rows"),
    "--objective dpo nowhere.jsonl": ("not-found", ""),
    "--objective dpo a.jsonl b.jsonl": ("wrong-value", ""),
    "--objective dpo --model /nowhere": ("not-found", ""),
    "--objective kto --streaming --max-steps -1": ("missing-key", "--streaming"),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_bad_input(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, where = REFUSED[arguments]
    refused_command(capsys, code, "data", *arguments.split(), at=where)


def test_weights_count_in_the_balance_of_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 10 + 10 examples at 3:1 an epoch sees 15 and 5: 15 of the desirable set, and of the other as many of each label as there are."""
    for name, rows in {"good": labelled(10, 0), "bad": labelled(0, 10)}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, found = report(f"{tmp_path / 'good.jsonl'}@3,{tmp_path / 'bad.jsonl'}@1", "--objective", "kto", capsys=capsys)
    assert (code, found["labels"]) == (0, [15, 5])
    assert "by their weights an epoch sees 5 of bad, 15 of good" in found["notes"]
    assert any("is 3;" in note for note in found["notes"])


def test_the_embedded_policys_settings_are_said_with_data_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", written(tmp_path, PAIRS), "--objective", "dpo", "--rows", "0"]) == 0
    assert "max_steps 120" in capsys.readouterr().out
    assert main(["data", "--objective", "dpo", "--rows", "0"]) == 0
    assert "settings " not in capsys.readouterr().out
