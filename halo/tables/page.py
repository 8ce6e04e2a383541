"""One HTML page that needs nothing else: warnings, tables, figures, and answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halo.report.rendering import rendered
from halo.tables.figures import Figure
from halo.tables.table import Table

TITLE = 90
"""Characters of a prompt in the line that opens its answers."""


@dataclass(frozen=True)
class Beside:
    """A prompt and its answers: of each who wrote it, a note on it, and its text."""

    prompt: str
    answers: tuple[tuple[str, str, str], ...]

    @property
    def title(self) -> str:
        line = " ".join(self.prompt.split())
        return line if len(line) <= TITLE else f"{line[: TITLE - 3]}..."


@dataclass(frozen=True)
class Page:
    """facts: lines under the title; answers_said: which answers are shown; command: what wrote the page."""

    title: str
    facts: Sequence[str]
    warnings: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    answers: Sequence[Beside]
    answers_said: str
    command: str

    def html(self) -> str:
        """The whole page."""
        return rendered("tables.html.j2", **vars(self))
