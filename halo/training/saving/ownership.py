"""Which runs this user started on this machine: a record that is kept apart from them. A folder of somebody else's has none."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo.cache import cache_folder
from halo.files.regular import read_regular
from halo.files.whole import write_text

NAME, SETTINGS = "run_id.txt", "settings.yaml"
TRUSTED = ("trust_remote_code", "report_to", "backend")
"""Settings that run code or talk to a service: of somebody else's run they are taken only where they are given again."""
NAMED = ("model_name_or_path", "reference_model_name_or_path")
"""What somebody else's run may not choose: what is loaded."""


def remember(folder: Path, private: Mapping[str, Any]) -> None:
    """Gives a run a name of its own, and keeps it in the user's cache with what its folder does not say: `private` settings.

    Where that cannot be written, the run is nobody's.
    """
    known = _id_of(folder) or secrets.token_hex(16)
    write_text(folder / NAME, f"{known}\n")
    try:
        record = cache_folder("runs") / f"{known}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        told = {"folder": str(folder.resolve()), "settings": private, "settings_sha256": _settings_digest(folder)}
        write_text(record, json.dumps(told, indent=1))
    except OSError:
        pass


def recorded(folder: Path) -> dict[str, Any] | None:
    """The private settings of a run that this user started on this machine, wherever it was moved since; None for anybody else's."""
    known = _id_of(folder)
    try:
        found = json.loads(read_regular(cache_folder("runs") / f"{known}.json"))
        return dict(found["settings"]) if known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def settings_changed(folder: Path) -> bool:
    """Whether the settings of one's own run are not those that it wrote: somebody edited them, or the disk did."""
    known = _id_of(folder)
    try:
        found = json.loads(read_regular(cache_folder("runs") / f"{known}.json"))
        before, where = found["settings_sha256"], found["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    here = where == str(folder.resolve())  # a copy of a run has its name too
    return bool(known) and here and before != _settings_digest(folder)


def _settings_digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / SETTINGS).read_bytes()).hexdigest()
    except OSError:
        return ""


def _id_of(folder: Path) -> str:
    try:
        text = read_regular(folder / NAME, 100).strip()
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else ""
