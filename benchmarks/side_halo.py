"""halo's side of a comparison: runs what `--runs` says, one after the other, and prints one JSON line for each.

A run is a JSON object; `Run` has its fields. The time of scoring the reference ahead is counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from steps import StepClock

from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective
from halo.training.run.assembly import assemble
from halo.training.run.loop import train
from halo.training.settings import Settings


@dataclass(frozen=True)
class Run:
    """One run: `steps` timed steps after `warmup`, of `batch` examples in micro-batches of `micro`."""

    name: str
    model: str
    rows: str
    batch: int
    micro: int
    steps: int
    warmup: int = 1
    objective: str = "dpo"
    precision: str = "float32"
    max_length: int = 2048
    learning_rate: float = 1e-6
    checkpointing: bool = False
    precompute: bool = False
    profile: bool = False
    cpu: bool = False
    attention: str = "as is"
    head: str = "as is"


class Observer:
    """Passes every logged step on to the clock."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock

    def progress(self, step: int, total: int, record: Mapping[str, float]) -> None:
        self.clock.tick()


def at_temperature_1(variant: Callable[..., Any]) -> Callable[..., Any]:
    """A head of the benchmark's in halo's place: it knows no temperature."""

    def scored(hidden: Any, targets: Any, weight: Any, bias: Any = None, temperature: Any = None) -> Any:
        assert temperature is None
        return variant(hidden, targets, weight, bias)

    return scored


@contextmanager
def variants(run: Run) -> Iterator[None]:
    """Puts another attention or head in the place of halo's while the run lasts."""
    import attention
    import head

    from halo.scoring import distributions, packed
    from halo.scoring import head as own

    before = packed.attention, distributions.token_logps, own.CHUNK_BYTES
    if run.attention != "as is":
        packed.attention = attention.PACKED[run.attention]
    if run.head != "as is":
        distributions.token_logps = at_temperature_1(head.VARIANTS[run.head])
    try:
        yield
    finally:
        packed.attention, distributions.token_logps, own.CHUNK_BYTES = before


def measured(run: Run) -> dict[str, Any]:
    """Trains and returns what the clock saw, and the losses."""
    clock = StepClock(run.warmup, run.steps, run.profile)
    parameters = {"beta": 0.1}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model_name_or_path=run.model, data=run.rows, max_steps=clock.total, per_device_train_batch_size=run.micro,
            gradient_accumulation_steps=run.batch // run.micro, max_length=run.max_length, learning_rate=run.learning_rate, warmup_ratio=0,
            bf16=run.precision == "bf16", precompute_ref_log_probs=run.precompute, gradient_checkpointing=run.checkpointing,
            use_cpu=run.cpu, shuffle=False, output_dir=str(Path(folder) / "run"), check=False,
        )  # fmt: skip
        assembled = assemble(compile_source(run.objective, parameters, find_objective), settings, lambda line: None)
        result = train(assembled, Observer(clock))
    report = clock.report()
    ahead = assembled.facts.get("reference_seconds", 0.0) / clock.total
    report["seconds"] = [seconds + ahead for seconds in report["seconds"]]
    return report | {"losses": [record["loss"] for record in result.history], "path": assembled.scorer.path}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", required=True, help="a JSON list")
    for fields in json.loads(parser.parse_args().runs):
        run = Run(**fields)
        with variants(run):
            print(json.dumps({"side": "halo", "name": run.name, **measured(run)}), flush=True)
        AcceleratorState._reset_state(reset_partial_state=True)  # the next run may want another device or precision
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
