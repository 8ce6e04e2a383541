"""Log-probs on disk: one SQLite file for each pair of weights and numerics, shared by every run and rank on this machine or file system.

A row is stored under the sha256 of its token ids and of which of them are scored; its value is a checksum of key and log-probs, and the
log-probs of the scored tokens. What a process writes is there or is not, whenever it is killed. SQLite's rollback journal does that, not
its write-ahead log: the log needs shared memory, which a network file system does not have. Nothing waits for the disk (20 ms for each
batch); what a power failure may do to the file, the checksums find. No torch is imported.
"""

from __future__ import annotations

import os
import re
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from halo.plugin import DataError, Place, SettingsError, cache_folder

FORM = 1
"""The version of all that is stored: the key, the value, the tables. Another one is another file."""
NAME = re.compile(r"([0-9a-f]{32})-[0-9a-f]{8}\.sqlite")
PATIENCE = 60.0  # seconds to wait for another process that writes
DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_SCHEMA")
TABLES = (
    "CREATE TABLE IF NOT EXISTS about (form INTEGER, fingerprint TEXT, numerics TEXT, model TEXT, one INTEGER PRIMARY KEY CHECK (one = 1))",
    "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, logps BLOB NOT NULL)",
)


class Unusable(SettingsError):
    """The disk is full, read-only or broken, or another process holds the file for minutes: what was to be kept was not."""


def folder_of(option: str) -> Path:
    """The folder that the option `folder` names, else the usual one."""
    if option:
        return Path(option).expanduser()
    return cache_folder("reference")


def row_key(ids: Sequence[int], scored: Iterable[int], temperature: float = 1.0) -> bytes:
    """The key of a row: its token ids, the positions whose log-probs are kept, and their temperature if it is not the model's own."""
    result = sha256()
    for numbers in (array("q", ids), array("q", scored)):
        result.update(len(numbers).to_bytes(8, "little") + numbers.tobytes())
    if temperature != 1.0:
        result.update(array("d", [temperature]).tobytes())
    return result.digest()


@dataclass(frozen=True)
class About:
    """What a file is for, and what is in it."""

    path: Path
    model: str
    fingerprint: str
    numerics: str
    rows: int


class Store:
    """The rows of one pair of weights and numerics.

    type  of a number: array's d (float64) or f (float32); trouble  why nothing is kept, if nothing is
    """

    def __init__(self, folder: Path, fingerprint: str, numerics: str, model: str) -> None:
        """Opens the file or begins it. Raises DataError for a file that is damaged or not ours, SettingsError for a folder that is a file.

        Where nothing can be written it keeps rows in memory, for this run only; `trouble` says so.
        """
        self.path = folder / f"{fingerprint[:32]}-{sha256(f'{FORM} {numerics}'.encode()).hexdigest()[:8]}.sqlite"
        self.type, self.trouble = "d" if numerics.startswith("float64") else "f", ""
        try:
            _made(folder)
            self._connection = _connected(self.path)
            self._begin(fingerprint, numerics, model)
            with suppress(OSError):
                os.utime(self.path)  # when it was last used
        except Unusable as problem:
            self.trouble = problem.message
            self._connection = _connected(":memory:")
            self._begin(fingerprint, numerics, model)

    def _begin(self, fingerprint: str, numerics: str, model: str) -> None:
        with _told(self.path):
            self._connection.execute("PRAGMA synchronous = OFF")
            if _is_new(self._connection):
                with _transaction(self._connection):
                    for table in TABLES:
                        self._connection.execute(table)
                    about = (FORM, fingerprint, numerics, model)
                    self._connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?, ?, ?, 1)", about)
            found = self._connection.execute("SELECT form, fingerprint, numerics FROM about").fetchone()
        if found != (FORM, fingerprint, numerics):
            raise _damaged(self.path, "it holds something else")

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The log-probs of these rows as they were put, None for a row that is not there. Raises DataError for a damaged file."""
        with _told(self.path):
            found = [self._connection.execute("SELECT logps FROM rows WHERE key = ?", (key,)).fetchone() for key in keys]
        return [_checked(self.path, key, row[0]) if row else None for key, row in zip(keys, found, strict=True)]

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        """Keeps rows, all or none; one that is there already stays as it is. Raises Unusable."""
        with _told(self.path), _transaction(self._connection):
            stored = ((key, _sum(key, logps) + logps) for key, logps in rows.items())
            self._connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", stored)

    def __len__(self) -> int:
        with _told(self.path):
            return int(self._connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0])


def about(path: Path) -> About:
    """What a file of the cache holds. Raises DataError for one that is damaged or not ours."""
    connection = _connected(path)
    try:
        with _told(path):
            model, fingerprint, numerics = connection.execute("SELECT model, fingerprint, numerics FROM about").fetchone() or ("", "", "")
            (rows,) = connection.execute("SELECT COUNT(*) FROM rows").fetchone()
    finally:
        connection.close()
    return About(path, model, fingerprint, numerics, rows)


def files(folder: Path) -> list[Path]:
    """The files of the cache, whether or not they can be read. Raises SettingsError for a folder that is a file."""
    blocking = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    if blocking is not None:
        place = Place(str(blocking))
        raise SettingsError("output-folder", "the cache of reference log-probs is to be a folder, and this is a file", place=place)
    return sorted(file for file in folder.glob("*.sqlite") if NAME.fullmatch(file.name))


def _made(folder: Path) -> None:
    files(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unusable(folder, problem.strerror or str(problem)) from None


def _connected(path: Path | str) -> sqlite3.Connection:
    with _told(Path(path)):
        return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)


def _is_new(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. The lock is taken at the start: two that have read and then want to write would wait for each other."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: a file that is no good, or a disk that is not."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        if any(problem.sqlite_errorname.startswith(name) for name in DAMAGED):
            raise _damaged(path, str(problem)) from None
        raise _unusable(path, str(problem)) from None


def _sum(key: bytes, logps: bytes) -> bytes:
    return zlib.crc32(key + logps).to_bytes(4, "little")


def _checked(path: Path, key: bytes, stored: bytes) -> bytes:
    if _sum(key, stored[4:]) != stored[:4]:
        raise _damaged(path, "a row is not what was written")
    return stored[4:]


def _damaged(path: Path, why: str) -> DataError:
    message = f"this is no cache of reference log-probs, or it is damaged ({why})"
    return DataError("data-format", message, place=Place(str(path)), hint="remove the file; what is missing is computed again")


def _unusable(path: Path, why: str) -> Unusable:
    message = f"reference log-probs cannot be kept here ({why})"
    return Unusable("output-folder", message, place=Place(str(path)), hint="cached:folder=PATH keeps them elsewhere")
