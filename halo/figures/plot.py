"""Figures of value functions: v(z), the loss of an item and its slope, side by side. matplotlib, no window, same bytes each time.

figure(curves)      a matplotlib Figure of any curves
drawn(compiled)     the curves of one or several objectives, and the figure
svg(compiled)       the same as SVG text, to stand inside an HTML page
save(figure, file)  PNG or SVG by suffix, whole or not at all
"""

from __future__ import annotations

import io
import math
import os
import statistics
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError
from halo.figures.curve import Curve, curves
from halo.figures.item import Against
from halo.notation.symbols import declared_symbols

SUFFIXES = (".png", ".svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito: safe for the colour-blind
SHADES = ("#9ecae1", "#57a0ce", "#2171b5", "#08519c", "#08264f")  # values of a parameter, light to dark
STROKES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
STYLE = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 11,
    "legend.fontsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "grid.linewidth": 0.4, "grid.color": "#d9d9d9",
    "lines.linewidth": 1.6, "lines.solid_capstyle": "round", "svg.hashsalt": "halo", "svg.fonttype": "path", "figure.dpi": 100,
    "axes.unicode_minus": True,
}  # fmt: skip
Column = Callable[[Curve], list[float]]
PANELS: tuple[tuple[str, Column], ...] = (
    (r"value function  $v$", lambda curve: curve.value),
    (r"loss of an item  $\ell$", lambda curve: curve.loss),
    (r"gradient weight  $-\,\partial \ell / \partial %s$", lambda curve: curve.slope),
)
WIDTH, PANEL_HEIGHT, ROW, LINE = 10.2, 2.75, 0.23, 0.17  # inches; a row of the legend, a line of the note


def drawn(
    objectives: Sequence[CompiledObjective], low: float = -8.0, high: float = 8.0, fixed: Sequence[str] = (), against: Against = "z"
) -> Figure:
    """The figure of one objective at several values of a parameter, or of several objectives at one each."""
    return of_curves(objectives, traced(objectives, low, high, fixed, against), against)


def traced(
    objectives: Sequence[CompiledObjective], low: float = -8.0, high: float = 8.0, fixed: Sequence[str] = (), against: Against = "z"
) -> list[Curve]:
    """The curves that `drawn` draws."""
    return [curve for compiled in objectives for curve in curves(compiled, low, high, len(objectives) == 1, fixed, against)]


def of_curves(objectives: Sequence[CompiledObjective], found: Sequence[Curve], against: Against, title: bool = True) -> Figure:
    """The figure of curves that were traced before."""
    alone = len(objectives) == 1
    symbols = {name: symbol.latex for compiled in objectives for name, symbol in declared_symbols(compiled.objective.declaration).items()}
    declared = objectives[0].objective.declaration
    above = (declared.title or declared.name) if alone and title else ""
    extra = [note for compiled in objectives if (note := _left_out(compiled))]
    return figure(found, title=above, symbols=symbols, notes=extra, against=against)


def _left_out(compiled: CompiledObjective) -> str:
    names = dict.fromkeys(part.name for part in compiled.declared.parts if part.regularizer)
    return f"{compiled.objective.name}: without its regularizer {', '.join(names)}" if names else ""


def figure(
    found: Sequence[Curve], title: str = "", symbols: dict[str, str] | None = None, notes: Sequence[str] = (), against: Against = "z"
) -> Figure:
    """Three panels over one legend: value, loss and slope of every curve, with kinks, optima and the reference marked."""
    with matplotlib.rc_context(STYLE):
        looks = _looks(found, symbols or {})
        legends = [_line_handles(looks), _mark_handles(found)]
        limits = [_limits(found, column) for _, column in PANELS]
        lines = textwrap.wrap(_note(found, [*_hidden(found, looks, limits), *_lost(found, looks, limits, against), *notes], against), 150)
        columns = [_columns([handle.get_label() for handle in handles]) for handles in legends]
        rows = [math.ceil(len(handles) / n) for handles, n in zip(legends, columns, strict=True)]
        below, above = 0.62 + sum(rows) * ROW + len(lines) * LINE, 0.62 if title else 0.36
        height = PANEL_HEIGHT + below + above
        page = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(page)
        page.subplots_adjust(left=0.05, right=0.985, wspace=0.2, bottom=below / height, top=1 - above / height)
        for axes, (name, column), limit in zip(page.subplots(1, 3), PANELS, limits, strict=True):
            _panel(axes, found, looks, column, limit)
            axes.set_title(name % _x(against) if "%" in name else name, loc="left")
            axes.set_xlabel(_x_label(against), labelpad=2)
        top = below - 0.46
        for handles, n, count, length in zip(legends, columns, rows, (2.4, 1.0), strict=True):
            if handles:
                place = (0.5, top / height)
                page.legend(handles=handles, loc="upper center", bbox_to_anchor=place, ncol=n, frameon=False, handlelength=length)
            top -= count * ROW
        if title:
            page.suptitle(title.replace("$", r"\$"), x=0.05, y=1 - 0.1 / height, ha="left", va="top", fontsize=13, fontweight="bold")
        for index, line in enumerate(reversed(lines)):
            page.text(0.5, (0.06 + index * LINE) / height, line, ha="center", va="bottom", fontsize=8.5, color="#555555")
        return page


