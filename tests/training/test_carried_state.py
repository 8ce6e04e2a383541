"""Whole runs of an objective that carries statistics from step to step: resumed to the bit, the same on two ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from halo.cli.main import main

MINE = """name: mine
extends: dpo
let:
  u: sum(logp - ref_logp)
  gap: chosen.u - rejected.u
statistics:
  gap_mean: {of: gap, reduce: mean, update: ema(0.7)}
  spread: {of: gap, reduce: std, update: all, start: 1}
reward: u
normalizer: stop(max(1e-3, beta * (1 + batch_mean(gap) - gap_mean)))
margin: gap_mean / (1 + spread)
"""


@pytest.fixture
def objective(tmp_path: Path) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    return str(file)


def column(folder: Path, key: str) -> list[float]:
    return [record[key] for record in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def test_resume_is_exact_to_the_bit(objective: str, tmp_path: Path) -> None:
    common = ["train", objective, "--max-steps", "6", "--learning-rate", "1e-3", "--per-device-train-batch-size", "4", "--logging-steps", "1"]
    assert main([*common, "--output-dir", str(tmp_path / "straight")]) == 0
    assert main([*common, "--output-dir", str(tmp_path / "broken"), "--save-steps", "3"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()
    assert main(["train", objective, "--resume", str(tmp_path / "broken")]) == 0
    straight, resumed = (load_file(tmp_path / run / "model.safetensors") for run in ("straight", "broken"))
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    for key in ("loss", "statistics/gap_mean", "statistics/spread"):
        assert column(tmp_path / "straight", key) == column(tmp_path / "broken", key)
    assert len(set(column(tmp_path / "straight", "statistics/gap_mean"))) > 3  # it does move


def test_two_ranks_equal_one_process(objective: str, tmp_path: Path) -> None:
    common = ["-m", "halo", "train", objective, "--max-steps", "3", "--learning-rate", "1e-3", "--dtype", "float64",
              "--logging-steps", "1", "--use-cpu"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    one = [sys.executable, *common, "--per-device-train-batch-size", "8", "--output-dir", str(tmp_path / "one")]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *common,
           "--per-device-train-batch-size", "2", "--gradient-accumulation-steps", "2", "--output-dir", str(tmp_path / "two")]  # fmt: skip
    for command in (one, two):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for key in ("loss", "statistics/gap_mean", "statistics/spread", "rewards/margins"):
        assert column(tmp_path / "two", key) == pytest.approx(column(tmp_path / "one", key), rel=1e-6, abs=1e-9), key
    single, double = (load_file(tmp_path / run / "model.safetensors") for run in ("one", "two"))
    assert max((single[k] - double[k]).abs().max().item() for k in single) < 1e-5
