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
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError
from halo.figures.curve import Curve, curves
from halo.figures.item import Against
from halo.figures.panels import PANELS, Look, draw_panel, is_seen, limits_of, line_handles, looks_of, mark_handles
from halo.notation.symbols import declared_symbols

SUFFIXES = (".png", ".svg")
STYLE = {
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 10, "axes.titlesize": 11, "axes.labelsize": 11,
    "legend.fontsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "grid.linewidth": 0.4, "grid.color": "#d9d9d9",
    "lines.linewidth": 1.6, "lines.solid_capstyle": "round", "svg.hashsalt": "halo", "svg.fonttype": "path", "figure.dpi": 100,
    "axes.unicode_minus": True,
}  # fmt: skip
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
    declared, above = objectives[0].objective.declaration, ""
    if alone and title:
        above = declared.title or declared.name
    extra = filter(None, map(_left_out, objectives))
    return figure(found, title=above, symbols=symbols, notes=list(extra), against=against)


def _left_out(compiled: CompiledObjective) -> str:
    names = dict.fromkeys(part.name for part in compiled.declared.parts if part.regularizer)
    if not names:
        return ""
    return f"{compiled.objective.name}: without its regularizer {', '.join(names)}"


def figure(
    found: Sequence[Curve], title: str = "", symbols: dict[str, str] | None = None, notes: Sequence[str] = (), against: Against = "z"
) -> Figure:
    """Three panels over one legend: value, loss and slope of every curve, with kinks, optima and the reference marked."""
    with matplotlib.rc_context(STYLE):
        looks = looks_of(found, symbols or {})
        legends = [line_handles(looks), mark_handles(found)]
        limits = [limits_of(found, column) for _, column in PANELS]
        lines = textwrap.wrap(_note(found, [*_hidden(found, looks, limits), *_lost(found, looks, limits, against), *notes], against), 150)
        columns = [_columns([handle.get_label() for handle in handles]) for handles in legends]
        rows = [math.ceil(len(handles) / n) for handles, n in zip(legends, columns, strict=True)]
        below, above = 0.62 + sum(rows) * ROW + len(lines) * LINE, 0.62 if title else 0.36
        height = PANEL_HEIGHT + below + above
        page = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(page)
        page.subplots_adjust(left=0.05, right=0.985, wspace=0.2, bottom=below / height, top=1 - above / height)
        for axes, (name, column), limit in zip(page.subplots(1, 3), PANELS, limits, strict=True):
            draw_panel(axes, found, looks, column, limit)
            axes.set_title(name.replace("%s", _x(against)), loc="left")
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
    hint = "name a file in a folder that exists"
    if file.is_dir():
        raise SettingsError("not-found", f"{file} is a folder", place=place, hint=hint)
    if not file.parent.is_dir():
        raise SettingsError("not-found", f"there is no folder {file.parent}", place=place, hint=hint)


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
        if curve.reference is not None and is_seen(curve, curve.reference):
            heights = curve.at(curve.reference)
            if not any(low <= y <= high for y, (low, high) in zip(heights, limits, strict=True)):
                lost.setdefault(f"{_x(against)} = {curve.reference:g}", []).append(looks[id(curve)][2])
    return [f"{', '.join(who)}: policy = reference at {where}, outside every panel" for where, who in lost.items()]


# -- labels ------------------------------------------------------------------------------------------------------------


def _columns(labels: list[str]) -> int:
    """How many legend entries fit side by side."""
    if not labels:
        return 1
    longest = max(len(label.replace("$", "").replace("\\", "")) for label in labels)
    fit = max(1, min(len(labels), int(WIDTH / (0.6 + 0.075 * longest))))  # inches of a mark with its spaces, and of a letter
    rows = math.ceil(len(labels) / fit)
    return math.ceil(len(labels) / rows)  # no short last column


def _x(against: Against) -> str:
    return {"z": "z", "gap": "u"}[against]


def _x_label(against: Against) -> str:
    return {"z": "margin  $z$", "gap": "reward gap  $u$"}[against]


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
        outside = sorted({curve.reference for curve in own if curve.reference is not None and not is_seen(curve, curve.reference)})
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
    if len(what) <= 40:  # a third of a line of the note
        return what
    return f"{what[:36]} ..."
