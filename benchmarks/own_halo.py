"""One run of halo's DPO, for `against_trl.py`. Prints one JSON line; the time of scoring the reference ahead is counted."""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Mapping

from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective
from halo.training.assembly import assemble
from halo.training.loop import train
from halo.training.settings import Settings


class Clock:
    """Times every step after the first."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def progress(self, step: int, total: int, record: Mapping[str, float]) -> None:
        self.marks.append(time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, kind in (("model", str), ("rows", str), ("steps", int), ("batch", int), ("max-length", int), ("precision", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    micro = 1 if options.small else options.batch
    settings = Settings(
        model_name_or_path=options.model, data=options.rows, max_steps=options.steps + 1, per_device_train_batch_size=micro,
        gradient_accumulation_steps=options.batch // micro, max_length=options.max_length, learning_rate=1e-6, warmup_ratio=0,
        bf16=options.precision == "bf16", precompute_ref_log_probs=options.small, gradient_checkpointing=options.small,
        shuffle=False,
    )  # fmt: skip
    run = assemble(compile_source("dpo", {"beta": 0.1}, find_objective), settings, lambda line: None)
    clock = Clock()
    result = train(run, clock)
    seconds = clock.marks[-1] - clock.marks[0] + run.facts.get("reference_seconds", 0.0) * options.steps / (options.steps + 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps(
            {
                "pairs_per_second": options.steps * options.batch / seconds,
                "peak_gb": peak,
                "losses": [round(r["loss"], 5) for r in result.history],
            }
        )
    )


if __name__ == "__main__":
    main()
