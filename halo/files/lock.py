"""One process at a time in a folder: a lock that dies with the process that holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which halo is not tried on: a folder is taken by its name alone
    fcntl = None  # type: ignore[assignment]

LOCK = ".halo.lock"


class Held(Exception):
    """Another process holds the folder; the message says which."""


@dataclass
class Lock:
    """A held folder. It is free again when `release` was called or the process is gone, whichever way it went."""

    folder: Path
    handle: int

    @classmethod
    def take(cls, folder: Path) -> Lock:
        """Takes a folder that exists. Raises Held, and OSError where nothing can be written."""
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.read(handle, 4096)
            os.close(handle)
            raise Held(_holder(told)) from None
        except OSError:
            os.close(handle)
            raise
        try:
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}).encode())
        except OSError:  # a full disk: who holds nothing leaves no lock
            os.close(handle)
            raise
        return cls(folder, handle)

    def release(self) -> None:
        """Lets go. The file stays, empty: removing it would let two processes lock two files of one name."""
        if self.handle >= 0:
            os.ftruncate(self.handle, 0)
            os.close(self.handle)
            self.handle = -1


def _holder(told: bytes) -> str:
    try:
        found = json.loads(told)
        return f"process {found['process']} on {found['host']} has it since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process has it"
