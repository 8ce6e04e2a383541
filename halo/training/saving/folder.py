"""A run's folder: chosen, taken before anything is loaded, held for as long as the process lives."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from halo.errors import Place, RunFailed, SettingsError
from halo.files.lock import LOCK, Held, Lock
from halo.files.whole import sweep
from halo.training.settings import Settings


@dataclass
class Folder:
    """Where a run writes. `lock` is what holds it; `made` are the folders that were not there before, the innermost first.

    new  it must not be there yet: nobody named it
    """

    path: Path
    lock: Lock | None = None
    made: tuple[Path, ...] = ()
    new: bool = False

    @classmethod
    def chosen(cls, name: str, settings: Settings) -> Folder:
        """As set and empty (or being resumed), or a new one under runs/. Nothing is created yet. Raises SettingsError."""
        if settings.output_dir is None:
            stamp = time.strftime("%Y%m%d-%H%M%S")
            return cls(Path("runs") / f"{name}-{stamp}-{secrets.token_hex(4)}", new=True)  # two runs of one second, or of two machines
        path = Path(settings.output_dir)
        if not _can_be(path):
            raise SettingsError("output-folder", f"{path} is no name of a folder", place=Place("--output-dir"), hint="choose another")
        if path.exists() and not path.is_dir():
            raise SettingsError("output-folder", f"{path} is a file")
        if path.is_dir() and _is_used(path) and settings.resume_from_checkpoint is None:
            hint = f"choose another, or continue it with --resume {path}"
            raise SettingsError("output-folder", f"the output folder {path} is not empty", hint=hint)
        return cls(path)

    def take(self, is_main: bool) -> None:
        """Makes the folder and holds it, on the process that writes; what an earlier one left unfinished goes.

        Raises SettingsError where another process has it, or nothing can be written.
        """
        if not is_main or self.lock is not None:
            return
        try:
            self.made = tuple(folder for folder in (self.path, *self.path.parents) if not folder.exists())
            self.path.mkdir(parents=True, exist_ok=not self.new)
            self.lock = Lock.take(self.path)
            sweep(self.path)
        except Held as problem:
            hint = "wait for it, or choose another --output-dir"
            raise SettingsError("output-folder", f"{self.path} is in use: {problem}", hint=hint) from None
        except OSError as problem:
            message = f"{self.path} cannot be written: {problem.strerror or problem}"
            raise SettingsError("output-folder", message, place=Place("--output-dir"), hint="choose another") from None

    def give_back(self) -> None:
        """Lets the folder go; one that was made for a run that never began goes too."""
        if self.lock is None:
            return
        if self.made and self.path.is_dir() and [entry.name for entry in self.path.iterdir()] == [LOCK]:
            (self.path / LOCK).unlink()
            for folder in self.made:
                with suppress(OSError):  # another run begins in the same parent
                    folder.rmdir()
        self.lock.release()
        self.lock = None

    def check_room(self, wanted: int) -> None:
        """Raises SettingsError where the disk has less room than what the run is known to write, in bytes."""
        try:
            free = shutil.disk_usage(self.path if self.path.exists() else Path.cwd()).free
        except OSError:
            return
        if free < wanted:
            message = f"the disk of {self.path} has {free / 1e9:.2f} GB free, and the run writes {wanted / 1e9:.2f} GB"
            raise SettingsError("output-folder", message, place=Place("--output-dir"), hint="make room, or choose another")


def is_main_process() -> bool:
    """Whether this is the process of a launch that writes, before any group is formed."""
    return os.environ.get("RANK", "0") == "0"


def unwritten(what: str, folder: Path, problem: OSError, kept: str) -> RunFailed:
    """The message of a write that failed in the middle of a run, and what is still there."""
    return RunFailed("output-folder", f"{what} could not be written to {folder}: {problem.strerror or problem}", hint=kept)


def _can_be(path: Path) -> bool:
    """Whether the file system takes the name: one may be too long, or hold a NUL."""
    try:
        path.exists()
    except (OSError, ValueError):
        return False
    return True


def _is_used(path: Path) -> bool:
    return any(entry.name != LOCK for entry in path.iterdir())
