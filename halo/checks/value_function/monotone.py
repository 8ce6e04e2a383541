"""Whether v never falls."""

from __future__ import annotations

from halo.analysis.identity import shown
from halo.analysis.verdict import Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import each, question, region_of
from halo.compiler.graph import Node
from halo.objective.propositions import MONOTONE


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is non-decreasing on the real line; a v that is not defined on all of it, where z can be."""
    region = region_of(subject, value, z)
    assert region is not None  # z is somewhere
    verdict = question(subject, value, z, region).monotone()
    return Finding.of(MONOTONE.name, verdict, scope=scope, value=f"v(z) = {shown(value)}")


CHECK = Check(MONOTONE, each(MONOTONE, of_one))
