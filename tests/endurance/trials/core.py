"""What a class of attacks is, where one takes place, and how it is told: by class, seed and number it can be done again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trials.made import Made
from trials.processes import Broken, Ended, Nursery, Process
from trials.saying import said_too_much, wrong_with

SEED = int(os.environ.get("HALO_ENDURANCE_SEED", "1"))
TRIES = os.environ.get("HALO_ENDURANCE_TRIES", "")
FEW = 1
"""Cases of a class in the ordinary suite."""

Carry = Callable[["Ground"], None]


@dataclass(frozen=True)
class Attack:
    """A class of attacks: its name, how many are tried when the environment does not say, and how one is carried out.

    `carry` draws the case from the ground's `rng`, and raises Broken for what did not hold.
    """

    name: str
    tries: int
    carry: Carry
    few: int = FEW

    def numbers(self, few: bool) -> range:
        if few:
            return range(self.few)
        return range(int(TRIES or self.tries))


@dataclass
class Ground:
    """Where one attack takes place: its random numbers, an empty folder, what was trained before, and what was done so far."""

    rng: random.Random
    folder: Path
    nursery: Nursery
    made: Made
    notes: list[str] = field(default_factory=list)
    started: list[Process] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something that was done, for whoever reads of a failure."""
        self.notes.append(text[:600])

    def must(self, holds: bool, what: str) -> None:
        """Raises Broken with `what` did not hold."""
        if not holds:
            raise Broken(what)

    def start(self, *words: str, anew: bool = False, environment: Mapping[str, str] | None = None) -> Process:
        """halo with these words, in the ground's folder; `anew` as a user starts it."""
        count = len(self.started)
        files = self.made.said / f"{count}.out", self.made.said / f"{count}.err"
        for file in files:
            file.unlink(missing_ok=True)
        self.note(f"halo {' '.join(map(repr, words))}")
        begin = self.nursery.anew if anew else self.nursery.start
        process = begin(words, self.folder, files, {"HALO_CACHE": str(self.made.cache), **(environment or {})})
        self.started.append(process)
        return process

    def halo(self, *words: str, limit: float = 60, environment: Mapping[str, str] | None = None) -> Ended:
        """halo with these words, to its end, which is noted."""
        return self.ended(self.start(*words, environment=environment), limit)

    def ended(self, process: Process, limit: float = 60) -> Ended:
        found = process.wait(limit)
        self.note(f"  ended with {found.code} after {found.seconds:.1f} s: {found.err.strip()[:500]!r}")
        return found

    def lives(self, ended: Ended, good: tuple[int, ...] = (0,)) -> None:
        """Raises Broken unless it ended with a good code, or with 1 or 2 and one message."""
        if ended.code in good:
            self.must("Traceback" not in ended.err, f"a traceback with code {ended.code}: ...{ended.err[-1500:]}")
            return
        self.must(ended.code in (1, 2), f"it ended with {ended.code}: ...{ended.err[-1500:]}")
        wrong = wrong_with(ended.err)
        self.must(not wrong, f"{wrong}: ...{ended.err[-1500:]}")

    def quiet(self, ended: Ended) -> None:
        """Raises Broken for what a terminal would obey on stdout."""
        found = said_too_much(ended.out)
        self.must(not found, f"stdout holds {found}")


def survived(attack: Attack, number: int, folder: Path, nursery: Nursery, made: Made, seed: int = SEED) -> str:
    """Carries out one case; what did not hold, with what was done and how to do it again, or nothing."""
    ground = Ground(random.Random(f"{attack.name} {seed} {number}"), folder, nursery, made)
    try:
        attack.carry(ground)
    except Broken as problem:
        chosen = f"HALO_ENDURANCE_SEED={seed} HALO_ENDURANCE_TRIES={number + 1}"
        again = f"{chosen} pytest -m slow tests/endurance -k 'many and {attack.name}-{number}'"
        done = "\n".join(f"  {note}" for note in ground.notes)
        return f"{attack.name}, seed {seed}, number {number}: {problem}\nwhat was done, in {folder}:\n{done}\nagain: {again}"
    finally:
        for process in ground.started:
            if process.lives():
                process.kill()
    return ""
