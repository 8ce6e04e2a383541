"""What a run is fed with, through the command line: mixed sets by name, streams that resume bit for bit, lengths grouped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from tolerances import RUN

from halo.cli.main import main
from halo.data.tokenized import Tail, TokenizedExample
from halo.errors import Place
from halo.training.data.feed import Table
from halo.training.data.schedule import Schedule, share
from halo.training.settings import Settings

LINES = tiny.FEEDBACK.read_text().splitlines()
COMMON = ["--per-device-train-batch-size", "8", "--logging-steps", "1", "--learning-rate", "1e-3", "--warmup-ratio", "0"]


def sets(folder: Path) -> str:
    (folder / "a.jsonl").write_text("\n".join(LINES[:30]) + "\n")
    (folder / "b.jsonl").write_text("\n".join(LINES[30:40]) + "\n")
    return f"{folder / 'a.jsonl'},{folder / 'b.jsonl'}"


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["dpo", "kto", "rrhf"])
def test_each_set_has_its_metrics_and_they_add_up(name: str, tmp_path: Path) -> None:
    assert main(["train", name, "--data", sets(tmp_path), "--max-steps", "3", "--dtype", "float64", "--output-dir", str(tmp_path / "run"), *COMMON]) == 0
    for record in records(tmp_path / "run"):
        assert record["examples/a"] + record.get("examples/b", 0) == 8
        if name != "kto" and "examples/b" in record:  # a label's mean has a count of its own
            both = sum(record[f"rewards/margins/{s}"] * record[f"examples/{s}"] for s in "ab") / 8
            assert both == pytest.approx(record["rewards/margins"], abs=RUN)


def test_weights_change_what_is_seen(tmp_path: Path) -> None:
    data = [{"path": str(tmp_path / "a.jsonl"), "name": "old", "weight": 1}, {"path": str(tmp_path / "b.jsonl"), "name": "new", "weight": 3}]
    sets(tmp_path)
    (tmp_path / "settings.yaml").write_text(json.dumps({"data": data}))
    arguments = ["train", "dpo", "--settings", str(tmp_path / "settings.yaml"), "--max-steps", "5", "--output-dir", str(tmp_path / "run")]
    assert main([*arguments, *COMMON]) == 0
    seen = records(tmp_path / "run")
    assert sum(r.get("examples/new", 0) for r in seen) == 30  # 3/4 of the 40 examples of an epoch, out of a set of 10
    saved = (tmp_path / "run" / "settings.yaml").read_text()
    assert "weight: 3" in saved


@pytest.mark.parametrize("name", ["kto", "dpo"])
def test_a_stream_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    common = ["train", name, "--data", sets(tmp_path), "--streaming", "--shuffle-buffer-size", "9", "--max-steps", "6", *COMMON]
    assert main([*common, "--output-dir", str(tmp_path / "straight")]) == 0
    assert main([*common, "--output-dir", str(tmp_path / "broken"), "--save-steps", "3"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()
    assert main(["train", name, "--resume", str(tmp_path / "broken")]) == 0
    straight, resumed = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "broken"))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def example(length: int) -> TokenizedExample:
    return TokenizedExample((), {"completion": (Tail((1,) * length, (False,) + (True,) * (length - 1)),)}, Place("x"), "p")


def test_groups_of_like_length_reach_the_steps() -> None:
    examples = [example(2 + i % 7) for i in range(70)]
    settings = Settings(data="x", group_by_length=True, per_device_train_batch_size=10, num_train_epochs=1)
    table = Table(examples, Schedule.of(settings, examples, 1))
    widths = [{e.longest for e in table.batch(step)} for step in range(table.total)]
    assert all(len(width) == 1 for width in widths)
    assert len({max(width) for width in widths}) == 7
    assert table.reached() == list(range(70))


def test_every_example_of_an_epoch_is_seen_once_whatever_the_ranks() -> None:
    examples = [example(3) for _ in range(23)]
    for world in (1, 2, 3):
        settings = Settings(data="x", per_device_train_batch_size=2, gradient_accumulation_steps=2, num_train_epochs=1)
        schedule = Schedule.of(settings, examples, world)
        seen = [
            i
            for step in range(schedule.total)
            for rank in range(world)
            for micro in share(schedule.indices(step), rank, world, 2)
            for i in micro
        ]
        assert sorted(seen) == list(range(23))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--streaming", "--max-steps", "-1"], "a stream has no last example"),
        (["--streaming", "--eval-fraction", "0.1"], "eval_fraction needs all examples"),
        (["--streaming", "--precompute-ref-log-probs"], "precompute_ref_log_probs needs all examples"),
        (["--streaming", "--eval-strategy", "epoch"], "a stream has no epochs"),
        (["--data-columns", "prompt"], "is not KNOWN=YOURS"),
        (["--data-columns", "chosen=best,chosen=good"], "chosen is given twice"),
        (["--data", ""], "names no set"),
        (["--data", ","], "names no set"),
        (["--data", ",", "--streaming", "--max-steps", "1"], "names no set"),
        (["--model", ""], "--model"),
        (["--data", "a.jsonl@inf,b.jsonl@1"], "weight of 'a.jsonl@inf'"),
        (["--data", ",".join(f"a_name_of_some_length_{i}.jsonl" for i in range(20))], "there is no data file a_name_of_some_length_0.jsonl"),
        (["--num-train-epochs", "inf", "--max-steps", "-1"], "finite number"),
        (["--data-columns", "chosen=best"], "there is no column 'best' to read chosen from"),
        (["--data", "a.jsonl@0"], "greater than 0"),
        (["--loss-on", "first"], "loss-on"),
    ],
)
def test_bad_settings(flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = [] if "--data" in flags else ["--data", sets(tmp_path).split(",")[0]]
    assert main(["train", "dpo", *data, *flags, "--output-dir", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("streaming", [[], ["--streaming"]])
def test_what_is_left_out_of_a_stream_and_of_held_out_rows_is_said(streaming: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*LINES[:4], json.dumps({"prompt": "sort 41", "chosen": "14", "rejected": "14"})]
    for name in ("train", "held_out"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    data = ["--data", str(tmp_path / "train.jsonl"), "--eval-data", str(tmp_path / "held_out.jsonl"), *streaming]
    assert main(["train", "dpo", *data, "--max-steps", "1", "--output-dir", str(tmp_path / "run"), *COMMON]) == 0
    said = capsys.readouterr().out
    assert "held out: 4 examples; left out: 1 pairs of identical completions" in said
    assert said.count("left out: ") == 2
