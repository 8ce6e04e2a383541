"""The page on other trainers: its code runs as it stands there, its names exist, and it names the versions that are tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_docs import blocks

from halo.interop.trl_trainer import TESTED

PAGE = "docs/trainers.md"
TEXT = (Path(__file__).parents[2] / PAGE).read_text()


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other: a block uses what those before it define."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "docs"}
    for text in blocks(PAGE, "python"):
        exec(compile(text, PAGE, "exec"), names)
    pytest.importorskip("trl")
    for text in blocks(PAGE, "python trl"):
        exec(compile(text, PAGE, "exec"), names)


def test_the_page_names_the_tested_version() -> None:
    assert f"trl {TESTED}" in TEXT
