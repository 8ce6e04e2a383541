"""`halo loop`: the commands of a recipe one after the other, each as if it had been typed. What is done is not done again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo.api.running import train
from halo.errors import Place, SettingsError
from halo.evaluation.run import run_evaluation
from halo.evaluation.settings import EvaluationSettings
from halo.fields import read_flags
from halo.files.lines import Lines
from halo.files.lock import Held, Lock
from halo.files.stage import unwritten
from halo.grading.run import ScoringSettings, run_scoring
from halo.options import as_text, parts
from halo.pairing.run import PairingSettings, run_pairing
from halo.plugin.registry import choose
from halo.recipes.loading import Loaded
from halo.recipes.plan import Step, planned
from halo.sampling.run import run_sampling
from halo.sampling.settings import SamplingSettings
from halo.training.saving.checkpoints import checkpoints

Say = Callable[[str], None]
DONE = "loop.jsonl"
"""A line for each command that has ended well: its key, its place, its seconds, and the command."""


def run_loop(loaded: Loaded, out: Path, allowed: Sequence[str], say: Say) -> list[Step]:
    """Runs what is not done; returns all steps. Raises HaloError, and the same command goes on from there."""
    steps = planned(loaded, out)
    check_allowed(steps, allowed)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = Lock.take(out)
    except Held as problem:
        raise SettingsError("output-folder", f"{out} is in use: {problem}", place=Place("--out"), hint="wait for it") from None
    except OSError as problem:
        raise unwritten(out, problem) from None
    try:
        lines = Lines(out / DONE)
        lines.mend()
        done = {(row["key"], row["out"]) for row in lines}
        for number, step in enumerate(steps, 1):
            head = f"{number}/{len(steps)} {step.name}"
            if _is_done(step, out, done):
                say(f"loop       {head}: done before")
                continue
            say(f"loop       {head}: {step.command}")
            begun = time.monotonic()
            RUNS[step.kind](step, say)
            seconds = round(time.monotonic() - begun, 1)
            lines.add({"key": step.key, "out": _place(step, out), "seconds": seconds, "command": step.command}, durable=True)
    finally:
        lock.release()
    return steps


def status(loaded: Loaded, out: Path) -> list[tuple[Step, bool]]:
    """Every step, and whether it is done."""
    done = {(row["key"], row["out"]) for row in Lines(out / DONE)}
    return [(step, _is_done(step, out, done)) for step in planned(loaded, out)]


def _is_done(step: Step, out: Path, done: set[tuple[str, str]]) -> bool:
    return (step.key, _place(step, out)) in done and step.out.exists()


def _place(step: Step, out: Path) -> str:
    """Within the loop's folder, which may be moved."""
    return str(step.out.relative_to(out))


def check_allowed(steps: Sequence[Step], allowed: Sequence[str]) -> None:
    """A recipe is data: what runs code or talks to a service must be repeated on the command line. Raises SettingsError."""
    for step in steps:
        for name in ("scorer", "sampler"):
            value = step.flags.get(name)
            if value is not None and choose(name, parts(value)[0]).reaches_out and as_text(value) not in allowed:
                message = f"{step.name} runs code or talks to a service: {as_text(value)}"
                hint = f"if you trust the recipe: --allow '{as_text(value)}'"
                raise SettingsError("wrong-value", message, place=Place("--allow"), hint=hint)
        if step.flags.get("trust_remote_code") and "trust_remote_code" not in allowed:
            message = f"{step.name} runs code that a model's folder holds"
            raise SettingsError("wrong-value", message, place=Place("--allow"), hint="if you trust the model: --allow trust_remote_code")


def _sample(step: Step, say: Say) -> None:
    more = {"model": step.words[0]} if step.words else {}
    run_sampling(read_flags(SamplingSettings, {}, {**step.flags, **more}, "sample"), say)


def _score(step: Step, say: Say) -> None:
    run_scoring(Path(step.words[0]), read_flags(ScoringSettings, {}, step.flags, "score"), say)


def _pair(step: Step, say: Say) -> None:
    if step.out.exists():  # whole, of this very key: killed between the file and the line that says so
        return
    run_pairing([Path(word) for word in step.words], read_flags(PairingSettings, {}, step.flags, "pair"), say)


def _train(step: Step, say: Say) -> None:
    """A run that was killed goes on from its last checkpoint; without one it begins again."""
    objective, *changes = step.words
    flags: dict[str, Any] = dict(step.flags)
    if step.out.is_dir() and checkpoints(step.out):
        flags = {"resume_from_checkpoint": str(step.out), **{name: value for name, value in flags.items() if name != "output_dir"}}
    elif step.out.is_dir():
        shutil.rmtree(step.out)  # this loop made it, under a name that holds its key
    train(objective, {name: float(value) for name, value in map(_change, changes)}, flags, say=say)


def _change(word: str) -> tuple[str, str]:
    name, _, value = word.removeprefix("--set=").partition("=")
    return name, value


def _eval(step: Step, say: Say) -> None:
    which, *targets = step.words
    run_evaluation(which.split("+"), targets, read_flags(EvaluationSettings, {}, step.flags, "eval"), say)


RUNS: Mapping[str, Callable[[Step, Say], None]] = {"sample": _sample, "score": _score, "pair": _pair, "train": _train, "eval": _eval}
"""By kind of stage what its command does."""


def as_json(steps: Sequence[tuple[Step, bool]]) -> str:
    """The plan for a program."""
    rows = [{"stage": step.name, "round": step.round, "command": step.command, "out": str(step.out), "done": done} for step, done in steps]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
