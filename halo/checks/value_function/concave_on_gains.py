"""Whether v is concave on gains."""

from __future__ import annotations

from halo.analysis.ranges import POSITIVE
from halo.analysis.verdict import PROVED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import each, question, region_of
from halo.compiler.graph import Node
from halo.objective.propositions import CONCAVE_ON_GAINS


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is concave on (0, oo); a v that is not defined on all of it, on the gains that z can be."""
    region = region_of(subject, value, z, POSITIVE)
    if region is None:
        return Finding(CONCAVE_ON_GAINS.name, PROVED, "z is never above 0: there are no gains", scope=scope)
    return Finding.of(CONCAVE_ON_GAINS.name, question(subject, value, z, region).concave(), scope=scope)


CHECK = Check(CONCAVE_ON_GAINS, each(CONCAVE_ON_GAINS, of_one))
