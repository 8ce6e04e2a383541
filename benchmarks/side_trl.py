"""TRL's side of a comparison: runs what `--runs` says, one after the other, and prints one JSON line for each.

Runs in an environment that has TRL and need not have halo. A run is a JSON object; `Run` has its fields.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from steps import StepClock
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


@dataclass(frozen=True)
class Run:
    """One run: `steps` timed steps after `warmup`, of `batch` pairs in micro-batches of `micro`. `weights`: their type."""

    name: str
    model: str
    rows: str
    batch: int
    micro: int
    steps: int
    warmup: int = 1
    precision: str = "float32"
    weights: str = "float32"
    max_length: int = 2048
    learning_rate: float = 1e-6
    checkpointing: bool = False
    precompute: bool = False
    liger: bool = False
    padding_free: bool = False
    profile: bool = False


class InOrder(DPOTrainer):
    """The rows in the order they are given, as on the other side."""

    def _get_train_sampler(self, dataset=None):  # type: ignore[no-untyped-def]
        return SequentialSampler(dataset if dataset is not None else self.train_dataset)


class Watch(TrainerCallback):
    """Passes every step on to the clock and keeps the losses."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock
        self.losses: list[float] = []

    def on_step_end(self, *_, **__) -> None:  # type: ignore[no-untyped-def]
        self.clock.tick()

    def on_log(self, args, state, control, logs=None, **__) -> None:  # type: ignore[no-untyped-def]
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def configuration(run: Run, clock: StepClock, folder: str) -> DPOConfig:
    return DPOConfig(
        output_dir=folder, max_steps=clock.total, per_device_train_batch_size=run.micro, gradient_accumulation_steps=run.batch // run.micro,
        max_length=run.max_length, beta=0.1, learning_rate=run.learning_rate, lr_scheduler_type="linear", bf16=run.precision == "bf16",
        gradient_checkpointing=run.checkpointing, precompute_ref_log_probs=run.precompute, use_liger_kernel=run.liger,
        padding_free=run.padding_free, logging_steps=1, report_to=[], save_strategy="no", use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True, seed=0,
    )  # fmt: skip


def measured(run: Run) -> dict[str, Any]:
    """Trains and returns what the clock saw, the losses, and what TRL warned of."""
    rows = Dataset.from_list([json.loads(line) for line in Path(run.rows).read_text().splitlines()])
    clock = StepClock(run.warmup, run.steps, run.profile)
    watch = Watch(clock)
    model = AutoModelForCausalLM.from_pretrained(run.model, dtype=getattr(torch, run.weights))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        trainer = InOrder(
            model=model, args=configuration(run, clock, folder), train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(run.model), callbacks=[watch],
        )  # fmt: skip
        trainer.train()
    return clock.report() | {
        "losses": watch.losses,
        "warnings": sorted({str(w.message)[:200] for w in said if "padding_free" in str(w.message)}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="a JSON list")
    for fields in json.loads(parser.parse_args().runs):
        run = Run(**fields)
        try:
            found = measured(run)
        except (ImportError, RuntimeError, ValueError) as problem:  # a setting that this machine does not have ends its own run only
            found = {"error": f"{type(problem).__name__}: {str(problem).splitlines()[0][:300]}"}
        print(json.dumps({"side": "trl", "name": run.name, **found}), flush=True)
        AcceleratorState._reset_state(reset_partial_state=True)
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
