"""Every check by name, in the order of the propositions: collected from the files of this room, each of which holds one `CHECK`."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

import halo.checks as room
from halo.analysis.verdict import Finding
from halo.checks.check import Check
from halo.checks.results import Expectation
from halo.checks.subject import Subject
from halo.objective.propositions import PROPOSITIONS

CHECKS: dict[str, Check] = {}
"""In the order in which they are asked and reported."""


def register(check: Check) -> None:
    """Makes a check known: from now on it is asked and reported, stands in --json and in the schema, and may be expected."""
    PROPOSITIONS[check.name] = check.proposition
    CHECKS[check.name] = check


def expectations(subject: Subject, found: Sequence[Finding]) -> list[Expectation]:
    """What the file expects, held against the findings."""
    return [one for check in CHECKS.values() for one in check.expectations(subject, found)]


def _collect() -> None:
    """The `CHECK` of every file of this room, in the order of the propositions."""
    files = (import_module(file.name) for file in pkgutil.walk_packages(room.__path__, f"{room.__name__}."))
    found = {file.CHECK.name: file.CHECK for file in files if hasattr(file, "CHECK")}
    for name in PROPOSITIONS:
        register(found[name])


_collect()
