"""The examination of one objective, step by step: every check, then what is concluded from the findings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from halo.analysis.verdict import PROVED, REFUTED, Finding
from halo.checks.catalogue import CHECKS, expectations
from halo.checks.check import Check
from halo.checks.results import Examination
from halo.checks.subject import Subject
from halo.compiler.pipeline import CompiledObjective
from halo.lint.report import mistakes
from halo.objective.propositions import DOMAIN, is_required
from halo.relations.relatives import Known, relatives

CONCLUSIONS = ("expectations", "mistakes", "relatives")
"""Fields of an `Examination`, in the order in which they are found."""


def steps() -> tuple[str, ...]:
    """What an examination consists of."""
    return (*CHECKS, *CONCLUSIONS)


class Examiner:
    """Examines one objective, one step at a time, so that a step can be stopped without losing the others."""

    def __init__(self, compiled: CompiledObjective, known: Known | None = None) -> None:
        self.compiled, self.subject, self.known = compiled, Subject(compiled), known

    def step(self, name: str, found: Sequence[Finding]) -> tuple[Any, ...]:
        """What one of `steps()` says; `found` are the findings so far."""
        if name in CHECKS:
            undefined = any(f.check == DOMAIN.name and f.verdict == REFUTED for f in found)
            return tuple(_qualified(f, undefined) for f in self._timed(CHECKS[name]))
        if name == "expectations":
            return tuple(expectations(self.subject, found))
        if name == "mistakes":
            return tuple(mistakes(self.subject, found))
        if self.known is None:
            return ()
        return relatives(self.compiled, self.known)

    def _timed(self, check: Check) -> Iterator[Finding]:
        begun = time.perf_counter()
        for finding in check.findings(self.subject):
            now = time.perf_counter()
            yield replace(finding, milliseconds=round(1e3 * (now - begun), 1))
            begun = now


def _qualified(finding: Finding, undefined: bool) -> Finding:
    """Where the loss is not defined everywhere, a proof speaks of the rest."""
    if not undefined or finding.verdict != PROVED or is_required(finding.check):
        return finding
    return replace(finding, reason=f"{finding.reason} (wherever the loss has a value)")


def findings(compiled: CompiledObjective) -> Iterator[Finding]:
    """Every finding, in the order of the checks."""
    examiner, found = Examiner(compiled), list[Finding]()
    for name in CHECKS:
        said = examiner.step(name, found)
        found += said
        yield from said


def examined(compiled: CompiledObjective) -> Examination:
    """The whole examination, in this process and without a clock."""
    examiner, found = Examiner(compiled), tuple(findings(compiled))
    return Examination(compiled.objective.name, found, **{name: examiner.step(name, found) for name in CONCLUSIONS})
