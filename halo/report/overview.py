"""The index of several pages: every objective with its verdicts, and a matrix of all checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.objective.propositions import PROPOSITIONS, required
from halo.report.rendering import rendered
from halo.report.rows import CORE, expectation_style, expectations_met, groups, tally, title_of
from halo.report.wording import meaning_of

WORSE = ("bad", "refuted", "undecided", "proved")
"""Of several answers to one check the first of these is shown."""


@dataclass(frozen=True)
class Check:
    """A column of the matrix."""

    name: str

    @property
    def meaning(self) -> str:
        """What is so where it holds."""
        return meaning_of(self.name)


@dataclass(frozen=True)
class Entry:
    """One objective: the file of its page, and what the page says."""

    file: str
    compiled: CompiledObjective | None
    examination: Examination

    @property
    def name(self) -> str:
        """The objective's."""
        return self.examination.objective

    @property
    def title(self) -> str:
        """What people call it."""
        return title_of(self.compiled)

    @property
    def feedback(self) -> str:
        """The kind of feedback."""
        return self.compiled.declared.feedback.name if self.compiled else "not compiled"

    @property
    def tally(self) -> str:
        """How many findings of which verdict."""
        return tally(self.examination)

    @property
    def expectations(self) -> tuple[str, str]:
        """The style and words of a badge; whatever fails is bad."""
        words = expectations_met(self.examination)
        if self.examination.failed:
            return "bad", words
        return expectation_style(self.examination), words

    @property
    def mistakes(self) -> list[str]:
        """The names of likely mistakes."""
        return [mistake.name for mistake in self.examination.mistakes]

    @cached_property
    def cells(self) -> dict[str, tuple[str, str]]:
        """Of each check that was asked the least favourable answer: its style and word."""
        rows = [row for group in groups(self.compiled, self.examination) for row in group.rows if row.scope != CORE]
        found: dict[str, tuple[str, str]] = {}
        for row in sorted(rows, key=lambda row: WORSE.index(row.style)):
            found.setdefault(row.check.partition(".")[0], (row.style, row.word))
        return found


def index_page(entries: Sequence[tuple[str, CompiledObjective | None, Examination]]) -> str:
    """The page that leads to the others."""
    listed = [Entry(*entry) for entry in entries]
    asked = {name for entry in listed for name in entry.cells}
    names = [name for name in PROPOSITIONS if name in asked]
    checks = [Check(name) for name in (*names, *sorted(asked - set(names)))]
    failed = sum(entry.examination.failed for entry in listed)
    return rendered("index.html.j2", entries=listed, checks=checks, failed=failed, required=required())
