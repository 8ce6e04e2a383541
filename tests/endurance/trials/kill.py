"""A run is killed at random moments and resumed: it ends as one that nobody killed, to the bit."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from halo.files.manifest import MANIFEST, Damaged, verified
from trials.core import Attack, Ground
from trials.made import LONG, STEPS, unlike
from trials.processes import Process


def steps_of(run: Path) -> int:
    """How many whole lines its metrics have."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def moment(ground: Ground, process: Process, run: Path) -> None:
    """Waits for a random moment of a run: some time after it began, or after a step."""
    if ground.rng.random() < 0.4:
        seconds = ground.rng.uniform(0, 1.2)
        ground.note(f"  after {seconds:.3f} s")
    else:
        step, seconds = ground.rng.randrange(1, STEPS), ground.rng.uniform(0, 0.08)
        ground.note(f"  {seconds:.3f} s after step {step}")
        while steps_of(run) < step and process.lives():
            time.sleep(0.002)
    time.sleep(seconds)


def newest(run: Path) -> Path | None:
    """The checkpoint with the highest number that has a manifest, which is written last."""
    found = [path for path in run.glob("checkpoint-*") if (path / MANIFEST).is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def whole_newest(ground: Ground, run: Path) -> Path | None:
    """The newest checkpoint, which must be whole."""
    found = newest(run)
    if found is not None:
        try:
            verified(found)
        except Damaged as problem:
            ground.must(False, f"{found} is not whole: {problem}")
    return found


def go_on(ground: Ground, run: Path, count: int) -> tuple[Path, tuple[str, ...]]:
    """The folder and the words to go on with: the run's own where it has a checkpoint, else a new run."""
    if whole_newest(ground, run) is not None:
        return run, ("train", "dpo", "--resume", str(run), "--check", "false")
    new = ground.folder / f"run-{count}"
    return new, ground.made.words(new, *LONG)


def carry(ground: Ground) -> None:
    run = ground.folder / "run"
    words, anew = ground.made.words(run, *LONG), ground.rng.random() < 0.1
    for count in range(ground.rng.choice([1, 1, 2, 3])):
        process = ground.start(*words, anew=anew)
        moment(ground, process, run)
        process.send(signal.SIGKILL)
        ground.ended(process)
        run, words = go_on(ground, run, count)
    ended = ground.halo(*words)
    finished = ended.code == 2 and "the run is finished" in ended.err
    ground.must(ended.code == 0 or finished, f"it did not go on: {ended.code} {ended.err[-1000:]}")
    different = unlike(run, ground.made.long)
    ground.must(not different, f"not as a run that nobody killed: {different}")
    left = [path.name for path in run.iterdir() if path.name.endswith(".draft")]
    ground.must(not left, f"{left} was left behind")


KILL = Attack("kill", 20, carry)
