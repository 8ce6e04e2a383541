"""DeepSpeed on two processes with gloo, where it is installed: ZeRO 2 and 3 are one process, and resume is exact. Without it, messages."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from halo_distributed.deepspeed import _configure
from safetensors.torch import load_file

from halo.cli.main import main
from halo.plugin import BackendContext, SettingsError
from halo.starter.defaults import FEEDBACK

installed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
COMMON = ["--learning-rate", "1e-3", "--warmup-ratio", "0", "--use-cpu", "--check", "false", "--max-steps", "4", "--max-grad-norm", "0.1"]


def launched(stage: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "halo", "train", *arguments]
    given = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage)}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])


def records(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "tokens_per_second"} for record in found]


@installed
@pytest.mark.parametrize("stage", [2, 3])
def test_two_processes_equal_one_and_resume_is_exact_to_the_bit(stage: int, tmp_path: Path) -> None:
    data = tmp_path / "11.jsonl"  # by six: 6 and 5, two and three passes
    data.write_text("".join(f"{line}\n" for line in FEEDBACK.read_text().splitlines()[:11]))
    common = ["aot", "--data", str(data), *COMMON]
    one, two, resumed = tmp_path / "one", tmp_path / "two", tmp_path / "resumed"
    assert main(["train", *common, "--per-device-train-batch-size", "6", "--output-dir", str(one)]) == 0
    split = ["--per-device-train-batch-size", "1", "--gradient-accumulation-steps", "3", "--backend", "deepspeed", "--save-steps", "2"]
    launched(stage, *common, *split, "--output-dir", str(two))
    for mine, theirs in zip(records(one), records(two), strict=True):
        assert list(mine) == list(theirs)
        for key, value in mine.items():
            assert math.isclose(value, theirs[key], rel_tol=1e-4, abs_tol=1e-5), f"{key} {value} {theirs[key]}"
    weights, others = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert {name: x.shape for name, x in weights.items()} == {name: x.shape for name, x in others.items()}
    assert max((weights[name] - others[name]).abs().max().item() for name in weights) < 1e-4
    launched(stage, "aot", "--resume", str(two / "checkpoint-2"), "--output-dir", str(resumed))
    assert records(resumed) == records(two)[2:]
    again = load_file(resumed / "model.safetensors")
    assert all(torch.equal(others[name], again[name]) for name in others)


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="deepspeed is installed")
def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", "--backend", "deepspeed", "--output-dir", str(tmp_path / "run")]) == 2
    assert "needs the package deepspeed; pip install deepspeed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@installed
def test_it_wants_a_launcher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dpo", "--backend", "deepspeed", "--output-dir", str(tmp_path / "run")]) == 1
    assert "needs a launcher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"optimizer": {"type": "Lion"}}, "leave it out: halo's AdamW"),
        ({"scheduler": {"type": "WarmupLR"}}, "--lr-scheduler-type is used"),
        ({"fp16": {"enabled": True}}, "it enables fp16"),
        ({"bf16": {"enabled": True}}, "--dtype and --bf16 say"),
        ({"zero_optimization": {"stage": 0}}, "stage 1, 2 or 3"),
    ],
)
def test_what_halo_does_itself_is_refused_in_a_configuration(entry: dict[str, Any], said: str) -> None:
    config: dict[str, Any] = {"zero_optimization": {"stage": 2}, **entry}
    with pytest.raises(SettingsError) as caught:
        _configure(config, BackendContext("no", (), "run"))
    assert said in str(caught.value)


def test_what_halo_decides_is_put_into_a_configuration() -> None:
    config: dict[str, Any] = {
        "zero_optimization": {"stage": 3},
        "bf16": {"enabled": "auto"},
        "train_batch_size": 32,
        "gradient_clipping": 7,
    }
    _configure(config, BackendContext("bf16", (), "run", max_grad_norm=0.5))
    assert (config["gradient_clipping"], config["gradient_accumulation_steps"], config["train_batch_size"]) == (0.5, 1, "auto")
    assert "bf16" not in config  # of the weights' own type, which is known when the engine is made
    assert config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"]
