"""One run of TRL's DPO, for `against_trl.py`. Runs in an environment that has TRL; prints one JSON line."""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class InOrder(DPOTrainer):
    """The rows in the order they are given, as on the other side."""

    def _get_train_sampler(self, dataset=None):  # type: ignore[no-untyped-def]
        return SequentialSampler(dataset if dataset is not None else self.train_dataset)


class Clock(TrainerCallback):
    """Times every step after the first."""

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, *_, **__) -> None:  # type: ignore[no-untyped-def]
        self.marks.append(time.perf_counter())

    def on_log(self, args, state, control, logs=None, **__) -> None:  # type: ignore[no-untyped-def]
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("model", str), ("rows", str), ("steps", int), ("batch", int), ("max-length", int), ("precision", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--checkpointing", action="store_true")
    options = parser.parse_args()
    rows = Dataset.from_list([json.loads(line) for line in Path(options.rows).read_text().splitlines()])
    config = DPOConfig(
        output_dir="trl", max_steps=options.steps + 1, per_device_train_batch_size=options.batch, max_length=options.max_length, beta=0.1,
        learning_rate=1e-6, bf16=options.precision == "bf16", gradient_checkpointing=options.checkpointing, logging_steps=1, report_to=[],
        save_strategy="no", use_cpu=not torch.cuda.is_available(), disable_tqdm=True, seed=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    clock = Clock()
    trainer = InOrder(
        model=model, args=config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(options.model), callbacks=[clock]
    )
    trainer.train()
    seconds = clock.marks[-1] - clock.marks[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps(
            {"pairs_per_second": options.steps * options.batch / seconds, "peak_gb": peak, "losses": [round(x, 5) for x in clock.losses]}
        )
    )


if __name__ == "__main__":
    main()
