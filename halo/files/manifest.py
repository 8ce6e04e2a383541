"""What a folder holds, by name, size and sha256, in a file that is written last.

A folder without it is unfinished; one that holds something else is damaged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from halo.files.regular import read_regular
from halo.files.whole import write_text

MANIFEST = "manifest.json"


class Damaged(Exception):
    """A folder does not hold what its manifest says; the message says what is wrong first."""


def write_manifest(folder: Path, more: Mapping[str, Any] | None = None) -> None:
    """Of every file under a folder; `more` is what else is known of it. Whoever writes it has written everything else."""
    held = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    files = told_of(folder, held)
    write_text(folder / MANIFEST, json.dumps({**(more or {}), "files": files}, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What was written, without a look at the files. Raises Damaged."""
    try:
        found = json.loads(read_regular(folder / MANIFEST))
        if isinstance(found, dict) and isinstance(found["files"], dict):
            return found
    except FileNotFoundError:
        raise Damaged(f"{folder} has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError) as problem:
        raise Damaged(f"{folder / MANIFEST} cannot be read: {type(problem).__name__}") from None
    raise Damaged(f"{folder / MANIFEST} is no manifest")


def verified(folder: Path) -> dict[str, Any]:
    """The manifest of a folder that holds just what it says. Raises Damaged."""
    found = read_manifest(folder)
    check_files(folder, found["files"])
    return found


def told_of(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and sha256 of files under a folder, by name."""
    return {str(file.relative_to(folder)): {"bytes": file.stat().st_size, "sha256": digest(file)} for file in files}


def check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises Damaged for a file that is not as `told_of` said."""
    for name, told in files.items():
        file = folder / name
        if not file.is_file():
            raise Damaged(f"{file} is missing")
        if file.stat().st_size != told["bytes"]:
            raise Damaged(f"{file} has {file.stat().st_size:,} bytes and had {told['bytes']:,}")
        if digest(file) != told["sha256"]:
            raise Damaged(f"{file} is not as it was written: its sha256 is another")


def digest(file: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
