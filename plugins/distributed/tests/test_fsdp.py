"""FSDP2 on two processes with gloo is one process: metrics, weights, clipping, resume, moving reference, evaluation, tied weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launched import assert_alike, records, rows
from safetensors.torch import load_file
from tolerances import ADAM, RUN, assert_near

from halo.cli.main import main
from halo.plugin.registry import supplied
from halo.starter.defaults import POLICY

pytestmark = pytest.mark.workflow

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SCRIPT = Path(__file__).parent / "on_two_ranks.py"
EXACT = ["--learning-rate", "1e-3", "--warmup-ratio", "0", "--dtype", "float64", "--use-cpu", "--check", "false", "--max-steps", "4",
         "--logging-steps", "1", "--max-grad-norm", "0.1"]  # fmt: skip
WHOLE = ["--per-device-train-batch-size", "6", "--per-device-eval-batch-size", "4"]
SPLIT = ["--per-device-train-batch-size", "1", "--gradient-accumulation-steps", "3", "--per-device-eval-batch-size", "2"]
EVALUATED = ["--eval-strategy", "epoch"]


def launched(folder: Path, runs: list[list[str]], launcher: list[str] = TORCHRUN, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "runs.json").write_text(json.dumps(runs))
    command = [sys.executable, *launcher, str(SCRIPT), str(folder / "runs.json")]
    given = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=300, check=False)


def write_tied(folder: Path) -> str:
    """A small model whose head is its embeddings, with the embedded policy's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(POLICY, tie_word_embeddings=True, num_hidden_layers=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(POLICY).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run of this module on two processes in one launch, and the same in this process."""
    base = tmp_path_factory.mktemp("fsdp")
    few, uneven, held_out = rows(base / "24.jsonl", 0, 24), rows(base / "11.jsonl", 0, 11), rows(base / "9.jsonl", 100, 9)
    moving = ["--reference", "moving:every=2,mixup=0.3"]
    cases: dict[str, list[str]] = {
        "dpo": ["dpo", "--data", uneven, "--eval-data", held_out, *EVALUATED],  # by six: 6 and 5, two and three passes
        "kto": ["kto", "--data", few],
        "aot": ["aot", "--data", rows(base / "7.jsonl", 0, 7)],  # by six: 6 and 1, of which one process has none
        "moving": ["tr_dpo", "--data", few, *moving],
        "whole-distributions": ["tdpo2", "--data", few],
        "ahead-entropy": ["mallows_po", "--data", few, "--precompute-ref-log-probs"],
        "checkpointed": ["dpo", "--data", few, "--gradient-checkpointing"],
        "tied": ["dpo", "--data", few, "--model", write_tied(base / "model")],
    }
    runs = []
    for name, arguments in cases.items():
        assert main(["train", *arguments, *EXACT, *WHOLE, "--output-dir", str(base / "one" / name)]) == 0
        runs.append(["train", *arguments, *EXACT, *SPLIT, "--backend", "fsdp", "--output-dir", str(base / "two" / name)])
    saving = ["tr_dpo", "--data", few, *moving, *EXACT, *SPLIT, "--backend", "fsdp", "--save-steps", "3"]  # the reference moved before
    runs.append(["train", *saving, "--output-dir", str(base / "two" / "broken")])
    runs.append(
        ["train", "tr_dpo", "--resume", str(base / "two" / "broken" / "checkpoint-3"), "--output-dir", str(base / "two" / "resumed")]
    )
    done = launched(base, runs)
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])
    (base / "said").write_text(done.stdout)
    return base


CASES = ("dpo", "kto", "aot", "moving", "whole-distributions", "ahead-entropy", "checkpointed", "tied")


@pytest.mark.parametrize("name", CASES)
def test_two_sharded_processes_equal_one(name: str, trained: Path) -> None:
    assert_alike(trained / "one" / name, trained / "two" / name)


def test_it_was_sharded_and_clipped_and_evaluated(trained: Path) -> None:
    said = (trained / "said").read_text()
    assert said.count("sharded 0") == said.count("sharded 1") == len(CASES) + 2  # what on_two_ranks.py asserts of every run
    assert said.count("backend fsdp (as set)") == len(CASES) + 2
    assert all(record["grad_norm"] > 0.1 for record in records(trained / "two" / "dpo") if "grad_norm" in record)
    assert any("eval_loss" in record for record in records(trained / "two" / "dpo"))


