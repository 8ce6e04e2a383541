"""Notices that a process of a run comes no further while the others wait for it, names it, and ends the run.

Every process counts the places at which it is about to meet the others. A thread beside it tells the count to the others through the
store that put the group together, and reads theirs. Where no count has changed for as long as a run may take between two such places,
the processes that are behind hang: libraries would wait on, or end everything without a name.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OFTEN = 1.0
"""Seconds between two looks."""


@dataclass
class Seen:
    """What is known of the processes, by rank: counts of places, and of looks, by which a process shows that it is not frozen."""

    counts: dict[int, int] = field(default_factory=dict)
    looks: dict[int, int] = field(default_factory=dict)
    moved: float = 0.0
    alive: dict[int, float] = field(default_factory=dict)

    def take(self, told: Mapping[int, tuple[int, int]], now: float) -> None:
        """What every process tells of itself at a time."""
        counts = {rank: count for rank, (count, _) in told.items()}
        if counts != self.counts:
            self.counts, self.moved = counts, now
        for rank, (_, look) in told.items():
            if self.looks.get(rank) != look:
                self.looks[rank], self.alive[rank] = look, now

    def behind(self, now: float, seconds: float) -> list[int] | None:
        """The processes that the others wait for; None as long as nobody is late, and empty where all are equally far."""
        if now - self.moved < seconds:
            return None
        frozen = [rank for rank, when in self.alive.items() if now - when > seconds / 2]
        if frozen:
            return frozen
        least, most = min(self.counts.values()), max(self.counts.values())
        return [rank for rank, count in self.counts.items() if count == least < most]


class Watch:
    """One for each process. `mark` before meeting the others; `stop` when the run is over."""

    def __init__(self, rank: int, size: int, seconds: float) -> None:
        from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

        self.rank, self.size, self.seconds = rank, size, seconds
        self.store = PrefixStore("halo watch", _get_default_store().clone())  # a store of its own: two threads may not share one
        self.often = min(OFTEN, seconds / 10)
        self.count = self.look = 0
        self.main = threading.get_ident()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="halo watch", daemon=True)
        self.thread.start()

    def mark(self) -> None:
        """One more place at which the processes meet."""
        self.count += 1

    def stop(self) -> None:
        """Nobody is watched from here on."""
        self.over.set()
        self.thread.join(10 * self.often)

    def _run(self) -> None:
        seen = Seen(moved=time.monotonic())
        while not self.over.wait(self.often):
            try:
                told = self._exchanged()
            except Exception:  # the store is gone, and with it a process: the main thread learns that by itself
                return
            now = time.monotonic()
            seen.take(told, now)
            behind = seen.behind(now, self.seconds)
            if behind is not None:
                self._end(behind)

    def _exchanged(self) -> dict[int, tuple[int, int]]:
        """What each process that has begun to watch told last."""
        self.look += 1
        self.store.set(str(self.rank), f"{self.count} {self.look}")
        known = [rank for rank in range(self.size) if self.store.check([str(rank)])]
        told = {rank: self.store.get(str(rank)).decode().split() for rank in known}
        return {rank: (int(count), int(look)) for rank, (count, look) in told.items()}

    def _end(self, behind: list[int]) -> None:
        """Says who is behind, and ends this process: its main thread waits inside a library that no exception reaches."""
        first = min(set(range(self.size)) - set(behind), default=0)
        since = f"for {self.seconds:g} s (--ddp-timeout)"
        if self.rank in behind or not behind:
            _say(f"rank {self.rank}: comes no further {since}; it is at {self._place()}")
        elif self.rank == first:
            named = " and ".join(str(rank) for rank in behind)
            _say(f"rank {self.rank}: ended, since it waits {since} for rank {named}, which comes no further")
        time.sleep(3 * self.often)  # the others say theirs before a launcher ends them
        os._exit(1)

    def _place(self) -> str:
        """Where the main thread is."""
        frame: Any = sys._current_frames().get(self.main)
        if frame is None:
            return "an unknown place"
        return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _say(line: str) -> None:
    print(f"halo: {line}", file=sys.stderr, flush=True)
