"""Proved, refuted or undecided, and why: the words in which every check answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["proved", "refuted", "undecided"]
PROVED: Outcome = "proved"
REFUTED: Outcome = "refuted"
UNDECIDED: Outcome = "undecided"


@dataclass(frozen=True)
class Verdict:
    """The answer to one question: why, in which steps, or by which numbers (`witness`: exact values by name)."""

    outcome: Outcome
    reason: str
    steps: tuple[str, ...] = ()
    witness: Mapping[str, str] = field(default_factory=dict)

    @property
    def proved(self) -> bool:
        """Whether it is proved."""
        return self.outcome == PROVED


@dataclass(frozen=True)
class Finding:
    """One proposition and its verdict.

    check   its stable name; `scope` says for what it was asked: `loss`, `core`, a role, a term
    value   the answer where there is one, such as `log(2)`; `reason` one line
    witness exact numbers that refute (or exhibit); `steps` of a proof
    """

    check: str
    verdict: Outcome
    reason: str
    value: str | None = None
    scope: str = "loss"
    witness: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    milliseconds: float = 0.0

    @classmethod
    def of(cls, check: str, verdict: Verdict, **more: Any) -> Finding:
        """A finding from the answer to one question."""
        return cls(check, verdict.outcome, more.pop("reason", verdict.reason), witness=verdict.witness, steps=verdict.steps, **more)
