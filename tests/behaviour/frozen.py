"""Facts frozen in plain text, one a line: `subject: fact = value`. What differs from them is named, fact by fact.

HALO_UPDATE_BEHAVIOUR=1 writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

FOLDER = Path(__file__).resolve().parent
UPDATING = os.environ.get("HALO_UPDATE_BEHAVIOUR") == "1"
Facts = dict[str, str]


def read(table: str) -> dict[str, Facts]:
    """The facts of every subject of `table`, a file beside this one."""
    file = FOLDER / table
    subjects: dict[str, Facts] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        subject, _, rest = line.partition(": ")
        fact, _, value = rest.partition(" = ")
        subjects.setdefault(subject, {})[fact] = value
    return subjects


def write(table: str, subject: str, facts: Facts | None) -> None:
    """Puts the facts of one subject in the place of what was frozen of it; None takes the subject out."""
    with FileLock(Path(tempfile.gettempdir()) / f"halo-behaviour-{table}.lock"):  # the tests of one table may run in several processes
        subjects = read(table)
        subjects.pop(subject, None)
        if facts is not None:
            subjects[subject] = facts
        lines = [f"{name}: {fact} = {value}" for name in sorted(subjects) for fact, value in sorted(subjects[name].items())]
        (FOLDER / table).write_text("\n".join(lines) + "\n")


def hold(table: str, subject: str, now: Facts, tolerance: float = 0.0, notes: Mapping[str, str] | None = None) -> None:
    """Fails with every fact of `subject` that is not as it was frozen, or writes them anew.

    `tolerance` is for facts that are numbers, relative to the larger of 1 and the number. `notes` says more of some facts.
    """
    if UPDATING:
        write(table, subject, now)
        return
    before = read(table).get(subject, {})
    changed = []
    for fact in sorted(before | now):
        old, new = before.get(fact), now.get(fact)
        if not same(old, new, tolerance):
            changed.append(f"{subject}: {fact}: was {old or 'absent'}, is {new or 'absent'}{(notes or {}).get(fact, '')}")
    assert not changed, "HALO_UPDATE_BEHAVIOUR=1 accepts this:\n" + "\n".join(changed)


def same(old: str | None, new: str | None, tolerance: float) -> bool:
    """Whether two values agree: as text, or as numbers where there is a tolerance."""
    if old == new or old is None or new is None or not tolerance:
        return old == new
    return math.isclose(float(old), float(new), rel_tol=tolerance, abs_tol=tolerance)


def hold_subjects(table: str, subjects: list[str]) -> None:
    """Fails if `table` has facts of other subjects than these, or takes them out."""
    unknown = sorted(set(read(table)) - set(subjects))
    if UPDATING:
        for subject in unknown:
            write(table, subject, None)
        return
    assert unknown == [], f"{table} has facts of what is not there any more; HALO_UPDATE_BEHAVIOUR=1 takes them out"
