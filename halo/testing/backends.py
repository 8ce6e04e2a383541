"""Whether a backend keeps its contract: its processes are the launcher's, its precision the run's, and it trains as `single` does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from halo.plugin import Backend, BackendContext, Placement
from halo.testing.parts import Trained, require, train_steps

RELATIVE = 1e-4
"""Between two ways of adding the same float32 numbers up."""
COMPARED = ("loss", "grad_norm", "logps/chosen", "rewards/margins")


def check_backend(backend: Backend, processes: int = 1) -> None:
    """Raises AssertionError unless the backend keeps its contract, on the CPU.

    processes  with two or more, the installed backend of that name is also run under torch's launcher, and is to train as one
               process with the same effective batch does
    """
    for precision in ("no", "bf16"):
        with tempfile.TemporaryDirectory() as folder, _fresh():
            _check_placement(backend, BackendContext(precision, (), folder, True))
    with _fresh():
        single = train_steps("dpo", backend="single")
    with _fresh():
        own = train_steps("dpo", supplies=(("backend", backend),), backend=backend.name)
    _check_same(backend, single, own)
    if processes > 1:
        _check_launched(backend, processes)


@contextmanager
def _fresh() -> Iterator[None]:
    """accelerate keeps what it was first built with for the whole process, and a backend may change torch's modes."""
    from accelerate.state import AcceleratorState

    deterministic = torch.are_deterministic_algorithms_enabled()
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.use_deterministic_algorithms(deterministic)


def _check_placement(backend: Backend, context: BackendContext) -> None:
    def unless(condition: object, message: str) -> None:
        require(condition, f"the backend {backend.name}: {message}")

    built, launched = backend.build(context), int(os.environ.get("WORLD_SIZE", "1"))
    unless(isinstance(built, Placement), f"build gives {built!r}; a halo.plugin.Placement would be right")
    hint = "processes that form no group would train apart from one another without a word"
    unless(built.size == launched, f"it has {built.size} processes, the launcher started {launched}; {hint}")
    unless(0 <= built.rank < built.size, f"its rank is {built.rank}, and ranks are counted from 0 to below {built.size}")
    ranks = built.gather(built.rank)
    unless(ranks == list(range(built.size)), f"gather(rank) gives {ranks}; what every process gave, in the order of their ranks")
    unless(built.device.type == "cpu", f"its device is {built.device}, and context.cpu forces the CPU")
    with built.autocast():
        product = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    right = torch.bfloat16 if context.mixed_precision == "bf16" else torch.float32
    hint = f"{right} as context.mixed_precision {context.mixed_precision!r} says"
    unless(product == right, f"products under autocast() are {product}; {hint}")
    hint = "where trackers may write"
    unless(built.context.folder == context.folder, f"its folder is {built.context.folder}, not context.folder, {hint}")


def _check_same(backend: Backend, single: Trained, own: Trained) -> None:
    _check_metrics(backend, single.steps, own.steps)
    for name, value in single.weights.items():
        require(name in own.weights, f"the backend {backend.name}: after two steps the model has lost its weights {name}")
        worst = float((own.weights[name] - value).abs().max())
        message = f"after two steps {name} differs by {worst:.3g} from the weights that `single` ends with"
        require(worst <= RELATIVE * max(1.0, float(value.abs().max())), f"the backend {backend.name}: {message}")


def _check_metrics(backend: Backend, single: list[dict[str, float]], own: list[dict[str, float]]) -> None:
    require(len(own) == len(single), f"the backend {backend.name}: {len(own)} steps were logged, `single` logs {len(single)}")
    for one, other in zip(single, own, strict=True):
        for name in COMPARED:
            near = abs(one[name] - other[name]) <= RELATIVE * max(1.0, abs(one[name]))
            message = f"at step {one['step']:g} {name} is {other[name]:.7g}, and `single` has {one[name]:.7g} on the same batch"
            require(near, f"the backend {backend.name}: {message}")


def _check_launched(backend: Backend, processes: int) -> None:
    """The command line under torch's launcher, `processes` times two pairs a step, against one process with all of them."""
    single = _run(["--backend", "single", "--per-device-train-batch-size", str(2 * processes)], [])
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    own = _run(["--backend", backend.name, "--per-device-train-batch-size", "2"], launcher)
    _check_metrics(backend, single, own)


def _run(settings: list[str], launcher: list[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        arguments = ["train", "dpo", "--max-steps", "2", "--use-cpu", "--check", "false", "--warmup-ratio", "0", "--learning-rate", "1e-3"]
        command = [sys.executable, *launcher, "-m", "halo", *arguments, *settings, "--output-dir", str(output)]
        environment: Mapping[str, str] = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
        require(done.returncode == 0, f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
