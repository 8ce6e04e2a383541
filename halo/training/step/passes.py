"""In which order the passes of a step come. What a quantity of the batch depends on is known before anything goes backward.

stream         every micro-batch is scored once and goes backward at once: no quantity of the batch has to be known before (DPO)
measure first  completions without a gradient are scored before: KTO's mismatched ones, which costs no pass that would not be made
two passes     completions with a gradient are scored twice, first without one: a sort, or an attached mean over a batch in several parts
evaluate       everything is scored, and nothing goes backward
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from halo.compiler.graph import Needs


class Schedule(Enum):
    """See the module."""

    STREAM = "stream"
    MEASURE_FIRST = "measure first"
    TWO_PASSES = "two passes"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class Plan:
    """The schedule of a step, and the slots that are scored without a gradient ahead of it."""

    schedule: Schedule
    ahead: tuple[str, ...]

    @classmethod
    def of(cls, needs: Needs, in_parts: bool, train: bool) -> Plan:
        """in_parts: whether the batch comes in several micro-batches or ranks; one that comes whole couples within its only pass."""
        if not train:
            return cls(Schedule.EVALUATE, tuple(needs.slots))
        coupled = tuple(slot for slot in needs.coupled if slot in needs.gradient and in_parts)
        ahead = tuple(needs.measured) + coupled
        if coupled:
            return cls(Schedule.TWO_PASSES, ahead)
        if ahead:
            return cls(Schedule.MEASURE_FIRST, ahead)
        return cls(Schedule.STREAM, ahead)
