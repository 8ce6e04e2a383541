"""What is looked for in a loss, and how it is said that it is not there."""

from __future__ import annotations

from dataclasses import dataclass, field

from halo.analysis.verdict import REFUTED, UNDECIDED, Outcome
from halo.compiler.graph import Node


def refuted_if(sure: bool) -> Outcome:
    """Refuted where it is sure that the definition does not hold; else it only could not be shown to."""
    return REFUTED if sure else UNDECIDED


class NotOfTheForm(Exception):
    """What leaves the definition; `outcome` is undecided where it only could not be shown to keep to it."""

    def __init__(self, reason: str, outcome: Outcome = REFUTED, witness: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.outcome, self.witness = reason, outcome, witness or {}


@dataclass(frozen=True)
class Reading:
    """A part's z as l(y) log(pi/pi_ref) - E_Q[the same] - margin, of which the margin is made of parameters alone.

    factor  l, or -l where z falls with the reward; `sign` says which
    slot    whose length it may depend on; `point`: whose reward is in E_Q
    tilt    g(y) - g(y') of a pair, 0 where there is none
    """

    role: str
    slot: str
    factor: Node
    sign: int
    margin: Node
    used: bool
    point: str
    tilt: Node


@dataclass
class Construction:
    """What was found on the way to a yes: notes on the liberties taken, steps of the proof, how each part's z was read.

    whose  the completion of a pair whose reward r(x, y) is in every part; "": each part's own
    """

    whose: str = ""
    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    value: str = ""
