"""Whole runs through the command line, on the embedded policy: gold metric, resume bit for bit, saved folder. test_ranks.py has two processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from tolerances import KEPT, RUN

from halo.cli.main import main
from halo.objective.loading import load
from halo.plugin.objectives import find_objective

PASSES = ["--per-device-train-batch-size", "4", "--logging-steps", "1"]
SHORT = ["--data", tiny.few(), *PASSES]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in records(folder) if "loss" in record]


@pytest.mark.parametrize("name", ["kto", pytest.param("dpo", marks=pytest.mark.slow)])
def test_a_run_as_the_readme_starts_it_rises_by_25_points(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name, "--output-dir", str(tmp_path / name)]) == 0
    results = json.loads((tmp_path / name / "all_results.json").read_text())
    assert 0.25 <= results["gold_before"] <= 0.60
    assert results["gold_after"] >= results["gold_before"] + 0.25
    printed = capsys.readouterr().out
    assert "gold metric:" in printed
    assert "before" in printed


QUICK = ("kto", "dpo", "ipo", "cpo_token_nll", "csft", "orpo_code", "ppo_offline", "rrhf", "sft", "simpo", "dr_dpo", "dpo_pl", "apo_down")
"""Trained in the default suite; the others are marked slow."""


def asks_for_more(name: str) -> bool:
    """Whether an objective wants numbers, texts or a reference that a pair of answers does not bring."""
    declared = load(name, find_objective).declaration
    return bool(declared.columns or declared.roles or declared.reference)


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in find_objective.names() if not asks_for_more(n)],
)
def test_every_objective_trains_and_saves_a_loadable_model(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lists = load(name, find_objective).declaration.kind.is_list
    given = ["--data", tiny.few(), "--eval-fraction", "0.1", "--eval-strategy", "epoch"]
    if lists:
        given = ["--data", str(tiny.write_lists(tmp_path / "lists.jsonl"))]
    folder = tmp_path / "run"
    quick = ["--max-steps", "3", "--learning-rate", "1e-4", "--warmup-ratio", "0", *PASSES]
    assert main(["train", name, "--output-dir", str(folder), *quick, *given]) == 0
    assert all(torch.isfinite(torch.tensor(losses(folder))))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("sort 312", return_tensors="pt").input_ids
    assert model.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > ids.shape[1]
    for file in ("README.md", "objective.yaml", "settings.yaml", "loss.py", "all_results.json"):
        assert (folder / file).is_file()


def test_gold_text_trains_slic_hf_gold(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in tiny.FEEDBACK.read_text().splitlines()[:8]]
    data = tmp_path / "gold.jsonl"
    data.write_text("".join(json.dumps(row | {"gold": row["chosen"]}) + "\n" for row in rows))
    assert main(["train", "slic_hf_gold", "--data", str(data), "--output-dir", str(tmp_path / "run"), "--max-steps", "2", *PASSES]) == 0
    assert any("loss/nll" in record for record in records(tmp_path / "run"))


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_resume_is_exact_to_the_bit(name: str, tmp_path: Path) -> None:
    common = ["train", name, "--max-steps", "6", "--learning-rate", "1e-3", *SHORT]
    assert main([*common, "--output-dir", str(tmp_path / "straight")]) == 0
    assert main([*common, "--output-dir", str(tmp_path / "broken"), "--save-steps", "3"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()
    assert main(["train", name, "--set", "beta=0.3", "--resume", str(tmp_path / "broken")]) == 2
    assert main(["train", name, "--resume", str(tmp_path / "broken")]) == 0  # with the settings of the run
    straight, resumed = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "broken"))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    assert losses(tmp_path / "straight") == losses(tmp_path / "broken")


def test_a_run_goes_on_with_its_own_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tiny.FEEDBACK.read_text().splitlines()
    for name, part in {"mine": lines[:20], "other": lines[20:40]}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(part) + "\n")
    run = tmp_path / "run"
    start = ["train", "dpo", "--data", str(tmp_path / "mine.jsonl"), "--max-steps", "4", "--save-steps", "2", "--output-dir", str(run), *PASSES]
    assert main(start) == 0
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    for flags, said in (
        ([], "the run is finished: 4 of 4 steps"),
        (["--data", str(tmp_path / "other.jsonl")], "the run was started with data"),
        (["--seed", "7"], "the run was started with seed"),
        (["--max-length", "30"], "the run was started with max_length"),
    ):
        assert main(["train", "dpo", "--resume", str(run), *flags]) == 2
        assert said in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()} == before
    assert main(["train", "dpo", "--resume", str(run), "--max-steps", "6"]) == 0
    assert "max_steps was 4 and is 6 from here on" in capsys.readouterr().out
    assert [r["step"] for r in records(run)] == [1, 2, 3, 4, 5, 6]


def test_what_is_held_out_and_never_evaluated_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["train", "dpo", "--max-steps", "1", "--eval-fraction", "0.1", *SHORT]
    assert main([*common, "--output-dir", str(tmp_path / "silent")]) == 0
    assert "never evaluated: --eval-strategy is no" in capsys.readouterr().out
    assert main([*common, "--eval-strategy", "epoch", "--output-dir", str(tmp_path / "shown")]) == 0
    assert "eval       step 1: loss 0.69" in capsys.readouterr().out


@pytest.mark.numeric
def test_precomputed_reference_and_accumulation_change_nothing(tmp_path: Path) -> None:
    common = ["train", "dpo", "--max-steps", "3", "--learning-rate", "1e-3", "--dtype", "float64", "--logging-steps", "1", "--data", tiny.few()]
    variants = {
        "plain": ["--per-device-train-batch-size", "8"],
        "ahead": ["--per-device-train-batch-size", "8", "--precompute-ref-log-probs"],
        "split": ["--per-device-train-batch-size", "2", "--gradient-accumulation-steps", "4"],
        "checkpointed": ["--per-device-train-batch-size", "8", "--gradient-checkpointing"],
    }
    for name, flags in variants.items():
        assert main([*common, *flags, "--output-dir", str(tmp_path / name)]) == 0
    for name in variants:
        tolerance = KEPT if name == "ahead" else RUN
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "plain"), rel=tolerance)


def test_the_default_folder_is_new_on_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "dpo", "--max-steps", "1", *SHORT]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_tracker_that_is_not_installed_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", "--report-to", "wandbb", "--output-dir", str(tmp_path / "run")]) == 2
    assert "'wandbb' is not installed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_settings_come_from_a_file_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"data: {tiny.few()}\nmax_steps: 5\nper_device_train_batch_size: 2\nlearning_rate: 1e-4\n")
    assert main(["train", "dpo", "--settings", str(file), "--max_steps=2", "--output-dir", str(tmp_path / "run")]) == 0
    assert [r["step"] for r in records(tmp_path / "run")] == [1, 2]
    saved = (tmp_path / "run" / "settings.yaml").read_text()
    assert "learning_rate: 0.0001" in saved
    assert "per_device_train_batch_size: 2" in saved
