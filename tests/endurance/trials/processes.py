"""halo in processes of its own: forked from the nursery or begun anew, with a limit of time, what they said, and how they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

MOST = 4 << 20
"""Bytes of an answer that are read."""

QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "HALO_CHECK_SECONDS": "20"}


class Broken(AssertionError):
    """Something that is promised did not hold; the message says what."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, negative where a signal ended it, what it said, how many seconds it took and computed."""

    code: int
    out: str
    err: str
    seconds: float
    computed: float


class Living(Protocol):
    """A process that may be asked for its exit code."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or None while it lives."""

    def computed(self) -> float:
        """The seconds of computing, once it ended."""


class Process:
    """halo at work. `words` are those of its command line."""

    def __init__(self, living: Living, words: tuple[str, ...], out: Path, err: Path) -> None:
        self.living, self.words, self.out, self.err = living, words, out, err
        self.begun = time.monotonic()

    def send(self, number: int) -> None:
        """A signal, if it lives."""
        with suppress(ProcessLookupError):
            os.kill(self.living.pid, number)

    def lives(self) -> bool:
        return self.living.poll() is None

    def wait(self, limit: float = 60) -> Ended:
        """Its end. Raises Broken where it takes longer than `limit` seconds; then it is killed."""
        while (code := self.living.poll()) is None:
            if time.monotonic() - self.begun > limit:
                self.kill()
                raise Broken(f"halo {' '.join(self.words)[:300]} did not end within {limit:.0f} s")
            time.sleep(0.01)
        return Ended(code, told(self.out), told(self.err), time.monotonic() - self.begun, self.living.computed())

    def kill(self) -> None:
        """With everything that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.living.pid, signal.SIGKILL)
        self.send(signal.SIGKILL)
        while self.living.poll() is None:
            time.sleep(0.01)


def told(file: Path) -> str:
    if not file.exists():  # a process of the nursery that was killed before it opened its own
        return ""
    with file.open("rb") as stream:
        return stream.read(MOST).decode("utf-8", "backslashreplace")


class Born:
    """A process of the nursery."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.nursery, self.pid = nursery, pid
        self.end: tuple[int, float] | None = None

    def poll(self) -> int | None:
        self.end = self.end or self.nursery.ask({"poll": self.pid})
        return self.end[0] if self.end else None

    def computed(self) -> float:
        return self.end[1] if self.end else 0.0


class New(subprocess.Popen[bytes]):
    """A process begun as a user begins it."""

    def computed(self) -> float:
        return 0.0  # of no use here: it imported everything


class Nursery:
    """Starts halo. `before` is code that each process runs first, for the tests of these tests."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("nursery.py"))]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **QUIET})
        self.before, self.ready = "", False

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        if not self.ready:
            self.ready = self.server.stdout.readline() == "ready\n"
            assert self.ready, "the nursery did not begin"
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, words: tuple[str, ...], folder: Path, files: tuple[Path, Path], environment: Mapping[str, str]) -> Process:
        """halo with these words, in a folder; what it says goes to the two files."""
        out, err = map(str, files)
        asked = {"words": words, "folder": str(folder), "out": out, "err": err, "environment": environment, "before": self.before}
        return Process(Born(self, self.ask(asked)), words, *files)

    def anew(self, words: tuple[str, ...], folder: Path, files: tuple[Path, Path], environment: Mapping[str, str]) -> Process:
        """The same as a user starts it, imports and all; nothing is broken before."""
        command = [sys.executable, "-m", "halo", *words]
        given = {**os.environ, **QUIET, **environment}
        with files[0].open("wb") as out, files[1].open("wb") as err:
            living = New(command, cwd=folder, env=given, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        return Process(living, words, *files)

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(30)
        if self.server.stdout is not None:
            self.server.stdout.close()
