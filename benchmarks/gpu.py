"""halo, its variants and TRL on one GPU, within ten minutes and without a network. Without a GPU: the same logic, tiny.

    python benchmarks/gpu.py [--seconds 580] [--out FOLDER]

Stages run in the order of what they are worth, each in a process of its own; one that the clock has no room for is left out
and named. Prints one JSON line for each measurement and a table at the end. benchmarks/README.md says what to bring along.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import made
import torch

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]


@dataclass
class Bench:
    """One benchmark: where its models and rows lie, when it must end, and what was found so far."""

    folder: Path
    deadline: float
    tiny: bool
    log: Callable[[Row], None]
    rows: list[Row] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def model(self, name: str) -> str:
        """The folder of a model, made when it is first asked for."""
        folder = self.folder / name
        if not folder.is_dir():
            made.make_model(self.size(name), folder)
        return str(folder)

    def size(self, name: str) -> made.Size:
        return made.SIZES["tiny" if self.tiny else name]

    def data(self, kind: str, model: str, count: int) -> str:
        file = self.folder / f"{kind}-{model}.jsonl"
        if not file.exists():
            made.make_rows(self.pairs(kind, count), self.size(model).vocabulary, file)
        return str(file)

    def pairs(self, kind: str, count: int) -> made.Lengths:
        return made.lengths("short" if self.tiny else kind, count)

    def run(self, stage: str, *command: str) -> None:
        """Runs a script beside this file; every JSON line it prints is kept and passed on, also if it is stopped by the clock."""
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            for line in lines_until(process, self.deadline):
                if line.startswith('{"'):  # transformers prints its logs as Python's dicts: {'loss': ...
                    self.keep({"stage": stage, **json.loads(line)})
            if process.wait() != 0:
                errors.seek(0)
                self.keep({"stage": stage, "name": "ended early", "error": errors.read()[-1500:]})

    def keep(self, row: Row) -> None:
        self.rows.append(row)
        self.log(row)


def lines_until(process: subprocess.Popen[str], deadline: float) -> Iterator[str]:
    """What a process prints, line by line; it is ended at the deadline."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            line = process.stdout.readline()
            if not line:
                return
            yield line
    process.kill()


# -- the stages ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """What a training stage runs: so many pairs of a kind a step, on a model."""

    model: str
    kind: str
    batch: int
    steps: int
    warmup: int

    def fields(self, bench: Bench) -> Row:
        """What both sides are told alike. One step more than is timed, for the profile."""
        count = self.batch * (self.steps + self.warmup + 1)
        return {
            "model": bench.model(self.model), "rows": bench.data(self.kind, self.model, count), "batch": self.batch, "steps": self.steps,
            "warmup": self.warmup, "precision": "bf16" if torch.cuda.is_available() else "float32", "learning_rate": 1e-5,
        }  # fmt: skip

    def timed(self, bench: Bench) -> list[made.Lengths]:
        """The pairs of each timed step."""
        pairs = bench.pairs(self.kind, self.batch * (self.steps + self.warmup + 1))
        return [pairs[self.batch * s : self.batch * (s + 1)] for s in range(self.warmup, self.warmup + self.steps)]


MAIN, LONG, WIDE = Load("1.2B", "hh", 16, 8, 3), Load("1.2B", "long", 16, 4, 2), Load("8B-like", "hh", 16, 4, 2)
LOADS = {"halo": MAIN, "trl": MAIN, "halo variants": MAIN, "halo long": LONG, "trl long": LONG, "halo wide": WIDE, "trl wide": WIDE}
SMALL = Load("small", "short", 4, 5, 1)
SAME = "same losses: "
"""What the name of a run begins with whose losses are compared and whose time is not."""
BOTH = {"attention": "varlen", "head": "tiles"}


def machine(bench: Bench) -> None:
    """Ceilings."""
    bench.run("machine", "kernels.py", "machine", *(["--tiny"] if bench.tiny else []))


def halo(bench: Bench) -> None:
    """halo as it is: DPO in small and large micro-batches, with the reference scored ahead, KTO; and whether its losses agree."""
    runs = [{"name": "dpo, micro 4", "micro": 4, "profile": True}, {"name": "dpo, micro 16", "micro": 16, "profile": True},
            {"name": "dpo, micro 16, reference scored ahead", "micro": 16, "precompute": True},
            {"name": "kto, micro 16", "micro": 16, "objective": "kto"}]  # fmt: skip
    same = [{"name": "device"}, {"name": "cpu", "cpu": True}, {"name": "device, tiles", "head": "tiles"},
            {"name": "device, bf16", "precision": "bf16"}, {"name": "device, bf16, varlen and tiles", "precision": "bf16", **BOTH}]  # fmt: skip
    if bench.tiny:
        runs, same = [runs[0], runs[3]], [{"name": "device"}, {"name": "device, varlen and tiles", **BOTH}]
    trained(bench, "halo", "side_halo.py", runs, same)


