"""A folder of pages: what may be written there, and pages written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from halo.errors import Place, SettingsError

PLACE = Place("--report")
INDEX = "index.html"
GENERATOR = '<meta name="generator" content="halo">'
"""What tells that halo wrote a page, and may write it again."""


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Raises SettingsError where the pages of these objectives cannot go: asked before anything is examined."""
    if folder.exists() and not folder.is_dir():
        raise SettingsError("wrong-value", f"{folder} is not a folder", place=PLACE, hint="name a folder; it is made if it is not there")
    if not folder.exists() and not folder.absolute().parent.is_dir():
        raise SettingsError("not-found", f"there is no folder {folder.absolute().parent}", place=PLACE, hint="only the last folder is made")
    files = [page_file(name) for name in names]
    twice = next((name for name, file in zip(names, files, strict=True) if files.count(file) > 1), None)
    if twice:
        raise SettingsError("wrong-value", f"two objectives are named {twice}", place=PLACE, hint="a page is named after its objective")
    for name in [*files, *[INDEX] * (len(names) > 1)]:
        _check_file(folder / name)


def page_file(name: str) -> str:
    """The page of an objective. A file whose units do not fit is named as it was typed, so its letters are not known to be safe."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-.") else "_" for c in name).lstrip(".") or "_"
    return f"{'objective_' * (safe.casefold() == 'index')}{safe}.html"


def _check_file(file: Path) -> None:
    if not file.exists() and not file.is_symlink():
        return
    try:
        ours = file.is_file() and GENERATOR in file.read_text(encoding="utf-8", errors="replace")[:2000]
    except OSError:
        ours = False
    if not ours:
        message = f"{file} is there, and halo did not write it"
        raise SettingsError("output-folder", message, place=PLACE, hint="name another folder, or move the file away")


def write_whole(folder: Path, pages: Mapping[str, str]) -> None:
    """Every page under another name first; only when all are on the disk do they take their places."""
    temporary = {name: folder / f".{name}.{os.getpid()}.part" for name in pages}
    try:
        folder.mkdir(exist_ok=True)
        for name, content in pages.items():
            temporary[name].write_text(content, encoding="utf-8", newline="\n")
        for name in pages:
            temporary[name].replace(folder / name)
    except OSError as problem:
        message = f"{folder} cannot be written to: {problem.strerror}"
        raise SettingsError("output-folder", message, place=PLACE, hint="choose another place") from None
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
