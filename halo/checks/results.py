"""Everything that `halo check` says about one objective, as plain data: it crosses processes, and rests in a cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from halo.analysis.verdict import REFUTED, Finding
from halo.objective.propositions import is_required


@dataclass(frozen=True)
class Expectation:
    """One line of `expect:` and what became of it."""

    check: str
    expected: str
    found: str
    met: bool


@dataclass(frozen=True)
class Mistake:
    """What the author probably did wrong: the rule's stable name, where it stands, what it does, what was probably wanted."""

    name: str
    where: str
    what: str
    wanted: str


@dataclass(frozen=True)
class Relative:
    """A known objective that this one is: `relation` as `halo diff` names it, and one sentence."""

    known: str
    relation: str
    sentence: str


@dataclass(frozen=True)
class Examination:
    """The findings in the order of the checks, what became of `expect:`, likely mistakes, and known relatives.

    `stopped` names the steps that the clock ended: such an examination may come out differently on a faster machine.
    """

    objective: str
    findings: tuple[Finding, ...]
    expectations: tuple[Expectation, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    relatives: tuple[Relative, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def unmet(self) -> tuple[Expectation, ...]:
        """The expectations that the findings do not bear out."""
        return tuple(one for one in self.expectations if not one.met)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What is refuted and may be of no objective."""
        return tuple(one for one in self.findings if one.verdict == REFUTED and is_required(one.check))

    @property
    def failed(self) -> bool:
        """Whether an expectation is not met, or something refuted that may not be."""
        return bool(self.unmet or self.broken)

    @property
    def failures(self) -> str:
        """What fails it, in one line."""
        unmet = [f"expect.{one.check} is {one.expected}, found {one.found}" for one in self.unmet]
        return "; ".join(unmet + [f"{one.check} is refuted: {one.reason}" for one in self.broken])

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable names."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Examination:
        """What `to_json` wrote."""

        def each(kind: type, rows: Iterable[dict[str, Any]]) -> tuple[Any, ...]:
            return tuple(kind(**row) for row in rows)

        return cls(
            data["objective"],
            tuple(Finding(**{**row, "steps": tuple(row["steps"])}) for row in data["findings"]),
            each(Expectation, data["expectations"]),
            each(Mistake, data["mistakes"]),
            each(Relative, data["relatives"]),
            tuple(data["stopped"]),
        )
