"""docs/mistakes.md is written from the table of mistakes and from what halo says. HALO_UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os
from pathlib import Path

from mistaken import FOUND, REFUSED, Row

from halo.checks.results import Examination
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.lint.report import mistakes
from halo.report.text import as_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"
INTRODUCTION = """# Mistakes

Written by `tests/docs/test_mistakes_page.py` from `tests/support/mistaken.py`; what halo says below is what it says.

`halo check` names a mistake only where it can mend it. Something must look wrong: a pull that goes the wrong way, nothing that is pulled when training starts, a logarithm of what may be
negative. Then edits of the file are tried, those of the rules below; each is compiled and examined anew. The edit that makes the diagnosis go away, and no other verdict worse, is what was
probably wanted. Of several the one after which most is right is named. So a mistake comes with its name, its line, and a change that is known to work.

What is meant is not a mistake. `expect:` says so: a pull that goes the way `expect: direction` has it is right, and `expect: {halo: refuted}` or `at_reference` declare a departure. What a file
inherits by `extends` is not doubted; what it changes is.

That the fix works is examined; that it was meant is a guess. So a mistake does not change the exit code. Errors, at the end of this page, do.
"""


def page(folder: Path) -> str:
    """The whole page: the first row of each name."""
    parts = [INTRODUCTION, "## What is found\n"]
    parts += [section(row, said(row, folder)) for row in firsts(FOUND)]
    parts += ["## What is refused\n", "These do not compile; the exit code is 2.\n"]
    parts += [section(row, refusal(row, folder)) for row in REFUSED]
    return "\n".join(parts)


def firsts(rows: tuple[Row, ...]) -> list[Row]:
    return list({row.name: row for row in reversed(rows)}.values())[::-1]


def section(row: Row, answer: str) -> str:
    keys = [key for key in (*row.wrong, *row.right) if {**row.base, **row.right}.get(key)]
    right = "".join(line + "\n" for line in row.mended.splitlines() if line.split(":")[0] in keys)
    mended = f"Mended:\n\n```yaml\n{right}```\n" if right else f"Mended: without `{next(iter(row.wrong))}`.\n"
    return f"### {row.name}\n\n```yaml\n{row.text}```\n\n```text\n{answer}\n```\n\n{mended}"


def written(row: Row, folder: Path) -> Path:
    file = folder / "mine.yaml"
    file.write_text(row.text)
    return file


def said(row: Row, folder: Path) -> str:
    """The line of the report."""
    compiled = compile_source(written(row, folder))
    found = tuple(mistakes(Subject(compiled)))
    report = as_text(compiled, Examination("mine", (), mistakes=found), verbose=False)
    return "\n".join(line.strip() for line in report.splitlines() if "likely mistake" in line)


def refusal(row: Row, folder: Path) -> str:
    try:
        compile_source(written(row, folder))
    except ObjectiveError as problem:
        return f"halo: {problem}"
    raise AssertionError(row)


def test_the_page_says_what_halo_says(tmp_path: Path) -> None:
    now = page(tmp_path)
    if os.environ.get("HALO_UPDATE_GOLDEN") == "1":
        PAGE.write_text(now)
    assert PAGE.read_text() == now, "HALO_UPDATE_GOLDEN=1 accepts what halo says now"


def test_the_page_has_every_mistake() -> None:
    text = PAGE.read_text()
    assert [row.name for row in (*FOUND, *REFUSED) if f"### {row.name}\n" not in text] == []
