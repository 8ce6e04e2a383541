"""Whether v levels off at both ends: sure successes and hopeless failures pull no more."""

from __future__ import annotations

from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import each, limit_of, written
from halo.compiler.graph import Node
from halo.objective.propositions import SATURATES


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v' tends to 0 at both ends."""
    slope = subject.view.s.derivative(value, z)
    low, high = (limit_of(subject, slope, z, side) for side in (-1, 1))
    if low is None or high is None:
        return Finding(SATURATES.name, UNDECIDED, "a limit of v' was not found", None, scope)
    verdict = PROVED if low == high == 0 else REFUTED
    reason = f"v' tends to {written(low)} at -oo and to {written(high)} at +oo"
    return Finding(SATURATES.name, verdict, reason, f"slopes {written(low, high)}", scope)


CHECK = Check(SATURATES, each(SATURATES, of_one))