def trl(bench: Bench) -> None:
    """TRL's DPO: its defaults, what makes it faster, and whether its losses agree with halo's."""
    runs = [
        {"name": "defaults (checkpointing), micro 4", "micro": 4, "checkpointing": True, "profile": True},
        {"name": "no checkpointing, micro 4", "micro": 4},
        {"name": "no checkpointing, micro 16", "micro": 16, "profile": True},
        {"name": "no checkpointing, micro 16, bfloat16 weights", "micro": 16, "weights": "bfloat16"},
        {"name": "no checkpointing, micro 16, bfloat16 weights, liger", "micro": 16, "weights": "bfloat16", "liger": True},
        {"name": "no checkpointing, micro 16, padding_free", "micro": 16, "padding_free": True},
    ]
    trained(bench, "trl", "side_trl.py", runs[:1] if bench.tiny else runs, [{"name": "device"}])


def halo_variants(bench: Bench) -> None:
    """halo's DPO with another attention, another head, and both."""
    runs = [{"name": "dpo, micro 16, varlen and tiles", "micro": 16, "profile": True, **BOTH},
            {"name": "dpo, micro 4, varlen and tiles", "micro": 4, **BOTH},
            {"name": "dpo, micro 16, tiles", "micro": 16, "head": "tiles"},
            {"name": "dpo, micro 16, varlen", "micro": 16, "attention": "varlen"}]  # fmt: skip
    trained(bench, "halo variants", "side_halo.py", runs[:1] if bench.tiny else runs)


def head(bench: Bench) -> None:
    """The head alone."""
    bench.run("head", "kernels.py", "head", *(["--tiny"] if bench.tiny else []))


def attention(bench: Bench) -> None:
    """Attention alone."""
    bench.run("attention", "kernels.py", "attention", *(["--tiny"] if bench.tiny else []))


def long(bench: Bench) -> None:
    """Longer pairs, both sides."""
    trained(
        bench,
        "halo long",
        "side_halo.py",
        [{"name": "dpo, micro 8", "micro": 8}, {"name": "dpo, micro 8, varlen and tiles", "micro": 8, **BOTH}],
    )
    trained(bench, "trl long", "side_trl.py", [{"name": "no checkpointing, micro 8, bfloat16 weights", "micro": 8, "weights": "bfloat16"}])


def wide(bench: Bench) -> None:
    """Layers as wide as an 8B model's, both sides."""
    trained(
        bench,
        "halo wide",
        "side_halo.py",
        [{"name": "dpo, micro 8", "micro": 8}, {"name": "dpo, micro 8, varlen and tiles", "micro": 8, **BOTH}],
    )
    trained(bench, "trl wide", "side_trl.py", [{"name": "no checkpointing, micro 8, bfloat16 weights", "micro": 8, "weights": "bfloat16"}])


STAGES: list[tuple[Callable[[Bench], None], float]] = [
    (machine, 20), (halo, 60), (trl, 60), (halo_variants, 50), (head, 40), (attention, 40), (long, 60), (wide, 60),
]  # fmt: skip
"""In the order of worth, with the seconds that must be left for a stage to be begun."""


def trained(bench: Bench, stage: str, script: str, runs: list[Row], same: list[Row] | None = None) -> None:
    """Runs one side on the stage's load; `same` are runs of the small load in float32, whose losses are compared.

    In a tiny run every micro-batch is a whole step.
    """
    load = LOADS[stage]
    if bench.tiny:
        load = LOADS[stage] = Load(load.model, load.kind, 4, 2, 1)
        runs = [{**run, "micro": min(4, run["micro"])} for run in runs]
    small = {**SMALL.fields(bench), "precision": "float32", "learning_rate": 1e-3, "micro": SMALL.batch}
    compared = [{**small, **run, "name": SAME + run["name"]} for run in same or []]
    bench.run(stage, script, "--runs", json.dumps([{**load.fields(bench), **run} for run in runs] + compared))


# -- the table -----------------------------------------------------------------------------------------------------


def summary(bench: Bench) -> list[Row]:
    """One row for each training run: tokens a second, MFU, memory, launches, ratio to TRL's fastest run of the same load."""
    ceiling = next((row["tflops"] for row in bench.rows if row["stage"] == "machine" and row["name"] == "product"), None)
    rows = []
    for row in bench.rows:
        if row["stage"] in LOADS and "seconds" in row and not row["name"].startswith(SAME):
            rows.append(_summed(bench, row, ceiling))
    for row in rows:
        peers = [peer["pairs_per_second"] for peer in rows if peer["side"] == "trl" and peer["load"] == row["load"]]
        row["to_trl"] = row["pairs_per_second"] / max(peers) if peers else None
    return rows


