"""Where halo keeps what it would otherwise compute again: `HALO_CACHE`, or `halo` in the user's cache folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(room: str) -> Path:
    """The folder of one kind of kept things. Nothing is created. A user without a home keeps them among the temporary files."""
    try:
        home = os.environ.get("HALO_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "halo"
        return Path(home).expanduser() / room
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"halo-{os.getuid()}" / room
