"""Measures over prompts: every number with its interval, its n and what it leaves out, for all prompts and for each group of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halo.completions.evaluating import Asked, Measure, Values
from halo.statistics.bootstrap import Estimate, Statistic, difference, estimate
from halo.statistics.combining import mean


@dataclass(frozen=True)
class Number:
    """A measure of a contestant.

    group     a value of the column that numbers are parted by; "" for all prompts
    left_out  prompts without it
    gap       the number less the baseline's, on the prompts that have both; None of the baseline and where it says nothing
    """

    evaluator: str
    measure: Measure
    contestant: str
    group: str
    found: Estimate
    left_out: int
    gap: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told: dict[str, Any] = {"evaluator": self.evaluator, "measure": self.measure.name, "meaning": self.measure.meaning}
        told |= {"contestant": self.contestant, "group": self.group, **vars(self.found), "left_out": self.left_out}
        return told | ({"difference": vars(self.gap)} if self.gap else {})


def numbers(
    evaluator: str, measures: Sequence[Measure], prompts: Sequence[Asked], names: Sequence[str], baseline: bool, column: str | None
) -> list[Number]:
    """Of every measure and contestant. What is of no prompt at all, or no finite number, is left out."""
    found = []
    for measure in measures:
        values = [measure.of(asked) for asked in prompts]
        for group, inside in _groups(prompts, column):
            units = [prompts[place].unit or prompts[place].key for place in inside]
            found += list(_of(evaluator, measure, [values[place] for place in inside], units, names, baseline, group))
    return found


def _of(
    evaluator: str,
    measure: Measure,
    values: Sequence[Sequence[Values | None]],
    units: Sequence[str],
    names: Sequence[str],
    baseline: bool,
    group: str,
) -> Iterator[Number]:
    for place, name in enumerate(names):
        own = [row[place] for row in values if row[place] is not None]
        if not own:
            continue
        statistic = measure.statistic or mean
        there = [unit for row, unit in zip(values, units, strict=True) if row[place] is not None]
        found = estimate(_table(own), statistic, (0, 1) if measure.share else None, there)
        if not math.isfinite(found.value):
            continue
        gap = None
        if baseline and place > 0 and measure.paired:
            gap = _gap([(row[place], row[0]) for row in values], units, statistic, measure.share)
        yield Number(evaluator, measure, name, group, found, len(values) - len(own), gap)


def _gap(rows: Sequence[tuple[Values | None, Values | None]], units: Sequence[str], statistic: Statistic, share: bool) -> Estimate | None:
    both = [(*row, unit) for row, unit in zip(rows, units, strict=True) if row[0] is not None and row[1] is not None]
    if not both:
        return None
    ours, theirs, there = zip(*both, strict=True)
    return difference(_table(ours), _table(theirs), statistic, (-1, 1) if share else None, there)


def _table(rows: Sequence[Values | None]) -> Any:
    """(n, k): NaN behind the last value of a shorter row."""
    width = max(len(row) for row in rows if row is not None)
    table = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        if row is not None:
            table[place, : len(row)] = row
    return table


def _groups(prompts: Sequence[Asked], column: str | None) -> list[tuple[str, list[int]]]:
    """All prompts, and those of each value of the column, by its value."""
    found: dict[str, list[int]] = {}
    if column is not None:
        for place, asked in enumerate(prompts):
            found.setdefault(str(asked.row.get(column, "(none)")), []).append(place)
    return [("", list(range(len(prompts)))), *sorted(found.items())]


def warnings(found: Sequence[Number], prompts: int) -> Iterator[str]:
    """What a reader should know before they believe a number."""
    by_name = {(one.measure.name, one.contestant): one.found for one in found if not one.group}
    for (name, contestant), raw in by_name.items():
        if name == "win rate":
            yield from _of_length(contestant, raw, by_name)
    if prompts < FEW:
        yield f"There are {prompts} prompts: an interval of fewer than {FEW} is a rough one."


FEW = 12
"""Prompts from which on the coverage of the intervals was simulated (tests/statistics)."""


def _of_length(contestant: str, raw: Estimate, by_name: dict[tuple[str, str], Estimate]) -> Iterator[str]:
    """Where length is preferred, and where it explains the win."""
    weight, controlled = by_name.get(("length coefficient", contestant)), by_name.get(("win rate, length-controlled", contestant))
    if weight is None or controlled is None or weight.low is None or weight.high is None:
        return
    if weight.low > 0 or weight.high < 0:
        which = "Longer" if weight.low > 0 else "Shorter"
        yield f"{which} answers are preferred (coefficient {weight.value:.2f}): read the length-controlled win rate of {contestant}."
    if _decided(raw) and not _decided(controlled):
        yield f"At equal length the win rate of {contestant} cannot be told from 50 %: length explains the difference."


def _decided(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and not found.low <= 0.5 <= found.high
