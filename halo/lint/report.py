"""Which slip of the author explains what looks wrong: named, placed, and with the edit that was tried and cures it.

Suspicion comes first and is cheap: it reads the findings. Only then are edits tried, each on a compile of its own. An edit
of a key that another file declares is not proposed: what is inherited is somebody's published objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halo.checks.results import Mistake
from halo.checks.subject import Finding, Subject
from halo.lint.diagnoses import SYMPTOMS
from halo.lint.rules import SLIPS, Slip
from halo.lint.trial import KEPT, Believed, Case, Edit
from halo.objective.loading import Objective

Diagnosis = tuple[Slip, Edit, Case, str]


def mistakes(subject: Subject, believed: Believed, found: Sequence[Finding] | None = None) -> Iterator[Mistake]:
    """Likely slips, each with a cure that works; those that only show once another is mended, after it.

    `believed` holds a file's `expect:` against findings; `found` are those that were made already.
    """
    case, objective = Case(subject, believed, found), subject.compiled.objective
    for name, symptom in SYMPTOMS.items():
        seen = symptom.seen(case)
        if not seen:
            continue
        for slip, edit, after, then in _diagnosed(case, name, objective):
            yield _told(slip, edit, objective, seen, then)
            case = after


def _diagnosed(case: Case, symptom: str, objective: Objective) -> list[Diagnosis]:
    """The best cure of a symptom; or that together with a domain, since an unbounded parameter hides every other slip."""
    found = _best(case, symptom, objective)
    if found is not None:
        return [found]
    widest = next(slip for slip in SLIPS if slip.name == "parameter-not-positive")
    edits = [edit for edit in widest.edits(case) if _own(edit, objective)] if symptom in widest.symptoms else []
    base = case.mended(edits[-1]) if edits else None
    second = _best(base, symptom, objective) if base is not None and SYMPTOMS[symptom].seen(base) else None
    if base is None or second is None or SYMPTOMS[symptom].gone(case, second[2]) == "":
        return []
    return [second, (widest, edits[-1], second[2], second[3])]


def _best(case: Case, symptom: str, objective: Objective) -> Diagnosis | None:
    cured: list[Diagnosis] = []
    for slip in SLIPS:
        if symptom not in slip.symptoms:
            continue
        for edit in slip.edits(case):
            after = case.mended(edit) if _own(edit, objective) else None
            then = SYMPTOMS[symptom].gone(case, after) if after is not None else ""
            if after is not None and then and _no_worse(case, after):
                cured.append((slip, edit, after, then))
    return max(cured, key=lambda one: one[2].health, default=None)  # the first of equals


def _own(edit: Edit, objective: Objective) -> bool:
    return objective.place(edit.anchor).file == objective.file


def _no_worse(before: Case, after: Case) -> bool:
    kept = all(after.rank(check) >= before.rank(check) for check in KEPT)
    return kept and all(after.levels.get(role, 0) >= level for role, level in before.levels.items())


def _told(slip: Slip, edit: Edit, objective: Objective, seen: str, then: str) -> Mistake:
    key = ".".join(str(part) for part in edit.anchor)
    return Mistake(slip.name, f"{objective.place(edit.anchor)} {key}", f"{slip.why}; {seen}", f"probably wanted {edit}: then {then}")
