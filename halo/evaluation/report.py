"""Numbers as tables, figures and a page, and the files of a report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halo.completions.evaluating import Asked, Measure
from halo.evaluation.numbers import ALL, Number
from halo.statistics.bootstrap import Estimate
from halo.tables.figures import Figure, Point, colours_of, curves, intervals
from halo.tables.page import Beside, Page
from halo.tables.table import Table

SHOWN = 20
"""Prompts whose answers stand on the page, chosen by the hash of their key: neither the best nor the worst."""
INTERVAL = "In brackets: 95 % by a bootstrap over prompts."


@dataclass(frozen=True)
class Report:
    """What an evaluation found. names: of the contestants, the baseline first where there is one; column: what `group` is a value of."""

    names: tuple[str, ...]
    baseline: bool
    score: str
    column: str | None
    numbers: tuple[Number, ...]
    prompts: tuple[Asked, ...]
    left_out: int
    warnings: tuple[str, ...]

    @property
    def units(self) -> int:
        """How many prompts there are, all turns of a conversation being one."""
        return len({asked.unit or asked.key for asked in self.prompts})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told: dict[str, Any] = {"contestants": list(self.names), "baseline": self.names[0] if self.baseline else None, "score": self.score}
        told |= {"column": self.column, "prompts": self.units, "left_out": self.left_out, "warnings": list(self.warnings)}
        return told | {"numbers": [one.to_json() for one in self.numbers]}

    def tables(self) -> list[Table]:
        """One for each evaluator, and one of the differences from the baseline: a row for each measure, a column for each contestant."""
        found = []
        for evaluator in dict.fromkeys(one.evaluator for one in self.numbers):
            own = [one for one in self.numbers if one.evaluator == evaluator]
            notes = [f"{measure.name}: {measure.meaning}." for measure in _measures(own)]
            found.append(self._table(evaluator, own, self.names, (*notes, *_left_out(own), INTERVAL)))
        gaps = [replace(one, found=one.gap, gap=None) for one in self.numbers if one.gap is not None]
        if gaps:
            said = f"Less {self.names[0]}, on the prompts that both have: each draw of the bootstrap takes the same prompts of both."
            found.append(self._table(f"differences from {self.names[0]}", gaps, self.names[1:], (said, INTERVAL)))
        return found

    def _table(self, title: str, own: Sequence[Number], names: Sequence[str], notes: tuple[str, ...]) -> Table:
        cells = {(one.measure.name, one.group, one.contestant): one for one in own}
        names = [name for name in names if any(name == one.contestant for one in own)]
        rows = []
        for measure, group in dict.fromkeys((one.measure.name, one.group) for one in own):
            label = [measure]
            if self.column:
                label.append(ALL if group is None else group)
            rows.append((*label, *(_cell(cells.get((measure, group, name))) for name in names)))
        head = ("measure", self.column) if self.column else ("measure",)
        return Table(title, (*head, *names), tuple(rows), notes)

    # -- the page ------------------------------------------------------------------------------------------------------

    def html(self) -> str:
        """The page, with figures and answers."""
        facts = [f"{self.units:,} prompts that all contestants answered; {self.left_out:,} left out."]
        if self.baseline:
            facts.append(f"The baseline is {self.names[0]}.")
        said = f"{min(SHOWN, len(self.prompts))} of {len(self.prompts)} prompts, chosen by a hash; the first answer of each."
        title = " and ".join(self.names) if len(self.names) < 4 else f"{len(self.names)} contestants"
        return Page(title, facts, self.warnings, self.tables(), self.figures(), self._beside(), said, "halo eval").html()

    def figures(self) -> list[Figure]:
        """Intervals of every measure that several contestants have, or of one against the middle; curves."""
        found, own = list[Figure](), [one for one in self.numbers if one.group is None]
        for place, measure in enumerate(_measures(own)):
            rows = {one.contestant: _point(one, 0) for one in own if one.measure.name == measure.name}
            middle = 50 if measure.name.startswith("win rate") else None
            if measure.curve is None and (len(rows) > 1 or middle is not None):
                words = f"{measure.meaning[:1].upper()}{measure.meaning[1:]}. 95 % intervals."
                found.append(intervals(_titled(measure), rows, colours_of(self.names), middle, f"interval-{place}", words))
        for place, name in enumerate(dict.fromkeys(one.measure.curve[0] for one in own if one.measure.curve)):
            found.append(self._curve([one for one in own if one.measure.curve and one.measure.curve[0] == name], place))
        return found

    def _curve(self, own: Sequence[Number], place: int) -> Figure:
        lines: dict[str, list[Point]] = {}
        name = ""
        for one in own:
            assert one.measure.curve is not None
            name, x = one.measure.curve
            lines.setdefault(one.contestant, []).append(_point(one, x))
        title = f"{name}, %" if own[0].measure.share else name
        words = f"{name[:1].upper()}{name[1:]} of each contestant, with 95 % intervals."
        return curves(title, "answers of a prompt", lines, colours_of(self.names), f"curve-{place}", words)

    def _beside(self) -> list[Beside]:
        chosen = sorted(self.prompts, key=lambda asked: hashlib.sha256(asked.key.encode()).digest())[:SHOWN]
        return [Beside(_as_text(asked.prompt), tuple(self._answers(asked))) for asked in chosen]

    def _answers(self, asked: Asked) -> Iterator[tuple[str, str, str]]:
        for name, answers in zip(self.names, asked.answers, strict=True):
            if not answers:
                continue
            first = answers[0]
            score = "" if first.score is None else f"{self.score or 'score'} {first.score:.4g}"
            cut = "cut" if first.completed.finish == "length" else ""
            yield name, ", ".join(filter(None, [score, cut])), first.text


def _measures(own: Sequence[Number]) -> list[Measure]:
    return list({one.measure.name: one.measure for one in own}.values())


def _titled(measure: Measure) -> str:
    return f"{measure.name}, %" if measure.share else measure.name


def _point(one: Number, x: float) -> Point:
    """Shares in percent."""
    factor, found = 100 if one.measure.share else 1, one.found
    low, high = (None if end is None else factor * end for end in (found.low, found.high))
    return Point(x, factor * found.value, low, high)


def _cell(one: Number | None) -> str:
    return "" if one is None else _shown(one.found, one.measure)


def _shown(found: Estimate, measure: Measure) -> str:
    """`62.0 % [51.2, 72.1]`, or a number of four digits."""
    factor, unit = (100, " %") if measure.share else (1, "")
    digits = ".1f" if measure.share else ".4g"
    value = f"{found.value * factor:{digits}}{unit}"
    if found.low is None or found.high is None:
        return value
    return f"{value} [{found.low * factor:{digits}}, {found.high * factor:{digits}}]"


def _left_out(own: Sequence[Number]) -> Iterator[str]:
    """Of how many prompts each number is, once where all are the same."""
    told = {(one.found.n, one.left_out) for one in own if one.group is None}
    if len(told) == 1:
        n, left = told.pop()
        yield f"Of {n:,} prompts, {left:,} left out."
        return
    for measure in _measures(own):
        each = {(one.found.n, one.left_out) for one in own if one.group is None and one.measure.name == measure.name}
        yield f"{measure.name}: of {' and '.join(f'{n:,} prompts, {left:,} left out' for n, left in sorted(each))}."


def _as_text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in prompt)


def as_json(report: Report) -> str:
    """The numbers, for a program."""
    return json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n"
