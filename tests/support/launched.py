"""Several runs one after the other in one launch of two processes, since starting up costs more than three steps."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tiny
from safetensors.torch import load_file
from tolerances import ADAM, RUN

from halo.cli.main import main

EXACT = ["--learning-rate", "1e-3", "--warmup-ratio", "0", "--dtype", "float64", "--use-cpu", "--check", "false", "--max-steps", "3",
         "--logging-steps", "1", "--max-grad-norm", "0.1"]  # fmt: skip
"""Numbers alike to rounding whatever the batching, and a limit that every gradient of these runs is past."""

CARRIED = {
    "name": "carried",
    "extends": "dpo",
    "let": {"u": "sum(logp - ref_logp)", "gap": "chosen.u - rejected.u"},
    "statistics": {
        "gap_mean": {"of": "gap", "reduce": "mean", "update": "ema(0.7)"},
        "spread": {"of": "gap", "reduce": "std", "update": "all", "start": 1},
    },
    "reward": "u",
    "normalizer": "stop(max(1e-3, beta * (1 + batch_mean(gap) - gap_mean)))",
    "margin": "gap_mean / (1 + spread)",
}
"""An objective that carries statistics from step to step."""


def two_ranks(folder: Path, runs: Sequence[Sequence[str]], script: str = __file__, environment: Mapping[str, str] | None = None) -> str:
    """Runs `halo ARGUMENTS` for each of `runs` on two processes with gloo; returns what was printed."""
    listed = folder / "runs.json"
    listed.write_text(json.dumps([list(run) for run in runs]))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, str(listed)]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-6000:])
    return done.stdout


def rows(file: Path, first: int, count: int) -> str:
    """A data file with some of the embedded pairs."""
    file.write_text("".join(f"{line}\n" for line in tiny.FEEDBACK.read_text().splitlines()[first : first + count]))
    return str(file)


def labels(file: Path, first: int, count: int) -> str:
    """A data file with an answer of each of some of the embedded pairs, in turn the good and the bad one."""
    pairs = [json.loads(line) for line in tiny.FEEDBACK.read_text().splitlines()[first : first + count]]
    sides = [("chosen", True), ("rejected", False)]
    labelled = [{"prompt": p["prompt"], "completion": p[sides[i % 2][0]], "label": sides[i % 2][1]} for i, p in enumerate(pairs)]
    file.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    return str(file)


def records(folder: Path) -> list[dict[str, Any]]:
    """What a run logged, without its speed."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "tokens_per_second"} for record in found]


def assert_alike(one: Path, other: Path) -> None:
    """Two runs in float64 logged the same numbers and saved the same weights, to rounding."""
    for mine, theirs in zip(records(one), records(other), strict=True):
        assert list(mine) == list(theirs), f"{other.name}: {list(theirs)}"
        for key, value in mine.items():
            assert math.isclose(value, theirs[key], rel_tol=RUN, abs_tol=10 * RUN), f"{other.name}: {key} {value} {theirs[key]}"
    weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert list(weights) == list(others), f"{other.name}: {list(others)}"
    assert {name: x.shape for name, x in weights.items()} == {name: x.shape for name, x in others.items()}, other.name
    apart = max((weights[name] - others[name]).abs().max().item() for name in weights)
    assert apart < ADAM, f"{other.name}: weights differ by {apart}"


if __name__ == "__main__":
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        code = main(arguments)
        if code:
            sys.exit(code)
