"""Limits around code that came with a model: a chat template may loop for ever, or build a text of gigabytes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import FrameType

SECONDS, BYTES = 10.0, 1 << 30
"""For one conversation: a thousand times what the slowest template of the zoo takes."""


class TooLong(BaseException):
    """It took longer than it may. No `except Exception` of whoever was running takes it for its own."""


@contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Raises TooLong in the main thread of a Unix process; elsewhere nothing."""
    if not _is_main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _rung)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def limited() -> Iterator[None]:
    """As `timed` with SECONDS, and MemoryError for what asks for more memory than BYTES, on Linux."""
    if not _is_main_thread():
        yield
        return
    with timed(SECONDS):
        ceiling = _lowered(BYTES)
        try:
            yield
        finally:
            _restored(ceiling)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")


def _rung(number: int, frame: FrameType | None) -> None:
    raise TooLong


def _lowered(size: int) -> tuple[int, int] | None:
    """The address space may grow by so much from what it is now; returns the limits that were."""
    if sys.platform != "linux":
        return None
    import resource

    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = _address_space(int(time.monotonic())) + size
        if soft == resource.RLIM_INFINITY or wanted < soft:
            resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
            return soft, hard
    return None


@lru_cache(maxsize=1)
def _address_space(second: int) -> int:
    """Of this process, in bytes. It is read once a second: to read it takes as long as to write a conversation."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _restored(limits: tuple[int, int] | None) -> None:
    if limits is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, limits)
