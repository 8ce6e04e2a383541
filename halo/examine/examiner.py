"""Every check by name, the verdict on what a file expects, and the examination of one objective."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from halo.analysis.decide import PROVED, REFUTED, UNDECIDED, Outcome
from halo.analysis.identity import is_zero
from halo.checks import gradients, human_aware, invariance, optimum, reach, value_function, well_formed
from halo.checks.results import NEVER, Belief, Examination
from halo.checks.subject import Check, Finding, Subject
from halo.compiler.pipeline import CompiledObjective
from halo.lint.report import mistakes
from halo.relations.relatives import Known, kin

CHECKS: dict[str, Check] = {
    "domain": well_formed.domain,
    "units": well_formed.units,
    "reach": reach.reach,
    "monotone": value_function.monotone,
    "concave_on_gains": value_function.concave_on_gains,
    "halo": human_aware.halo,
    "direction": gradients.direction,
    "log_partition_cancels": invariance.log_partition_cancels,
    "at_reference": well_formed.at_reference,
    "finite_optimum": optimum.finite_optimum,
    "preference_link": optimum.preference_link,
    "bounded": value_function.bounded,
    "saturates": value_function.saturates,
    "lipschitz": value_function.lipschitz,
    "no_overflow": well_formed.no_overflow,
    "length_neutral": invariance.length_neutral,
    "symmetry": invariance.symmetry,
    "stop_gradient_effect": gradients.stop_gradient_effect,
}
"""In the order of the report. A check that has no meaning for an objective (a link without pairs) yields nothing."""

STEPS = (*CHECKS, "beliefs", "mistakes", "kin")
"""An examination, step by step: the checks, then what is concluded from their findings."""


class Examiner:
    """Examines one objective, one step at a time, so that a step can be stopped without losing the others."""

    def __init__(self, compiled: CompiledObjective, known: Known | None = None) -> None:
        self.compiled, self.subject, self.known = compiled, Subject(compiled), known

    def step(self, name: str, found: Sequence[Finding]) -> tuple[Any, ...]:
        """What one of `STEPS` says; `found` are the findings so far."""
        if name in CHECKS:
            undefined = any(f.check == "domain" and f.verdict == REFUTED for f in found)
            return tuple(_qualified(f, undefined) for f in self._timed(CHECKS[name]))
        if name == "beliefs":
            return tuple(beliefs(self.compiled, found))
        if name == "mistakes":
            return tuple(mistakes(self.subject, beliefs, found))
        return kin(self.compiled, self.known) if self.known else ()

    def _timed(self, check: Check) -> Iterator[Finding]:
        begun = time.perf_counter()
        for finding in check(self.subject):
            now = time.perf_counter()
            yield replace(finding, milliseconds=round(1e3 * (now - begun), 1))
            begun = now


def _qualified(finding: Finding, undefined: bool) -> Finding:
    """Where the loss is not defined everywhere, a proof speaks of the rest."""
    if not undefined or finding.verdict != PROVED or finding.check in NEVER:
        return finding
    return replace(finding, reason=f"{finding.reason} (wherever the loss has a value)")


def findings(compiled: CompiledObjective) -> Iterator[Finding]:
    """Every finding, in the order of `CHECKS`."""
    examiner, found = Examiner(compiled), list[Finding]()
    for name in CHECKS:
        said = examiner.step(name, found)
        found += said
        yield from said


def beliefs(compiled: CompiledObjective, found: Sequence[Finding]) -> list[Belief]:
    """What the file expects, held against the findings. Undecided is never met."""
    expect = compiled.objective.declaration.expect
    if expect is None:
        return []
    result = []
    for name in CHECKS:
        wanted = getattr(expect, name)
        if isinstance(wanted, str) and name != "at_reference":
            verdict = _of_all([f.verdict for f in found if f.check == name and f.scope != "core"])
            result.append(Belief(name, wanted, verdict, verdict == wanted))
    for role, way in (expect.direction or {}).items():
        value = next((f.value or f.verdict for f in found if f.check == f"direction.{role}"), "no such direction")
        result.append(Belief(f"direction.{role}", way, value, value == way))
    result += _at_reference(compiled, found)
    return result


def _of_all(verdicts: Sequence[Outcome]) -> Outcome:
    """Of a proposition that was asked of several parts: proved of all, or refuted of one."""
    if REFUTED in verdicts:
        return REFUTED
    return PROVED if verdicts and UNDECIDED not in verdicts else UNDECIDED


def _at_reference(compiled: CompiledObjective, found: Sequence[Finding]) -> Iterator[Belief]:
    expect = compiled.objective.declaration.expect
    wanted = expect.at_reference if expect else None
    if wanted is None:
        return
    subject = Subject(compiled)
    by_role = wanted if isinstance(wanted, dict) else dict.fromkeys(subject.labels, wanted)
    view = subject.view.variant(tied=True)
    for role, belief in by_role.items():
        name = f"at_reference.{role}" if role else "at_reference"
        path = ("expect", "at_reference", role) if isinstance(wanted, dict) else ("expect", "at_reference")
        loss = view.unstopped(view.alone_loss(role))
        believed = well_formed.read(view.s, view, compiled.objective.formula(path, belief))
        same = is_zero(view.s, view.s.call("sub", loss, believed), view.box)
        verdict = {True: PROVED, False: REFUTED, None: UNDECIDED}[same]
        value = next((f.value for f in found if f.check == name), None)
        yield Belief(name, str(belief), value or verdict, same is True)


def examined(compiled: CompiledObjective) -> Examination:
    """The whole examination, in this process and without a clock."""
    examiner, found = Examiner(compiled), tuple(findings(compiled))
    return Examination(compiled.objective.name, found, **{name: examiner.step(name, found) for name in STEPS if name not in CHECKS})
