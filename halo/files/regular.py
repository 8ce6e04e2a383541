"""The text of a regular file up to a size: a device or a pipe in its place could be without an end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 64 << 20
"""Bytes of a file that halo wrote itself."""


def read_regular(file: Path, most: int = MOST) -> str:
    """Raises OSError for what is no regular file or larger, UnicodeDecodeError for what is no UTF-8 text."""
    check_regular(file)
    with file.open("rb") as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
    return found.decode()


def check_regular(file: Path) -> None:
    """Raises OSError for what is there and is no regular file, or not there."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(file))
