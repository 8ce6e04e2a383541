"""A line now and then while a long work goes on, so that nobody takes it for a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

EVERY, LOOK = 10.0, 256
"""Seconds between lines, and items between looks at the clock."""

T = TypeVar("T")


def as_clock(seconds: float) -> str:
    """`12:05`, of minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Pace:
    """How far a work of so many parts is, and how long it will take, every ten seconds. It begins when it is made."""

    def __init__(self, total: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.say, self.clock = total, say, clock
        self.begun = self.said = clock()

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.begun

    def at(self, done: int, text: str) -> None:
        """So many are done. `text` stands before the time that is left."""
        now = self.clock()
        if now - self.said >= EVERY and done:
            self.said = now
            self.say(f"{text}, left {as_clock((now - self.begun) / done * max(0, self.total - done))}")


def counted(items: Iterable[T], what: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Iterator[T]:
    """The items as they are; says how many of them are done, every ten seconds and only if it takes that long."""
    said = clock()
    whole = f" of {len(items):,}" if isinstance(items, Sized) else ""
    for done, item in enumerate(items):
        if done % LOOK == 0 and clock() - said >= EVERY:
            said = clock()
            say(f"data       {what}: {done:,}{whole}")
        yield item
