"""What a check is: the proposition that it decides, when it is asked, how it answers, and how an expectation is held against that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding, Outcome
from halo.checks.results import Expectation
from halo.checks.subject import Subject
from halo.objective.propositions import Proposition

Ask = Callable[[Subject], Iterator[Finding]]
Held = Callable[[Subject, Any, Sequence[Finding]], Iterator[Expectation]]

CORE = "core"
"""The scope of a finding about the loss without its regularizers. An expectation speaks of the whole."""


def always(subject: Subject) -> bool:
    """Of every objective."""
    return True


@dataclass(frozen=True)
class Check:
    """One question that `halo check` asks.

    proposition  its name, its group and words in a report, and how a file expects it
    ask          answers it: a finding for each thing of the objective that it is asked of
    asked        whether it means something for an objective; where it does not, nothing is said
    held         what became of an expectation that is no verdict: given what the file says, and the findings
    """

    proposition: Proposition
    ask: Ask
    asked: Callable[[Subject], bool] = always
    held: Held | None = None

    @property
    def name(self) -> str:
        """That of its proposition."""
        return self.proposition.name

    def findings(self, subject: Subject) -> Iterator[Finding]:
        """What it says of an objective."""
        if self.asked(subject):
            yield from self.ask(subject)

    def expectations(self, subject: Subject, found: Sequence[Finding]) -> Iterator[Expectation]:
        """What became of what the file expects of it. Undecided is never met."""
        wanted = subject.expected.get(self.name)
        if wanted is None:
            return
        if self.held is not None:
            yield from self.held(subject, wanted, found)
            return
        verdict = _of_all([f.verdict for f in found if f.check == self.name and f.scope != CORE])
        yield Expectation(self.name, wanted, verdict, verdict == wanted)


def _of_all(verdicts: Sequence[Outcome]) -> Outcome:
    """Of a proposition that was asked of several parts: proved of all, or refuted of one."""
    if REFUTED in verdicts:
        return REFUTED
    if not verdicts or UNDECIDED in verdicts:
        return UNDECIDED
    return PROVED
