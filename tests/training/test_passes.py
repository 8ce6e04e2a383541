"""The schedule of a step by the name that the documentation gives it."""

from __future__ import annotations

from typing import Any

import pytest

import halo
from halo.training.step.passes import Plan, Schedule

SORTED: dict[str, Any] = {"name": "aot", "extends": "dpo", "reward": "batch_sort(sum(logp - ref_logp))"}
ATTACHED: dict[str, Any] = {"name": "attached", "extends": "kto", "reference_point": "batch_mean(mismatched.reward)"}


@pytest.mark.parametrize(
    ("source", "in_parts", "schedule", "ahead"),
    [
        ("dpo", False, Schedule.STREAM, ()),
        ("dpo", True, Schedule.STREAM, ()),
        ("kto", False, Schedule.MEASURE_FIRST, ("mismatched",)),
        ("kto", True, Schedule.MEASURE_FIRST, ("mismatched",)),
        (SORTED, False, Schedule.STREAM, ()),
        (SORTED, True, Schedule.TWO_PASSES, ("chosen", "rejected")),
        (ATTACHED, True, Schedule.TWO_PASSES, ("completion", "mismatched")),
    ],
)
def test_the_schedule_follows_from_the_objective(source: Any, in_parts: bool, schedule: Schedule, ahead: tuple[str, ...]) -> None:
    needs = halo.compile_objective(source).needs
    assert Plan.of(needs, in_parts, train=True) == Plan(schedule, ahead)
    assert Plan.of(needs, in_parts, train=False) == Plan(Schedule.EVALUATE, tuple(needs.slots))
