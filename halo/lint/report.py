"""Which rule explains what looks wrong: named, placed, and with the fix that was tried and works.

Suspicion comes first and is cheap: it reads the findings. Only then are edits tried, each on a compile of its own. An edit
of a key that another file declares is not proposed: what is inherited is somebody's published objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from halo.analysis.verdict import Finding
from halo.checks.results import Mistake
from halo.checks.subject import Subject
from halo.lint.diagnoses import DIAGNOSES
from halo.lint.rules import PARAMETER_NOT_POSITIVE, RULES, Rule
from halo.lint.trial import KEPT, Case, Edit
from halo.objective.loading import Objective


@dataclass(frozen=True)
class Fix:
    """An edit that a rule proposes and that works: the objective after it, and what is true then."""

    rule: Rule
    edit: Edit
    after: Case
    then: str


def mistakes(subject: Subject, found: Sequence[Finding] | None = None) -> Iterator[Mistake]:
    """Likely mistakes, each with a fix that works; those that only show once another is mended, after it.

    `found` are the findings that were made already.
    """
    case, objective = Case(subject, found), subject.compiled.objective
    for name, diagnosis in DIAGNOSES.items():
        seen = diagnosis.seen(case)
        if not seen:
            continue
        for fix in _fixes(case, name, objective):
            yield _told(fix, objective, seen)
            case = fix.after


def _fixes(case: Case, diagnosis: str, objective: Objective) -> list[Fix]:
    """The best fix; or that together with a domain, since an unbounded parameter hides every other mistake."""
    found = _best(case, diagnosis, objective)
    if found is not None:
        return [found]
    if diagnosis not in PARAMETER_NOT_POSITIVE.diagnoses:
        return []
    edits = [edit for edit in PARAMETER_NOT_POSITIVE.edits(case) if _own(edit, objective)]
    base = case.mended(edits[-1]) if edits else None
    if base is None or not DIAGNOSES[diagnosis].seen(base):
        return []
    second = _best(base, diagnosis, objective)
    if second is None or not DIAGNOSES[diagnosis].gone(case, second.after):
        return []
    return [second, Fix(PARAMETER_NOT_POSITIVE, edits[-1], second.after, second.then)]


def _best(case: Case, diagnosis: str, objective: Objective) -> Fix | None:
    """Of the fixes that work the one after which most is right; of equals the first."""
    return max(_working(case, diagnosis, objective), key=lambda fix: fix.after.health, default=None)


def _working(case: Case, diagnosis: str, objective: Objective) -> Iterator[Fix]:
    for rule in RULES:
        if diagnosis not in rule.diagnoses:
            continue
        for edit in rule.edits(case):
            after = case.mended(edit) if _own(edit, objective) else None
            if after is None:
                continue
            then = DIAGNOSES[diagnosis].gone(case, after)
            if then and _no_worse(case, after):
                yield Fix(rule, edit, after, then)


def _own(edit: Edit, objective: Objective) -> bool:
    return objective.place(edit.anchor).file == objective.file


def _no_worse(before: Case, after: Case) -> bool:
    kept = all(after.rank(check) >= before.rank(check) for check in KEPT)
    return kept and all(after.levels.get(role, 0) >= level for role, level in before.levels.items())


def _told(fix: Fix, objective: Objective, seen: str) -> Mistake:
    key = ".".join(str(part) for part in fix.edit.anchor)
    where = f"{objective.place(fix.edit.anchor)} {key}"
    return Mistake(fix.rule.name, where, f"{fix.rule.why}; {seen}", f"probably wanted {fix.edit}: then {fix.then}")
