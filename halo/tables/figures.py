"""Intervals and curves of several contestants as figures: for a page, whose colours follow light and dark."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawn
from matplotlib.ticker import MaxNLocator

from halo.figures.inline import inlined
from halo.figures.panels import COLOURS
from halo.figures.plot import STYLE, svg_text
from halo.tables.table import plain

FONTS = ["STIXGeneral", "DejaVu Sans"]
"""The second has letters that the first has not; both come with matplotlib."""
WIDTH, ROW, EDGE = 7.34, 0.32, 0.8  # inches: of a page, of a row of intervals, of axis and title


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """One for each contestant, the same in every figure."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


@dataclass(frozen=True)
class Point:
    """x: where on a curve; low and high: its interval, which may be missing."""

    x: float
    value: float
    low: float | None
    high: float | None

    @property
    def arms(self) -> list[list[float]]:
        """How far the interval reaches, down and up."""
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        return [[max(0.0, self.value - low)], [max(0.0, high - self.value)]]


@dataclass(frozen=True)
class Figure:
    """A drawing and its caption."""

    words: str
    drawing: Markup


def intervals(title: str, rows: Mapping[str, Point], colours: Mapping[str, str], middle: float | None, name: str, words: str) -> Figure:
    """A row for each contestant, from the top; `middle`: where a line says that nothing differs."""

    def draw(axes: Any) -> None:
        for place, (label, point) in enumerate(reversed(list(rows.items()))):
            axes.errorbar([point.value], [place], xerr=point.arms, fmt="o", color=colours[label], capsize=3, markersize=5)
        axes.set_yticks(range(len(rows)), [_plain(label) for label in reversed(list(rows))])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        if middle is not None:
            axes.axvline(middle, color="#808080", linewidth=0.8)

    return _figure(title, draw, EDGE + ROW * len(rows), name, words)


def curves(title: str, x: str, found: Mapping[str, Sequence[Point]], colours: Mapping[str, str], name: str, words: str) -> Figure:
    """A line with intervals for each contestant."""

    def draw(axes: Any) -> None:
        for label, points in found.items():
            arms = [[arm[0] for arm in side] for side in zip(*(point.arms for point in points), strict=True)]
            xs, ys = [point.x for point in points], [point.value for point in points]
            axes.errorbar(xs, ys, yerr=arms, fmt="o-", color=colours[label], capsize=3, markersize=4, label=_plain(label))
        axes.set_xlabel(x)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)

    return _figure(title, draw, 2.9, name, words)


def _figure(title: str, draw: Callable[[Any], None], height: float, name: str, words: str) -> Figure:
    with matplotlib.rc_context({**STYLE, "font.family": FONTS}):
        page = Drawn(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(page)
        axes = page.subplots()
        axes.grid(visible=True, axis="both")
        axes.set_axisbelow(True)
        draw(axes)
        axes.set_title(_plain(title), loc="left")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box stands for it
            drawing = svg_text(page)
    return Figure(words, Markup(inlined(drawing, name, title, words)))


def _plain(text: str) -> str:
    """Matplotlib reads $ as mathematics, and draws no control characters."""
    return plain(text).replace("$", r"\$")
