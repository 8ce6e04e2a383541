"""Measures over prompts: every number with its interval, its n and what it leaves out, for all prompts and for each group of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halo.completions.evaluating import Asked, Measure, Values
from halo.statistics.bootstrap import Estimate, Statistic, difference, estimate
from halo.statistics.combining import mean


@dataclass(frozen=True)
class Number:
    """A measure of a contestant.

    group     a value of the column that numbers are parted by, as text; None for all prompts
    left_out  prompts without it
    gap       the number less the baseline's, on the prompts that have both; None of the baseline and where it says nothing
    """

    evaluator: str
    measure: Measure
    contestant: str
    group: str | None
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
            drawn = _Drawn([prompts[place] for place in inside])
            found += list(_of(evaluator, measure, [values[place] for place in inside], drawn, names, baseline, group))
    return found


def _of(
    evaluator: str,
    measure: Measure,
    values: Sequence[Sequence[Values | None]],
    drawn: _Drawn,
    names: Sequence[str],
    baseline: bool,
    group: str | None,
) -> Iterator[Number]:
    for place, name in enumerate(names):
        there = [number for number, row in enumerate(values) if row[place] is not None]
        if not there:
            continue
        statistic = measure.statistic or mean
        bounds = (0.0, 1.0) if measure.share else measure.bounds
        found = estimate(_table([values[number][place] for number in there]), statistic, bounds, *drawn.of(there))
        if not math.isfinite(found.value):
            continue
        gap = None
        if baseline and place > 0 and measure.paired:
            gap = _gap([(row[place], row[0]) for row in values], drawn, statistic, bounds)
        yield Number(evaluator, measure, name, group, found, len(values) - len(there), gap)


def _gap(
    rows: Sequence[tuple[Values | None, Values | None]], drawn: _Drawn, statistic: Statistic, bounds: tuple[float, float] | None
) -> Estimate | None:
    there = [number for number, row in enumerate(rows) if row[0] is not None and row[1] is not None]
    if not there:
        return None
    ours, theirs = (_table([rows[number][side] for number in there]) for side in (0, 1))
    widest = (bounds[0] - bounds[1], bounds[1] - bounds[0]) if bounds else None
    return difference(ours, theirs, statistic, widest, *drawn.of(there))


@dataclass(frozen=True)
class _Drawn:
    """Prompts as the bootstrap sees them."""

    prompts: Sequence[Asked]

    def of(self, places: Sequence[int]) -> tuple[list[str], list[float]]:
        """Of these prompts what is drawn, and what each counts in it."""
        found = [self.prompts[place] for place in places]
        return [asked.unit or asked.key for asked in found], [asked.share for asked in found]


def _table(rows: Sequence[Values | None]) -> Any:
    """(n, k): NaN behind the last value of a shorter row."""
    width = max(len(row) for row in rows if row is not None)
    table = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        if row is not None:
            table[place, : len(row)] = row
    return table


def _groups(prompts: Sequence[Asked], column: str | None) -> list[tuple[str | None, list[int]]]:
    """All prompts, and those of each value of the column, by its value."""
    found: dict[str, list[int]] = {}
    if column is not None:
        for place, asked in enumerate(prompts):
            found.setdefault(_as_text(asked.row, column), []).append(place)
    return [(None, list(range(len(prompts)))), *sorted(found.items())]


def _as_text(row: Mapping[str, Any], column: str) -> str:
    """A value of the column, so that no two of them look the same: a text as it is, unless it reads as something else."""
    if column not in row:
        return "(no such column)"
    value = row[column]
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, default=str)
    try:
        json.loads(value)
    except ValueError:
        return value if value.strip() and value != ALL and not value.startswith("(") else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


ALL = "(all)"
"""How all prompts together stand in a table that is parted by a column."""


def missing(evaluator: str, found: Sequence[Number], names: Sequence[str], needs_baseline: bool) -> Iterator[str]:
    """Contestants of whom an evaluator measured nothing at all."""
    for name in names[1:] if needs_baseline else names:
        if not any(one.evaluator == evaluator and one.contestant == name for one in found):
            yield f"{evaluator} has no number of {name}: no prompt has what it needs of every answer, such as a score."


def warnings(found: Sequence[Number], prompts: int) -> Iterator[str]:
    """What a reader should know before they believe a number."""
    by_name = {(one.measure.name, one.contestant): one.found for one in found if one.group is None}
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
    if weight is None or controlled is None:
        yield f"What length has to do with the wins of {contestant} cannot be said: all are won or lost, or length alone parts them."
        return
    if weight.low is None or weight.high is None:
        return
    if weight.low > 0 or weight.high < 0:
        which = "Longer" if weight.low > 0 else "Shorter"
        yield f"{which} answers are preferred (coefficient {weight.value:.2f}): read the length-controlled win rate of {contestant}."
    if _decided(raw) and not _decided(controlled):
        yield f"At equal length the win rate of {contestant} cannot be told from 50 %: length explains the difference."


def _decided(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and not found.low <= 0.5 <= found.high
