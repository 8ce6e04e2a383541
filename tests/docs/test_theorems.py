"""The theorems in the docs: every page runs as one program and prints exactly what it shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "theorems"
PAGES = sorted(FOLDER.glob("*.md"))
PROGRAM = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", flags=re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_prints_what_it_shows(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    blocks = PROGRAM.findall(page.read_text())
    assert len(blocks) == page.read_text().count("```python")
    for code, shown in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, str(page), "exec"), namespace)
        assert out.getvalue() == shown
        assert page.stem == "index" or "undecided" not in shown


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_a_page_proves_something_and_refutes_a_false_variant(page: Path) -> None:
    shown = "".join(text for _, text in PROGRAM.findall(page.read_text()))
    assert "proved:" in shown
    assert "refuted:" in shown


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_only_what_is_called_false_is_refuted(page: Path) -> None:
    for section in page.read_text().split("\n## "):
        heading = section.splitlines()[0]
        if not re.search("False variants|premises cannot be met", heading):
            assert "refuted:" not in "".join(text for _, text in PROGRAM.findall(section)), heading
