"""One random objective of a family, examined and attacked: what the checks say of it, and what is against that."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from attacked import SECONDS, Stopped, attacked, clock
from batch_claims import Claim, against
from families import drawn
from witness_claims import shown_by

from halo.analysis.verdict import Finding
from halo.checks.catalogue import CHECKS
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import HaloError
from halo.examine.examiner import Examiner
from halo.loss.function import LossFunction
from halo.plugin.objectives import find_objective

BY_TEXT = ("ordinary", "parts")
"""Families of pairs and labels whose words the older attack knows, which moves one number of a text's value at a time."""
FAILURES = (AssertionError, ArithmeticError, ValueError, SyntaxError, KeyError, TypeError, AttributeError, HaloError)


@dataclass(frozen=True)
class Outcome:
    """What came of one objective; all empty where the file does not compile.

    verdicts  by check (direction.chosen counts under direction): each verdict
    wrong     by check and scope: what was found against it
    """

    compiles: bool
    verdicts: tuple[tuple[str, str], ...] = ()
    wrong: tuple[tuple[str, str], ...] = ()


@cache
def outcome(family: str, number: int) -> Outcome:
    """Examines and attacks the objective of a family with this number."""
    file = drawn(family, number)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{file['name']}.yaml"
        path.write_text(yaml.safe_dump(file, sort_keys=False))
        try:
            compiled = compile_source(path, None, find_objective)
        except HaloError:
            return Outcome(False)
    found = examined(compiled)
    loss, wrong = LossFunction(compiled, validate=False), list[tuple[str, str]]()
    for finding in found:
        said = _against(family, file, loss, finding, random.Random(f"{family} {number} {finding.check} {finding.scope}"))
        if said:
            wrong.append((f"{finding.check} {finding.verdict} of {finding.scope}", said))
    return Outcome(True, tuple((f.check.split(".")[0], f.verdict) for f in found), tuple(wrong))


def examined(compiled: CompiledObjective) -> list[Finding]:
    """All findings; a check that does not come back has none."""
    examiner, found = Examiner(compiled), list[Finding]()
    for name in CHECKS:
        try:
            with clock(SECONDS):
                found += examiner.step(name, found)
        except Stopped:
            continue
    return found


def _against(family: str, file: dict[str, Any], loss: LossFunction, finding: Finding, rng: random.Random) -> str:
    claim = Claim(finding.check, finding.verdict, finding.value, finding.scope)
    try:
        with clock(SECONDS):
            said = against(loss, rng, claim) or shown_by(loss, rng, claim, finding.witness)
    except Stopped:
        said = None
    if said or family not in BY_TEXT:
        return said or ""
    try:
        attacked(rng, {"parameters": {}, "columns": {}, **file}, finding)
    except FAILURES as wrong:
        return f"{type(wrong).__name__} {wrong}"
    return ""
