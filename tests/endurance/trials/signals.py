"""A run is told to stop, once or twice, at a random moment: its exit code says by what, what it saved is whole, and it can go on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from trials.core import Attack, Ground
from trials.kill import go_on, moment, steps_of, whole_newest
from trials.made import LONG, STEPS, unlike
from trials.processes import Ended

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


def asked(ground: Ground, run: Path) -> tuple[Ended, list[signal.Signals], int]:
    """A run that gets one signal or two: its end, the signals, and the steps that were done when the first one came."""
    process = ground.start(*ground.made.words(run, *LONG), anew=ground.rng.random() < 0.15)
    moment(ground, process, run)
    sent, before = [ground.rng.choice(sorted(CODES))], steps_of(run)
    process.send(sent[0])
    if ground.rng.random() < 0.3:
        time.sleep(ground.rng.choice([0.0, 0.001, 0.01, 0.05]))
        sent.append(ground.rng.choice(sorted(CODES)))
        process.send(sent[1])
    ground.note(f"  {', '.join(number.name for number in sent)} after {before} steps")
    return ground.ended(process, limit=40), sent, before


def well_ended(ground: Ground, ended: Ended, sent: list[signal.Signals], before: int) -> None:
    """The exit code is the signal's. A run that ended by itself before is done."""
    codes = {0} if before >= STEPS - 1 else set[int]()
    for number in sent:
        codes |= {CODES[number], -number}  # as the shell has it, or ended by the signal itself
    if len(sent) == 1 and before:
        codes = {CODES[sent[0]]} | ({0} if before >= STEPS - 1 else set[int]())
    ground.must(ended.code in codes, f"it ended with {ended.code}, not {sorted(codes)}: {ended.err[-1000:]}")


def carry(ground: Ground) -> None:
    run = ground.folder / "run"
    ended, sent, before = asked(ground, run)
    if run.exists():  # before, Python tells of an interrupt in its own way
        ground.must("Traceback" not in ended.err, f"a traceback: {ended.err[-1500:]}")
        saved = whole_newest(ground, run)
        if len(sent) == 1 and ended.code == CODES[sent[0]] and before:
            ground.must(saved is not None and str(saved) in ended.err, f"{saved} is saved, and the message says {ended.err}")
    well_ended(ground, ended, sent, before)
    if ended.code == 0:
        return
    run, words = go_on(ground, run, 0) if run.exists() else (run, ground.made.words(run, *LONG))
    resumed = ground.halo(*words)
    finished = resumed.code == 2 and "the run is finished" in resumed.err
    ground.must(resumed.code == 0 or finished, f"it did not go on: {resumed.code} {resumed.err[-1000:]}")
    different = unlike(run, ground.made.long)
    ground.must(not different, f"not as a run that nobody stopped: {different}")


SIGNALS = Attack("signals", 20, carry)