def svg(objectives: Sequence[CompiledObjective], **options: Any) -> str:
    """The figure as an <svg> element."""
    return svg_text(drawn(objectives, **options))


def svg_text(page: Figure) -> str:
    """A figure as an <svg> element."""
    text = _bytes(page, ".svg").decode()
    return text[text.index("<svg") :]


def check_file(file: Path) -> None:
    """Raises SettingsError for a name that cannot be saved to."""
    place = Place("--out")
    if file.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            "wrong-value", f"{file.name!r} ends in neither .png nor .svg", place=place, hint="the suffix chooses the format"
        )
    if file.is_dir() or not file.parent.is_dir():
        what = f"{file} is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise SettingsError("not-found", what, place=place, hint="name a file in a folder that exists")


def save(page: Figure, file: Path) -> None:
    """Writes PNG or SVG by suffix: under another name first, so that a file is whole or not there."""
    check_file(file)
    data = _bytes(page, file.suffix.lower())
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError as problem:
        message = f"{file} cannot be written: {problem.strerror}"
        raise SettingsError("wrong-value", message, place=Place("--out"), hint="choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)


def _bytes(page: Figure, suffix: str) -> bytes:
    """The file's content; no date and no random ids, so the same figure has the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        if suffix == ".svg":
            page.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "halo"})
        else:
            page.savefig(buffer, format="png", dpi=200, metadata={"Software": "halo"})
    return buffer.getvalue()


# -- one panel ---------------------------------------------------------------------------------------------------------

Look = tuple[str, Any, str]


def _panel(axes: Any, found: Sequence[Curve], looks: dict[int, Look], column: Column, limits: tuple[float, float]) -> None:
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


def _line_handles(looks: dict[int, Look]) -> list[Any]:
    return [Line2D([], [], color=colour, linestyle=stroke, label=label) for colour, stroke, label in dict.fromkeys(looks.values())]


def _mark_handles(found: Sequence[Curve]) -> list[Any]:
    there = [
        (REFERENCE, "policy = reference", any(_seen(curve, curve.reference) for curve in found)),
        (OPTIMUM, "minimum of the loss", any(curve.optima for curve in found)),
        (KINK, "kink", any(curve.kinks for curve in found)),
    ]
    return [Line2D([], [], linestyle="none", label=label, **mark) for mark, label, seen in there if seen]


def _seen(curve: Curve, x: float | None) -> bool:
    return x is not None and min(p for p in curve.x if p == p) <= x <= max(p for p in curve.x if p == p)


def _marks(axes: Any, curve: Curve, column: Column, colour: str) -> None:
    """Marks on the line itself; at a jump of the slope a kink is marked on both of its sides."""
    for kink in curve.kinks:
        sides = {round(y, 6): x for x, y in zip(curve.x, column(curve), strict=True) if abs(x - kink) < 1e-6}
        for y, x in sides.items():
            axes.plot([x], [y], linestyle="none", zorder=4, **{**KINK, "markeredgecolor": colour})
    index = [panel[1] for panel in PANELS].index(column)
    if curve.reference is not None and _seen(curve, curve.reference):
        axes.plot(
            [curve.reference], [curve.at(curve.reference)[index]], linestyle="none", zorder=5, **{**REFERENCE, "markerfacecolor": colour}
        )
    for optimum in curve.optima:
        axes.plot([optimum], [curve.at(optimum)[index]], linestyle="none", zorder=6, **{**OPTIMUM, "markerfacecolor": colour})


def _limits(found: Sequence[Curve], column: Column) -> tuple[float, float]:
    """The part of the y axis to show: all of every line that does not run away, and enough of those that do."""
    ranges = [_tame(curve.x, column(curve), 5 if len(found) == 1 else 3) for curve in found]
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


def _hidden(found: Sequence[Curve], looks: dict[int, Look], limits: list[tuple[float, float]]) -> list[str]:
    """Which curves lie wholly outside a panel."""
    missing: dict[str, list[str]] = {}
    for (_, column), (low, high), panel in zip(PANELS, limits, ("value", "loss", "weight"), strict=True):
        for curve in found:
            if not any(low <= y <= high for y in column(curve)):
                missing.setdefault(looks[id(curve)][2], []).append(panel)
    return [f"{label}: above or below the panels of {' and '.join(panels)}" for label, panels in missing.items()]


def _lost(found: Sequence[Curve], looks: dict[int, Look], limits: list[tuple[float, float]], against: Against) -> list[str]:
    """Which curves have their reference on the axis and yet in no panel: the legend's dot would be searched in vain."""
    lost: dict[str, list[str]] = {}
    for curve in found:
        if curve.reference is not None and _seen(curve, curve.reference):
            heights = curve.at(curve.reference)
            if not any(low <= y <= high for y, (low, high) in zip(heights, limits, strict=True)):
                lost.setdefault(f"{_x(against)} = {curve.reference:g}", []).append(looks[id(curve)][2])
    return [f"{', '.join(who)}: policy = reference at {where}, outside every panel" for where, who in lost.items()]


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
        if high - low <= ratio * max(inner_high - inner_low, 1e-9) or inner_high == inner_low:
            break
        share /= 2
    return span(share)


# -- labels ------------------------------------------------------------------------------------------------------------


def _looks(found: Sequence[Curve], symbols: dict[str, str]) -> dict[int, Look]:
    """Colour, stroke and label of each curve: the colour tells objectives or parameter values, the stroke roles and terms."""
    objectives = list(dict.fromkeys(curve.objective for curve in found))
    names = dict.fromkeys(name for curve in found for name in curve.parameters) if len(objectives) == 1 else {}
    varied = next((name for name in names if len({curve.parameters.get(name) for curve in found}) > 1), "")
    values = sorted({curve.parameters[varied] for curve in found if varied in curve.parameters}) if varied else []
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
            colour, label = _spread(len(values))[values.index(curve.parameters[varied])], f"{value}, {kind}" if kind else value
        else:
            colour, label = "#555555" if varied else COLOURS[index % len(COLOURS)], kind or curve.objective
        looks[id(curve)] = (colour, STROKES[index % len(STROKES)], label)
    return looks


def _spread(count: int) -> list[str]:
    """`count` shades, as far apart as there are."""
    return [SHADES[round(i * (len(SHADES) - 1) / max(1, count - 1))] for i in range(count)]


def _columns(labels: list[str]) -> int:
    """How many legend entries fit side by side."""
    longest = max((len(label.replace("$", "").replace("\\", "")) for label in labels), default=1)
    fit = max(1, min(len(labels), int(WIDTH / (0.6 + 0.075 * longest))))
    rows = math.ceil(len(labels) / fit)
    return math.ceil(len(labels) / rows) if rows else 1  # no short last column


def _x(against: Against) -> str:
    return "z" if against == "z" else "u"


def _x_label(against: Against) -> str:
    return "margin  $z$" if against == "z" else "reward gap  $u$"


def _note(found: Sequence[Curve], notes: Sequence[str], against: Against) -> str:
    """What the reader must know: what was held, what lies outside, what is left out, which lines coincide."""
    said: dict[str, list[str]] = {}
    notes = [*["u is the gap before normalizer and margin"] * (against == "gap"), *notes]
    names = list(dict.fromkeys(curve.objective for curve in found))
    for name in names:
        own = [curve for curve in found if curve.objective == name]
        held = dict(pair for curve in own for pair in curve.held)
        if held:
            said.setdefault(f"held {', '.join(f'{_short(what)} = {value:g}' for what, value in held.items())}", []).append(name)
        outside = sorted({curve.reference for curve in own if curve.reference is not None and not _seen(curve, curve.reference)})
        if outside:
            said.setdefault(f"policy = reference lies outside, at {_x(against)} = {', '.join(f'{x:g}' for x in outside)}", []).append(name)
        if all(curve.reference is None for curve in own):
            said.setdefault(f"{_x(against)} at policy = reference depends on the data", []).append(name)
        first = next(c.objective for c in found if any(c.loss == mine.loss for mine in own))
        if names.index(first) < names.index(name):
            said.setdefault(f"the same curve as {first}", []).append(name)
    parts = [f"{', '.join(who)}: {what}" for what, who in said.items()]
    return ".  ".join([*parts, *notes])


def _short(what: str) -> str:
    return what if len(what) <= 40 else f"{what[:36]} ..."