def test_the_folder_loads_without_halo(trained: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = trained / "two" / "tied"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    other = AutoModelForCausalLM.from_pretrained(trained / "one" / "tied")
    ids = tokenizer("sort 312", return_tensors="pt").input_ids
    assert_near(model(ids).logits, other(ids).logits, ADAM)


def test_resume_is_exact_to_the_bit(trained: Path) -> None:
    straight, broken, resumed = (trained / "two" / name for name in ("moving", "broken", "resumed"))
    assert records(resumed) == records(straight)[3:]
    for folder in (broken, resumed):
        weights, others = load_file(straight / "model.safetensors"), load_file(folder / "model.safetensors")
        assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_checkpoint_is_that_of_one_process_too(trained: Path, tmp_path: Path) -> None:
    """What two processes wrote one goes on with: weights, optimizer and moving reference are whole in the file."""
    checkpoint = str(trained / "two" / "broken" / "checkpoint-3")
    common = ["train", "tr_dpo", "--resume", checkpoint, "--backend", "auto", *WHOLE, "--gradient-accumulation-steps", "1"]
    assert main([*common, "--output-dir", str(tmp_path / "run")]) == 0
    (mine,), theirs = records(tmp_path / "run"), records(trained / "two" / "moving")[3]
    assert mine == pytest.approx(theirs, rel=RUN, abs=10 * RUN)
    weights, others = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", trained / "two" / "moving"))
    assert max((weights[name] - others[name]).abs().max().item() for name in weights) < ADAM


def test_accelerates_launcher_is_obeyed(trained: Path, tmp_path: Path) -> None:
    """Its configuration makes the run FSDP; that it would load weights on the first process alone does no harm to the reference."""
    launcher = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
                "--dynamo_backend", "no", "--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP",
                "--fsdp_cpu_ram_efficient_loading", "true"]  # fmt: skip
    common = ["train", "kto", "--data", str(trained / "24.jsonl"), *EXACT, *SPLIT]
    done = launched(tmp_path, [[*common, "--output-dir", str(tmp_path / "run")]], launcher)
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])
    assert "backend fsdp (as accelerate launch is configured)" in done.stdout
    assert_alike(trained / "one" / "kto", tmp_path / "run")


@pytest.mark.parametrize(
    ("environment", "said", "code"),
    [
        ({"WORLD_SIZE": "1"}, "the backend fsdp shards over several processes, and there is one", 1),
        ({"WORLD_SIZE": "2", "FSDP_VERSION": "1"}, "it asks for FSDP 1; fsdp_version: 2", 2),
        ({"WORLD_SIZE": "2", "FSDP_ACTIVATION_CHECKPOINTING": "true"}, "--gradient-checkpointing does it", 2),
        ({"WORLD_SIZE": "2", "FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP"}, "it asks to wrap by size", 2),
    ],
)
def test_what_cannot_be_is_one_message(
    environment: dict[str, str], said: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "dpo", "--backend", "fsdp", "--check", "false", "--output-dir", str(tmp_path / "run")]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_processes_without_a_group_never_train(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    from halo.plugin import BackendContext, RunFailed

    for name, value in {"WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}.items():
        monkeypatch.setenv(name, value)  # the latter two are set on the way: taken back afterwards
    monkeypatch.setattr(Accelerator, "__init__", lambda self, **more: None)
    monkeypatch.setattr(Accelerator, "num_processes", 1)
    build = {item.name: item.thing.build for item in supplied("backend")}
    with pytest.raises(RunFailed, match="started 2 processes but they form a group of 1"):
        build["fsdp"](BackendContext("no", (), "run"))


def test_it_uses_nothing_that_a_stranger_could_not() -> None:
    for file in Path(__file__).parents[1].glob("halo_distributed/*.py"):
        imported = re.findall(r"^\s*from (halo[.\w]*) import|^\s*import (halo[.\w]*)", file.read_text(), flags=re.M)
        own = {"halo_distributed.launching", "halo_distributed.fsdp", "halo_distributed.deepspeed"}
        assert {name for pair in imported for name in pair if name} <= {"halo.plugin"} | own


def test_they_are_this_packages() -> None:
    assert [item.name for item in supplied("backend") if item.plugin == "distributed"] == ["fsdp", "deepspeed"]
