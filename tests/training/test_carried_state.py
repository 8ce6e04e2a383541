"""Whole runs of an objective that carries statistics from step to step: resumed bit for bit. test_ranks.py has it on two ranks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from launched import CARRIED
from safetensors.torch import load_file

from halo.cli.main import main


@pytest.fixture
def objective(tmp_path: Path) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(CARRIED))
    return str(file)


def column(folder: Path, key: str) -> list[float]:
    return [record[key] for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def test_resume_is_exact_to_the_bit(objective: str, tmp_path: Path) -> None:
    common = ["train", objective, "--max-steps", "6", "--learning-rate", "1e-3", "--per-device-train-batch-size", "4", "--logging-steps", "1"]
    common += ["--data", tiny.few()]
    assert main([*common, "--output-dir", str(tmp_path / "straight")]) == 0
    assert main([*common, "--output-dir", str(tmp_path / "broken"), "--save-steps", "3"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()
    assert main(["train", objective, "--resume", str(tmp_path / "broken")]) == 0
    straight, resumed = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "broken"))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    for key in ("loss", "statistics/gap_mean", "statistics/spread"):
        assert column(tmp_path / "straight", key) == column(tmp_path / "broken", key)
    assert len(set(column(tmp_path / "straight", "statistics/gap_mean"))) > 3  # it does move
