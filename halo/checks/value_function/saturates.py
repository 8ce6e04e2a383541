"""Whether v levels off at both ends: sure successes and hopeless failures pull no more."""

from __future__ import annotations

from functools import partial

from halo.analysis.ends.extent import SIDES, Extent
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import at_samples, each, extent_of, written
from halo.compiler.graph import Node
from halo.objective.propositions import SATURATES


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v' tends to 0 at both ends of where z can be."""
    return at_samples(extent_of(subject, value, z), partial(_of_extent, scope))


def _of_extent(scope: str, extent: Extent) -> Finding:
    tails = {side: extent.tail(extent.slope, side) if extent.reached(side) else None for side in SIDES}
    low, high = (None if end is None else end.limit for end in tails.values())
    reason = f"v' tends to {written(low)} at {extent.place(-1)} and to {written(high)} at {extent.place(1)}"
    if any(end not in (None, 0) for end in (low, high)):
        return Finding(SATURATES.name, REFUTED, reason, f"slopes {written(low, high)}", scope)
    if low is None or high is None:
        return Finding(SATURATES.name, UNDECIDED, "a limit of v' was not found", None, scope)
    return Finding(SATURATES.name, PROVED, reason, f"slopes {written(low, high)}", scope)


CHECK = Check(SATURATES, each(SATURATES, of_one))
