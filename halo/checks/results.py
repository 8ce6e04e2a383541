"""Everything that `halo check` says about one objective, as plain data: it crosses processes, and rests in a cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from halo.analysis.verdict import REFUTED, Finding

NEVER = ("domain", "units", "reach")
"""What no objective may have refuted."""


@dataclass(frozen=True)
class Belief:
    """One line of `expect:` and what became of it."""

    check: str
    expected: str
    found: str
    met: bool


@dataclass(frozen=True)
class Mistake:
    """A likely slip of the author: its stable name, where it stands, what it does, what was probably wanted."""

    name: str
    where: str
    what: str
    wanted: str


@dataclass(frozen=True)
class Kin:
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
    beliefs: tuple[Belief, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    kin: tuple[Kin, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """A belief is not met, or what no objective may have refuted is."""
        return any(not belief.met for belief in self.beliefs) or any(f.check in NEVER and f.verdict == REFUTED for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable names."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Examination:
        """What `to_json` wrote."""

        def each(kind: type, rows: Iterable[dict[str, Any]]) -> tuple[Any, ...]:
            return tuple(kind(**row) for row in rows)

        findings = tuple(Finding(**{**row, "steps": tuple(row["steps"])}) for row in data["findings"])
        mistakes, kin = each(Mistake, data["mistakes"]), each(Kin, data["kin"])
        return cls(data["objective"], findings, each(Belief, data["beliefs"]), mistakes, kin, tuple(data["stopped"]))
