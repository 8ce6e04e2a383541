"""Files that are whole or absent: written beside their place, flushed to the disk, then moved there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT = ".draft"
"""What the name of an unfinished file or folder ends with. It begins with a dot."""


def draft_of(final: Path) -> Path:
    """Where a file or folder is written before it is moved to its place."""
    return final.with_name(f".{final.name}{DRAFT}")


@contextmanager
def whole(final: Path) -> Iterator[Path]:
    """A path to write a file to; afterwards it stands in its place, on the disk. Nothing is left if the block fails."""
    draft = draft_of(final)
    try:
        yield draft
        synced(draft)
        os.replace(draft, final)
        synced(final.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_text(final: Path, text: str) -> None:
    """A text file, whole or absent. Its mode is that of any new file here."""
    with whole(final) as draft:
        draft.write_text(text, encoding="utf-8")


def synced(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno not in (22, 95):  # EINVAL, EOPNOTSUPP: some file systems cannot wait for a folder
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Waits until every file of a folder is on the disk, and the folder's names."""
    for path in sorted(folder.rglob("*")):
        synced(path)
    synced(folder)


def as_new_files(folder: Path) -> None:
    """Gives the files of a folder the mode that a new file has there: some libraries write theirs for one user only."""
    probe = draft_of(folder / "mode")
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(mode)


def move_folder(draft: Path, final: Path) -> None:
    """A finished folder to its place, in one step; an older one there goes."""
    sync_tree(draft)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(draft, final)
    synced(final.parent)


def sweep(folder: Path) -> list[str]:
    """Removes what was left unfinished in a folder, and says what it was. Whoever calls holds the folder."""
    left = sorted(path for path in folder.glob(f".*{DRAFT}"))
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [path.name for path in left]
