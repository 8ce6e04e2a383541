"""The panels of a figure: its lines, marks and limits, and the legends for them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from halo.figures.curve import Curve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: safe for the colour-blind
SHADES = ("#9ecae1", "#57a0ce", "#2171b5", "#08519c", "#08264f")  # values of a parameter, light to dark
STROKES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
Column = Callable[[Curve], list[float]]
PANELS: tuple[tuple[str, Column], ...] = (
    (r"value function  $v$", lambda curve: curve.value),
    (r"loss of an item  $\ell$", lambda curve: curve.loss),
    (r"gradient weight  $-\,\partial \ell / \partial %s$", lambda curve: curve.slope),
)
Look = tuple[str, Any, str]


def draw_panel(axes: Any, found: Sequence[Curve], looks: dict[int, Look], column: Column, limits: tuple[float, float]) -> None:
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.axhline(0, color="#808080", linewidth=0.6, zorder=1)
    axes.axvline(0, color="#808080", linewidth=0.6, zorder=1)
    for position, curve in enumerate(found):
        colour, stroke, _ = looks[id(curve)]
        over = [c for c in found[position + 1 :] if c.objective != curve.objective and column(c) == column(curve)]
        width = 1.6 + 1.8 * min(len({c.objective for c in over}), 2)  # a wider line shows under a narrower one
        axes.plot(curve.x, column(curve), color=colour, linestyle=stroke, zorder=3, linewidth=width)
    for curve in found:
        _marks(axes, curve, column, looks[id(curve)][0])
    axes.set_xlim(min(x for curve in found for x in curve.x if x == x), max(x for curve in found for x in curve.x if x == x))
    axes.set_ylim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 4, 5, 10]))


KINK: dict[str, Any] = {"marker": "D", "markersize": 5.5, "markerfacecolor": "white", "markeredgecolor": "#333333", "markeredgewidth": 1.0}
OPTIMUM: dict[str, Any] = {
    "marker": "*",
    "markersize": 7.5,
    "markerfacecolor": "#333333",
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}
REFERENCE: dict[str, Any] = {
    "marker": "o",
    "markersize": 5.5,
    "markerfacecolor": "#333333",
    "markeredgecolor": "white",
    "markeredgewidth": 0.8,
}


def line_handles(looks: dict[int, Look]) -> list[Any]:
    return [Line2D([], [], color=colour, linestyle=stroke, label=label) for colour, stroke, label in dict.fromkeys(looks.values())]


def mark_handles(found: Sequence[Curve]) -> list[Any]:
    there = [
        (REFERENCE, "policy = reference", any(is_seen(curve, curve.reference) for curve in found)),
        (OPTIMUM, "minimum of the loss", any(curve.optima for curve in found)),
        (KINK, "kink", any(curve.kinks for curve in found)),
    ]
    return [Line2D([], [], linestyle="none", label=label, **mark) for mark, label, seen in there if seen]


def is_seen(curve: Curve, x: float | None) -> bool:
    return x is not None and min(p for p in curve.x if p == p) <= x <= max(p for p in curve.x if p == p)


def _marks(axes: Any, curve: Curve, column: Column, colour: str) -> None:
    """Marks on the line itself; at a jump of the slope a kink is marked on both of its sides."""
    for kink in curve.kinks:
        beside = [(x, y) for x, y in zip(curve.x, column(curve), strict=True) if abs(x - kink) < 1e-6]  # its two sides (`curve.BESIDE`)
        sides = {round(y, 6): x for x, y in beside}
        for y, x in sides.items():
            axes.plot([x], [y], linestyle="none", zorder=4, **{**KINK, "markeredgecolor": colour})
    index = [panel[1] for panel in PANELS].index(column)
    if curve.reference is not None and is_seen(curve, curve.reference):
        axes.plot(
            [curve.reference], [curve.at(curve.reference)[index]], linestyle="none", zorder=5, **{**REFERENCE, "markerfacecolor": colour}
        )
    for optimum in curve.optima:
        axes.plot([optimum], [curve.at(optimum)[index]], linestyle="none", zorder=6, **{**OPTIMUM, "markerfacecolor": colour})


def limits_of(found: Sequence[Curve], column: Column) -> tuple[float, float]:
    """The part of the y axis to show: all of every line that does not run away, and enough of those that do."""
    steep = 5 if len(found) == 1 else 3  # among others a line has less room
    ranges = [_tame(curve.x, column(curve), steep) for curve in found]
    known = [r for r in ranges if r is not None] or [(0.0, 1.0)]
    if column is PANELS[-1][1]:
        known = [(min(low, 0.0), max(high, 0.0)) for low, high in known]  # a weight is read from 0
    usual = statistics.median_low([high - low for low, high in known]) or 1.0
    calm = [r for r in known if r[1] - r[0] <= 4 * usual]
    low, high = min(r[0] for r in calm), max(r[1] for r in calm)
    for wild in (r for r in known if r not in calm):
        low, high = min(low, max(wild[0], low - usual)), max(high, min(wild[1], high + usual))
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _tame(x: list[float], y: list[float], ratio: float) -> tuple[float, float] | None:
    """The range of a line over the widest window around the middle in which it does not explode."""
    defined = [(a, b) for a, b in zip(x, y, strict=True) if a == a and math.isfinite(b)]
    if not defined:
        return None
    middle, half = (defined[0][0] + defined[-1][0]) / 2, (defined[-1][0] - defined[0][0]) / 2

    def span(share: float) -> tuple[float, float]:
        inside = [b for a, b in defined if abs(a - middle) <= half * share + 1e-9] or [b for _, b in defined]
        return min(inside), max(inside)

    share = 1.0
    while share > 0.2:
        (low, high), (inner_low, inner_high) = span(share), span(share / 2)
        if high - low <= ratio * max(inner_high - inner_low, 1e-9) or inner_high == inner_low:  # a flat line is tame
            break
        share /= 2
    return span(share)


def looks_of(found: Sequence[Curve], symbols: dict[str, str]) -> dict[int, Look]:
    """Colour, stroke and label of each curve: the colour tells objectives or parameter values, the stroke roles and terms."""
    objectives = list(dict.fromkeys(curve.objective for curve in found))
    varied = _varied(found) if len(objectives) == 1 else ""
    values = sorted({curve.parameters[varied] for curve in found if varied in curve.parameters})
    strokes = list(dict.fromkeys((curve.term, curve.role) for curve in found))
    looks = {}
    for curve in found:
        again = objectives.index(curve.objective) // len(COLOURS)  # a colour that comes round again has another stroke
        index = strokes.index((curve.term, curve.role)) + again
        kind = " ".join(filter(None, (curve.term.replace("_", " "), curve.role)))
        if len(objectives) > 1:
            colour, label = COLOURS[objectives.index(curve.objective) % len(COLOURS)], f"{curve.objective} {kind}".strip()
        elif varied in curve.parameters:
            value = f"${symbols.get(varied, varied)} = {curve.parameters[varied]:g}$"
            colour, label = _spread(len(values))[values.index(curve.parameters[varied])], ", ".join(filter(None, (value, kind)))
        elif varied:  # a line that the parameter does not change
            colour, label = "#555555", kind or curve.objective
        else:
            colour, label = COLOURS[index % len(COLOURS)], kind or curve.objective
        looks[id(curve)] = (colour, STROKES[index % len(STROKES)], label)
    return looks


def _varied(found: Sequence[Curve]) -> str:
    """The parameter that takes several values; empty if none does."""
    for name in dict.fromkeys(name for curve in found for name in curve.parameters):
        if len({curve.parameters.get(name) for curve in found}) > 1:
            return name
    return ""


def _spread(count: int) -> list[str]:
    """`count` shades, as far apart as there are."""
    return [SHADES[round(i * (len(SHADES) - 1) / max(1, count - 1))] for i in range(count)]
