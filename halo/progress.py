"""A line now and then while many rows are worked through, so that nobody takes it for a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

EVERY, LOOK = 10.0, 256
"""Seconds between lines, and items between looks at the clock."""

T = TypeVar("T")


def counted(items: Iterable[T], what: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Iterator[T]:
    """The items as they are; says how many of them are done, every ten seconds and only if it takes that long."""
    said = clock()
    whole = f" of {len(items):,}" if isinstance(items, Sized) else ""
    for done, item in enumerate(items):
        if done % LOOK == 0 and clock() - said >= EVERY:
            said = clock()
            say(f"data       {what}: {done:,}{whole}")
        yield item
