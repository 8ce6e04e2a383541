"""`halo loop`: the commands of a recipe one after the other, each as if it had been typed. What is done is not done again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halo.api.running import train
from halo.errors import DataError, HaloError, Place, SettingsError
from halo.evaluation.run import run_evaluation
from halo.evaluation.settings import EvaluationSettings
from halo.fields import read_flags
from halo.files.lines import Lines
from halo.files.lock import Held, Lock
from halo.files.manifest import digest
from halo.files.stage import FULL, check_finished, unwritten
from halo.grading.run import ScoringSettings, run_scoring
from halo.pairing.run import PairingSettings, run_pairing
from halo.recipes.checks import check_allowed, checked, numbers_of
from halo.recipes.loading import Loaded
from halo.recipes.plan import Step
from halo.sampling.run import run_sampling
from halo.sampling.settings import SamplingSettings
from halo.training.saving.checkpoints import checkpoints

Say = Callable[[str], None]
DONE = "loop.jsonl"
"""A line for each command that has ended well: its key, its place, its seconds, the command, and of a file that it made the sha256."""
FOLDERS = ("sample", "eval")
"""Kinds of stages whose folders say themselves what they hold."""


def run_loop(loaded: Loaded, out: Path, allowed: Sequence[str], say: Say) -> list[Step]:
    """Runs what is not done; returns all steps. Raises HaloError, and the same command goes on from there."""
    steps = checked(loaded, out)
    check_allowed(steps, allowed)
    lock = _taken(out)
    try:
        lines = Lines(out / DONE)
        lines.mend()
        done = _done(out)
        for number, step in enumerate(steps, 1):
            head = f"{number}/{len(steps)} {step.name}"
            if _is_done(step, out, done):
                say(f"loop       {head}: done before")
                continue
            say(f"loop       {head}: {step.command}")
            begun = time.monotonic()
            RUNS[step.kind](step, say)
            seconds = round(time.monotonic() - begun, 1)
            told = {"key": step.key, "out": _place(step, out), "seconds": seconds, "command": step.command}
            lines.add(told | ({"sha256": digest(step.out)} if step.out.is_file() else {}), durable=True)
    finally:
        lock.release()
    return steps


def status(loaded: Loaded, out: Path) -> list[tuple[Step, bool]]:
    """Every step, and whether it is done. Raises HaloError, as the loop would."""
    steps = checked(loaded, out)
    _check_folder(out)
    done = _done(out)
    return [(step, _is_done(step, out, done)) for step in steps]


def _taken(out: Path) -> Lock:
    """The loop's folder, made and held. Raises HaloError."""
    _check_folder(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return Lock.take(out)
    except Held as problem:
        raise SettingsError("output-folder", f"{out} is in use: {problem}", place=Place("--out"), hint="wait for it") from None
    except OSError as problem:
        if problem.errno in FULL:
            raise unwritten(out, problem) from None
        message = f"{out} cannot be written: {problem.strerror or problem}"
        raise SettingsError("output-folder", message, place=Place("--out"), hint="choose another") from None


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SettingsError("output-folder", f"{out} is no folder", place=Place("--out"), hint="choose another")


def _done(out: Path) -> dict[tuple[str, str], str | None]:
    """By key and place what is done, with the sha256 of what is a file. Raises DataError for a line that no loop wrote."""
    found = dict[tuple[str, str], str | None]()
    for number, row in enumerate(Lines(out / DONE), 1):
        key, place, told = row.get("key"), row.get("out"), row.get("sha256")
        if not (isinstance(key, str) and isinstance(place, str) and isinstance(told, str | None)):
            hint = "something else wrote to it; take the line out"
            raise DataError("data-row", "a line that is of no command", place=Place(str(out / DONE), number), hint=hint)
        found[(key, place)] = told
    return found


def _is_done(step: Step, out: Path, done: Mapping[tuple[str, str], str | None]) -> bool:
    """Whether it is recorded and there. Raises SettingsError for what is there and not as it was made."""
    key = (step.key, _place(step, out))
    if key not in done or not step.out.exists():
        return False
    message = ""
    if done[key] is not None and not (step.out.is_file() and digest(step.out) == done[key]):
        message = f"{step.out} is not as it was made"
    elif step.kind in FOLDERS:
        message = _damage(step.out)
    if message:
        hint = f"remove {step.out}, and it is made again, or run with another --out"
        raise SettingsError("output-folder", f"{step.name}: {message}", place=Place("--out"), hint=hint)
    return True


def _damage(folder: Path) -> str:
    """What of a finished folder is not as it was."""
    try:
        check_finished(folder)
    except HaloError as problem:
        return problem.message
    return ""


def _place(step: Step, out: Path) -> str:
    """Within the loop's folder, which may be moved."""
    return str(step.out.relative_to(out))


def _sample(step: Step, say: Say) -> None:
    more = {"model": step.words[0]} if step.words else {}
    run_sampling(read_flags(SamplingSettings, {}, {**step.flags, **more}, "sample"), say)


def _score(step: Step, say: Say) -> None:
    run_scoring(Path(step.words[0]), read_flags(ScoringSettings, {}, step.flags, "score"), say)


def _pair(step: Step, say: Say) -> None:
    step.out.unlink(missing_ok=True)  # killed between the file and the line that says so: the same file again
    run_pairing([Path(word) for word in step.words], read_flags(PairingSettings, {}, step.flags, "pair"), say)


def _train(step: Step, say: Say) -> None:
    """A run that was killed goes on from its last checkpoint; without one it begins again."""
    flags: dict[str, Any] = dict(step.flags)
    if step.out.is_dir() and checkpoints(step.out):
        flags = {"resume_from_checkpoint": str(step.out), **{name: value for name, value in flags.items() if name != "output_dir"}}
    elif step.out.is_dir():
        shutil.rmtree(step.out)  # this loop made it, under a name that holds its key
    train(step.words[0], numbers_of(step), flags, say=say)


def _eval(step: Step, say: Say) -> None:
    which, *targets = step.words
    run_evaluation(which.split("+"), targets, read_flags(EvaluationSettings, {}, step.flags, "eval"), say)


RUNS: Mapping[str, Callable[[Step, Say], None]] = {"sample": _sample, "score": _score, "pair": _pair, "train": _train, "eval": _eval}
"""By kind of stage what its command does."""


def as_json(steps: Sequence[tuple[Step, bool]]) -> str:
    """The plan for a program."""
    rows = [{"stage": step.name, "round": step.round, "command": step.command, "out": str(step.out), "done": done} for step, done in steps]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
