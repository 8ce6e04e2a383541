"""A question answered in a process of its own, under a clock that ends it from outside."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from halo.errors import Place, SettingsError


def _given(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError("wrong-value", f"{text!r} is no number of seconds", place=Place("HALO_CHECK_SECONDS")) from None


SECONDS = _given(os.environ.get("HALO_CHECK_SECONDS", "20"))
"""For one step. The slowest step of a shipped objective takes a few; a machine that is busy with other things may need more."""


def answers(question: Callable[..., Iterator[Any]], arguments: Sequence[Any], seconds: float) -> Iterator[Any]:
    """What `question(*arguments)` yields in a process of its own, which is ended when one answer takes longer than `seconds`.

    Raises RuntimeError with the traceback of an exception there.
    """
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_answer, args=(theirs, question, arguments), daemon=True)
    worker.start()
    theirs.close()
    try:
        while ours.poll(seconds):
            kind, said = ours.recv()
            if kind == "bug":
                raise RuntimeError(f"a check failed:\n{said}")
            if kind == "end":
                return
            yield said
    finally:
        worker.kill()
        worker.join()
        ours.close()


def _answer(pipe: Connection, question: Callable[..., Iterator[Any]], arguments: Sequence[Any]) -> None:
    sys.setrecursionlimit(20_000)
    try:
        for said in question(*arguments):
            pipe.send(("answer", said))
        pipe.send(("end", None))
    except Exception:
        pipe.send(("bug", traceback.format_exc()))
