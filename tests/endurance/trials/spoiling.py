"""What can be done to a file: a flipped bit, an end that is missing, something else in its place."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from halo.files.lock import LOCK

Harm = Callable[[random.Random, Path], None]


def flip(rng: random.Random, file: Path) -> None:
    data = bytearray(file.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def cut(rng: random.Random, file: Path) -> None:
    os.truncate(file, rng.randrange(max(1, file.stat().st_size)))


def empty(rng: random.Random, file: Path) -> None:
    file.write_bytes(b"")


def grow(rng: random.Random, file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(rng.choice([b"\0", b"\n", b" ", b"{", rng.randbytes(1000)]))


def garble(rng: random.Random, file: Path) -> None:
    """As many random bytes as it had."""
    file.write_bytes(rng.randbytes(file.stat().st_size))


def remove(rng: random.Random, file: Path) -> None:
    file.unlink()


def folder(rng: random.Random, file: Path) -> None:
    file.unlink()
    file.mkdir()


def zeros(rng: random.Random, file: Path) -> None:
    """A link to a device that never ends."""
    file.unlink()
    file.symlink_to("/dev/zero")


def pipe(rng: random.Random, file: Path) -> None:
    """A pipe that nobody writes to."""
    file.unlink()
    os.mkfifo(file)


def loop(rng: random.Random, file: Path) -> None:
    """A link to itself."""
    file.unlink()
    file.symlink_to(file.name)


def exchange(rng: random.Random, file: Path) -> None:
    """It and another file of its folder have each other's name."""
    others = [other for other in sorted(file.parent.iterdir()) if other != file and other.is_file()]
    if others:
        other, aside = rng.choice(others), file.with_name("aside")
        file.rename(aside)
        other.rename(file)
        aside.rename(other)


HARMS: dict[str, Harm] = {
    "flipped": flip, "cut": cut, "emptied": empty, "grown": grow, "garbled": garble, "removed": remove, "made a folder": folder,
    "linked to /dev/zero": zeros, "made a pipe": pipe, "linked to itself": loop, "exchanged": exchange,
}  # fmt: skip


def harm(rng: random.Random, file: Path) -> str:
    """Does one of them to a file, if it is one still; says which, or nothing."""
    if file.is_symlink() or not file.is_file():
        return ""
    name = rng.choice(sorted(HARMS))
    HARMS[name](rng, file)
    return f"{file} was {name}"


def files_of(folder: Path) -> list[Path]:
    """Every file under a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def same(folder: Path, other: Path) -> bool:
    """Whether two folders hold the same, byte for byte, whatever halo thinks of it. The lock is nobody's content."""
    return held(folder) == held(other)


def held(folder: Path) -> dict[str, bytes | str]:
    """By name: a file's bytes, or what else stands there."""
    found: dict[str, bytes | str] = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[str(path.relative_to(folder))] = "something else"
        elif path.name != LOCK:
            found[str(path.relative_to(folder))] = "a folder" if path.is_dir() else path.read_bytes()
    return found


def copied(source: Path, target: Path) -> Path:
    """A copy that may be spoilt."""
    shutil.copytree(source, target)
    return target
