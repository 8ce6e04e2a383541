"""Examines an objective in a process of its own, under a clock, and keeps the verdicts of what was examined in full.

What a check may spend is counted in steps (`analysis.budgets`), so that verdicts repeat. The clock is for what cannot be counted, a
call of the algebra library that does not come back: it ends the process from outside, the report names the step, and the other
steps go on in a new process. What was decided is kept; the next look asks what the clock stopped, and what is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from halo.analysis.verdict import UNDECIDED, Finding
from halo.checks.results import Examination, Expectation
from halo.clock import SECONDS, answers
from halo.compiler.pipeline import CompiledObjective
from halo.examine import cache

if TYPE_CHECKING:  # the algebra is loaded where something is asked
    from halo.relations.relatives import Known

Asked = tuple[CompiledObjective, "Known | None"]


def examine(compiled: CompiledObjective, fresh: bool = False, seconds: float = SECONDS, known: Known | None = None) -> Examination:
    """The examination of an objective: from the cache unless `fresh`, else from a process that is given `seconds` a step.

    With `known` objectives it also says which of them this one is in disguise.
    """
    key = cache.key(compiled, known.fingerprint if known else "")
    before = None if fresh else cache.read(key)
    if before is not None and not before.stopped:
        return before
    examination = _supervised(compiled, seconds, known, before)
    if not examination.mistakes:  # a mistake points at a line, and a line may move
        cache.write(key, examination)
    return examination


def _supervised(compiled: CompiledObjective, seconds: float, known: Known | None, before: Examination | None) -> Examination:
    from halo.examine.examiner import CONCLUSIONS, steps  # here, once: forked workers find the algebra loaded

    order = steps()
    found, left = list[Finding](), list(order)
    if before is not None:
        found = [finding for finding in before.findings if finding.check not in before.stopped]
        left = [name for name in order if name in before.stopped or name in CONCLUSIONS]
    concluded: dict[str, tuple[Any, ...]] = {}
    stopped: list[str] = []
    while left:
        for name, answer in _until_stopped((compiled, known), tuple(left), found, seconds):
            left.remove(name)
            if name in CONCLUSIONS:
                concluded[name] = answer
            else:
                found += answer
        if left:
            name = left.pop(0)  # what is left begins with the step that the clock ended
            stopped.append(name)
            reason = f"stopped by the clock after {seconds:g} s"
            if name not in CONCLUSIONS:
                found.append(Finding(name, UNDECIDED, reason, milliseconds=1e3 * seconds))
            elif name == "expectations" and compiled.objective.declaration.expect:
                concluded[name] = (Expectation("expect", "to be decided", reason, False),)
    found.sort(key=lambda finding: order.index(finding.check.partition(".")[0]))
    return Examination(compiled.objective.name, tuple(found), stopped=tuple(stopped), **concluded)


def _until_stopped(asked: Asked, names: Sequence[str], found: list[Finding], seconds: float) -> Iterator[tuple[str, Any]]:
    """Each step's name and answer; ends early when a step outlasts the clock."""
    return islice(answers(_steps, (*asked, tuple(names), tuple(found)), seconds), len(names))


def _steps(compiled: CompiledObjective, known: Known | None, names: Sequence[str], found: Sequence[Finding]) -> Iterator[tuple[str, Any]]:
    from halo.examine.examiner import CONCLUSIONS, Examiner

    so_far, examiner = list(found), Examiner(compiled, known)
    for name in names:
        said = examiner.step(name, so_far)
        if name not in CONCLUSIONS:
            so_far += said
        yield name, said
