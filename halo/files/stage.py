"""A folder that one command fills, row by row, and that is finished when `stage.json` stands in it: what it was made with, and its files.

Killed at any moment and started again with the same options, a command goes on where it was and gives the same bytes. With other options
it is refused, and the difference named: what was made with two kinds of options is never mixed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from halo.errors import Place, RunFailed, SettingsError
from halo.files.lines import Lines
from halo.files.lock import Held, Lock
from halo.files.manifest import MANIFEST, Damaged, check_files, told_of
from halo.files.regular import read_regular
from halo.files.whole import sweep, synced, whole, write_text

STAGE = "stage.json"
FULL = (ENOSPC, EDQUOT)
"""Errors that room mends, and no other folder is needed for."""


@dataclass
class StageFolder:
    """made_with: what the rows depend on, in plain values; what does not change them (versions) is `beside`."""

    path: Path
    made_with: Mapping[str, Any]
    beside: Mapping[str, Any]
    lock: Lock | None = None

    def take(self) -> None:
        """Makes the folder, holds it, and writes or compares its manifest. Raises SettingsError, RunFailed where a disk is full."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock = Lock.take(self.path)
            sweep(self.path)
            self._claim()
        except SettingsError:
            self.give_back()
            raise
        except Held as problem:
            raise SettingsError("output-folder", f"{self.path} is in use: {problem}", hint="wait for it, or choose another --out") from None
        except OSError as problem:
            self.give_back()
            if problem.errno in FULL:
                raise unwritten(self.path, problem) from None
            message = f"{self.path} cannot be written: {problem.strerror or problem}"
            raise SettingsError("output-folder", message, place=Place("--out"), hint="choose another") from None

    def forget(self) -> None:
        """What the folder was to be made with is forgotten, unless something was made: a mistyped option binds nobody."""
        held = [entry for entry in self.path.rglob("*") if entry.is_file() and not entry.name.startswith(".")]
        if any(entry.name != MANIFEST for entry in held):
            return
        (self.path / MANIFEST).unlink(missing_ok=True)
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)

    def give_back(self) -> None:
        """Lets the folder go."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def _claim(self) -> None:
        found = read_made(self.path)
        others = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith(".") and entry.name != MANIFEST)
        if found is None or not others:  # nothing was made with it yet
            if others:
                message = f"{self.path} is not empty: it holds {others[0]}"
                raise SettingsError("output-folder", message, place=Place("--out"), hint="choose another")
            write_text(self.path / MANIFEST, json.dumps({**self.made_with, "beside": self.beside}, indent=1, ensure_ascii=False) + "\n")
            return
        for key, now in self.made_with.items():
            before = found.get(key)
            if before != now:
                message = f"{self.path} was made with {key} {_short(before)}, and you ask for {_short(now)}"
                raise SettingsError("output-folder", message, place=Place("--out"), hint="ask for the same, or choose another folder")

    # -- rows ------------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        return (self.path / STAGE).is_file()

    def part(self, name: str) -> Lines:
        """A file that rows are added to while the command works. A line that a dying process left torn is dropped."""
        lines = Lines(self.path / name)
        lines.mend()
        return lines

    def write(self, name: str, fill: Callable[[Any], None]) -> None:
        """A file, whole or absent; `fill` is given the stream."""
        with whole(self.path / name) as draft, draft.open("wb") as stream:
            fill(stream)

    def finish(self, counts: Mapping[str, int], parts: list[str]) -> None:
        """Everything stands: parts go, and the folder is finished. The order makes it so after a kill at any moment too."""
        held = sorted(file for file in self.path.iterdir() if file.is_file() and not file.name.startswith(".") and file.name not in parts)
        files = told_of(self.path, [file for file in held if file.name != STAGE])
        write_text(self.path / STAGE, json.dumps({"rows": dict(counts), "files": files}, indent=1) + "\n")
        for name in parts:
            with suppress(FileNotFoundError):
                (self.path / name).unlink()
        synced(self.path)


def read_made(folder: Path) -> dict[str, Any] | None:
    """What a folder was made with; None where nothing says so. Raises SettingsError for what cannot be read."""
    file = folder / MANIFEST
    if not file.exists():
        return None
    try:
        found = json.loads(read_regular(file))
    except (OSError, ValueError) as problem:
        raise SettingsError("output-folder", f"{file} cannot be read: {problem}", hint="it was written by another program?") from None
    if not isinstance(found, dict):
        raise SettingsError("output-folder", f"{file} is no manifest", hint="it was written by another program?")
    return found


def check_finished(folder: Path) -> dict[str, Any]:
    """What a finished folder was made with. Raises SettingsError for one that is not finished or not as it was written."""
    made = read_made(folder) if folder.is_dir() else None
    if made is None:
        raise SettingsError("not-found", f"{folder} is no folder of samples", hint="halo sample writes one")
    try:
        files = json.loads(read_regular(folder / STAGE))["files"]
        if not isinstance(files, dict) or not all(isinstance(told, dict) and {"bytes", "sha256"} <= set(told) for told in files.values()):
            raise ValueError(STAGE)
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError("output-folder", f"{folder} is not finished", hint="run the command that makes it again: it goes on") from None
    try:
        check_files(folder, files)
    except Damaged as problem:
        raise SettingsError("output-folder", str(problem), hint="make it again, or put it back") from None
    return made


def unwritten(folder: Path, problem: OSError) -> RunFailed:
    """The message of a write that failed while a command worked."""
    message = f"{folder} cannot be written: {problem.strerror or problem}"
    return RunFailed("output-folder", message, hint="what is there stays; make room and run the same command again: it goes on")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