def _summed(bench: Bench, row: Row, ceiling: float | None) -> Row:
    load = LOADS[row["stage"]]
    steps, seconds = load.timed(bench), row["seconds"]
    tokens = [made.tokens(step) for step in steps]
    half = len(seconds) // 2
    speeds = [sum(t) / sum(s) for t, s in ((tokens[:half], seconds[:half]), (tokens[half:], seconds[half:]))]
    size = bench.size(load.model)
    flops = sum(made.step_flops(size, step) for step in steps)
    paired = not row["name"].startswith("kto")  # a labelled example is half a pair, and has another completion to score
    return {
        "side": row["side"], "load": f"{load.model}, {load.kind}", "name": row["name"], "pairs_per_second": load.batch * len(steps) / sum(seconds),
        "tokens_per_second": sum(tokens) / sum(seconds) if paired else None,
        "halves": [round(speed) for speed in speeds] if paired else None,
        "mfu": flops / sum(seconds) / (ceiling * 1e12) if ceiling and paired else None,
        "median_ms": 1000 * statistics.median(seconds), "peak_gb": row["peak_gb"],
        "kernels": row.get("kernels"), "host_reads": row.get("host_reads"), "busy": row.get("busy"), "losses": row["losses"],
    }  # fmt: skip


def disagreement(bench: Bench) -> list[Row]:
    """The largest difference of a loss from halo's on the device in float32, over the steps of the small run."""
    compared = [row for row in bench.rows if row["name"].startswith(SAME) and "losses" in row]
    first = next((row["losses"] for row in compared if row["side"] == "halo" and row["name"] == SAME + "device"), [])
    found = []
    for row in compared:
        difference = max((abs(a - b) for a, b in zip(first, row["losses"], strict=False)), default=float("nan"))
        found.append(
            {"side": row["side"], "name": row["name"].removeprefix(SAME), "difference": difference, "moved": max(first) - min(first)}
        )
    return found


COLUMNS = {"tokens_per_second": ("tok/s", ".0f"), "pairs_per_second": ("ex/s", ".1f"), "mfu": ("MFU", ".1%"), "peak_gb": ("GB", ".1f"),
           "kernels": ("kernels", ".0f"), "host_reads": ("reads", ".0f"), "busy": ("busy", ".0%"), "to_trl": ("x TRL", ".2f")}  # fmt: skip


def table(rows: list[Row], differences: list[Row]) -> str:
    """Plain text."""
    lines = ["", f"{'side, load, setting':<84}" + "".join(f"{head:>9}" for head, _ in COLUMNS.values())]
    for row in sorted(rows, key=lambda row: (row["load"], row["side"])):
        cells = "".join(f"{_cell(row[key], form):>9}" for key, (_, form) in COLUMNS.items())
        lines.append(f"{row['side'] + ', ' + row['load'] + ': ' + row['name']:<84}{cells}")
    for row in differences:
        lines.append(
            f"losses of {row['side']}, {row['name']}: within {row['difference']:.2g} of halo's in float32 (they move by {row['moved']:.2g})"
        )
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=580, help="everything ends by then")
    parser.add_argument("--out", type=Path, help="folder for measurements.jsonl and table.txt")
    parser.add_argument("--tiny", action="store_true", help="tiny models even on a GPU")
    parser.add_argument("--stages", nargs="*", help="these only")
    options = parser.parse_args()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)

    def log(row: Row) -> None:
        print(json.dumps(row), flush=True)
        if options.out:
            with (options.out / "measurements.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        tiny = options.tiny or not torch.cuda.is_available()
        bench = Bench(Path(folder), time.monotonic() + options.seconds, tiny, log)
        for stage, needed in STAGES:
            if options.stages and stage.__name__ not in options.stages:
                continue
            if bench.left < (5 if tiny else needed):
                bench.keep({"stage": stage.__name__, "name": "left out", "reason": f"{bench.left:.0f} s were left"})
                continue
            started = time.monotonic()
            stage(bench)
            bench.keep({"stage": stage.__name__, "name": "done", "took": round(time.monotonic() - started, 1)})
        rows, differences = summary(bench), disagreement(bench)
    for row in [*rows, *differences]:
        log({"stage": "summary", **row})
    text = table(rows, differences)
    print(text)
    if options.out:
        (options.out / "table.txt").write_text(text + "\n")


if __name__ == "__main__":
    main()
