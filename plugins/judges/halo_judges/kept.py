"""Replies that are kept by what was asked: a file for each, whole or absent, so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halo.plugin import cache_folder
from halo_judges.client import Reply


class Kept:
    """Under `HALO_CACHE/judges`. An entry holds the whole question, and is none where that is not the one asked."""

    def __init__(self) -> None:
        self.folder = cache_folder("judges")

    def get(self, asked: Mapping[str, Any]) -> Reply | None:
        """None for what was never asked, and for a file that is damaged."""
        try:
            found = json.loads(self._file(asked).read_text(encoding="utf-8"))
            return Reply(**found["reply"]) if found["asked"] == asked else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, asked: Mapping[str, Any], reply: Reply) -> None:
        """Raises OSError."""
        file = self._file(asked)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".draft", delete=False, encoding="utf-8") as draft:
            json.dump({"asked": asked, "reply": asdict(reply)}, draft)
        os.replace(draft.name, file)

    def _file(self, asked: Mapping[str, Any]) -> Path:
        name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"
