"""The page on other trainers: its code runs as it stands there, its names exist, and it names the versions that are tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_docs import blocks

from halo.interop.trl_trainer import TESTED

pytestmark = pytest.mark.xdist_group("trainers")  # a block uses what the one before it defines

PAGE = "docs/trainers.md"
TEXT = (Path(__file__).parents[2] / PAGE).read_text()


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks define, one after the other."""
    return {"__name__": "docs"}


@pytest.mark.parametrize(
    "text", [*blocks(PAGE, "python"), *blocks(PAGE, "python trl")], ids=lambda text: re.search(r"(for_\w+)\(", text)[1]
)
def test_every_block_runs(text: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "from trl" in text:
        pytest.importorskip("trl")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, PAGE, "exec"), names)


def test_the_page_names_the_tested_version() -> None:
    assert f"trl {TESTED}" in TEXT
