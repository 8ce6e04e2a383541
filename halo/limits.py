"""Limits around code that came with a model: a chat template may loop for ever, or build a text of gigabytes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SECONDS, BYTES = 10.0, 1 << 30
"""For one conversation: a thousand times what the slowest template of the zoo takes."""


class TooLong(Exception):
    """It took longer than it may."""


@contextmanager
def limited() -> Iterator[None]:
    """Raises TooLong, or MemoryError for what asks for more memory than BYTES, in the main thread of a Unix process; elsewhere nothing."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _rung)
    left, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    ceiling = _lowered(BYTES)
    try:
        yield
    finally:
        _restored(ceiling)
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _rung(number: int, frame: FrameType | None) -> None:
    raise TooLong


def _lowered(size: int) -> tuple[int, int] | None:
    """The address space may grow by so much from what it is now; returns the limits that were."""
    if sys.platform != "linux":
        return None
    import resource

    with suppress(OSError, ValueError), open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = now + size
        if soft == resource.RLIM_INFINITY or wanted < soft:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            return soft, hard
    return None


def _restored(limits: tuple[int, int] | None) -> None:
    if limits is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, limits)
