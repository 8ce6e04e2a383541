"""What halo keeps so as not to compute it again: `HALO_CACHE`, or `halo` in the user's cache folder, with a folder for each kind.

An entry is one file, signed with its name, so that a damaged, edited or exchanged one counts as none. Nothing here is needed: what cannot
be read is computed again, what cannot be written is not kept, and both are said once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from halo.errors import Place, SettingsError
from halo.files.regular import read_regular

LIMIT = 256
"""MiB of what can be computed again in seconds; `HALO_CACHE_LIMIT` says another number."""
ROOMS = {
    "checks": "examinations of objectives",
    "weights": "hashes of large files",
    "runs": "which runs are yours, and what resuming them needs",
    "reference": "log-probs of references (halo-align-references)",
    "judges": "replies of endpoints, which were paid for (halo-align-judges)",
}
LIMITED = ("checks", "weights")
"""Rooms that are kept below the limit: the entries unused for longest go first. The others hold what cannot be had in seconds."""

log = logging.getLogger("halo.cache")


def cache_folder(room: str) -> Path:
    """The folder of one kind of kept things. Nothing is created. A user without a home keeps them among the temporary files."""
    return _top() / room


def kept(room: str, name: str) -> str | None:
    """The entry of a name; None where there is none, or it is not as it was written (which is said)."""
    file = cache_folder(room) / name
    try:
        digest, _, body = read_regular(file).partition("\n")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        log.warning("cache      %s cannot be read (%s): it is computed again", file, problem)
        return None
    if digest != _signature(name, body):
        log.warning("cache      %s is not as it was written: it is computed again", file)
        return None
    with suppress(OSError):
        os.utime(file)  # what is read stays
    return body


def keep(room: str, name: str, body: str) -> None:
    """Keeps an entry: whole or not at all, so that readers beside us never see half of one."""
    folder = cache_folder(room)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".draft", delete=False, encoding="utf-8") as draft:
            draft.write(f"{_signature(name, body)}\n{body}")
        os.replace(draft.name, folder / name)
    except OSError as problem:
        _unwritten(str(folder), str(problem))
        return
    _limited_once(str(_top()))


@dataclass(frozen=True)
class Entry:
    """One file of a room: its bytes, and when it was last read or written (seconds since 1970)."""

    file: Path
    room: str
    size: int
    used: float


def entries() -> Iterator[Entry]:
    """Everything that is kept."""
    for room in ROOMS:
        folder = cache_folder(room)
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            try:
                found = file.lstat()
            except OSError:  # somebody else has removed it
                continue
            if not file.is_dir():
                yield Entry(file, room, found.st_size, found.st_mtime)


def limit() -> int:
    """Bytes of the rooms that are limited. Raises SettingsError for a limit that is no number."""
    given = os.environ.get("HALO_CACHE_LIMIT", str(LIMIT))
    if not given.isdecimal():
        raise SettingsError("wrong-value", f"{given!r} is no number of MiB", place=Place("HALO_CACHE_LIMIT"), hint=f"such as {LIMIT}")
    return int(given) << 20


def prune(unused_for: float = 0.0, rooms: tuple[str, ...] = LIMITED) -> list[Entry]:
    """Removes the entries of rooms that nobody used for so many seconds; returns them."""
    last = time.time() - unused_for
    return _removed([entry for entry in entries() if entry.room in rooms and entry.used <= last])


def _over_limit() -> list[Entry]:
    """What has to go, the entries unused for longest first."""
    limited = sorted((entry for entry in entries() if entry.room in LIMITED), key=lambda entry: entry.used)
    too_much = sum(entry.size for entry in limited) - limit()
    gone = []
    for entry in limited:
        if too_much <= 0:
            break
        gone.append(entry)
        too_much -= entry.size
    return gone


@cache
def _limited_once(top: str) -> None:
    """Once in a process: looking at every entry is slower than writing one."""
    _removed(_over_limit())


def _removed(gone: list[Entry]) -> list[Entry]:
    removed = []
    for entry in gone:
        try:
            entry.file.unlink()
        except OSError:
            continue
        removed.append(entry)
        with suppress(OSError):
            entry.file.parent.rmdir()  # of a version of the checks that nothing is left of
    return removed


@cache
def _unwritten(folder: str, problem: str) -> None:
    """Said once."""
    log.warning("cache      nothing can be kept in %s (%s): it is computed every time; HALO_CACHE names another folder", folder, problem)


def _signature(name: str, body: str) -> str:
    return hashlib.sha256(f"{name}\0{body}".encode()).hexdigest()[:32]


def _top() -> Path:
    given = os.environ.get("HALO_CACHE")
    try:
        if given:
            return Path(given).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "halo"
    except RuntimeError:
        return _without_home()


@cache
def _without_home() -> Path:
    """Among the temporary files, where everybody may write: a folder of somebody else's is not ours."""
    folder = Path(tempfile.gettempdir()) / f"halo-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == os.getuid() and not folder.is_symlink():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="halo-"))
