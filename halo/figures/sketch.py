"""A small figure of an objective as SVG text: the loss of an item and how strongly it pulls, over z. No matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from xml.sax.saxutils import escape

from halo.compiler.pipeline import CompiledObjective
from halo.figures.curve import Curve, curves

LOW, HIGH = -6.0, 6.0
WIDTH, HEIGHT, GAP, LEFT, TOP, BOTTOM = 250, 150, 60, 45, 26, 40  # of a panel, in pixels; the margins around the two
EVERY = 5  # of the samples, one in so many is drawn
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
PANELS: tuple[tuple[str, Callable[[Curve], list[float]]], ...] = (
    ("loss of an item", lambda curve: curve.loss),
    ("gradient weight −∂ℓ/∂z", lambda curve: curve.slope),
)
Ends = tuple[float, float]


def sketch(compiled: CompiledObjective) -> str | None:
    """The figure at the defaults, one line for each role of each term; None for an objective without a value function."""
    if all(part.regularizer for part in compiled.declared.parts):
        return None
    found = curves(compiled, LOW, HIGH, vary=False)
    lines = list(_lines(found))
    width, height = 2 * WIDTH + GAP + LEFT + 15, TOP + HEIGHT + BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', *lines, "</svg>"]) + "\n"


def held(compiled: CompiledObjective) -> str:
    """What the figure holds at a value, as a phrase; empty if nothing."""
    values: dict[str, float] = {}
    for curve in curves(compiled, LOW, HIGH, vary=False):
        values |= curve.held
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _lines(found: Sequence[Curve]) -> Iterator[str]:
    for index, (title, column) in enumerate(PANELS):
        yield from _panel(found, title, column, LEFT + index * (WIDTH + GAP))
    if len(found) == 1:
        return
    for index, curve in enumerate(found):
        term = "" if curve.term == "main" else curve.term
        label = " ".join(filter(None, (term, curve.role)))
        colour = COLOURS[index % len(COLOURS)]
        yield f'<text x="{LEFT + 105 * index}" y="{TOP + HEIGHT + 34}" fill="{colour}">{escape(label)}</text>'


def _panel(found: Sequence[Curve], title: str, column: Callable[[Curve], list[float]], left: int) -> Iterator[str]:
    low, high = _ends([y for curve in found for y in column(curve) if math.isfinite(y)])

    def place(x: float, y: float) -> str:
        down = TOP + HEIGHT * (1 - (min(max(y, low), high) - low) / (high - low))
        return f"{left + WIDTH * (x - LOW) / (HIGH - LOW):.1f},{down:.1f}"

    yield f'<text x="{left}" y="{TOP - 10}">{title}</text>'
    yield f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>'
    for y in dict.fromkeys((low, high)):
        yield f'<text x="{left - 4}" y="{place(LOW, y).split(",")[1]}" text-anchor="end" fill="#555">{y:.3g}</text>'
    if low < 0 < high:
        yield f'<polyline points="{place(LOW, 0)} {place(HIGH, 0)}" stroke="#ddd"/>'
    for x, anchor, name in ((LOW, "start", ""), (0, "middle", "z = "), (HIGH, "end", "")):
        across = place(x, low).split(",")[0]
        yield f'<text x="{across}" y="{TOP + HEIGHT + 14}" text-anchor="{anchor}" fill="#555">{name}{x:g}</text>'
    for index, curve in enumerate(found):
        for stroke in _strokes(curve.x, column(curve)):
            points = " ".join(place(x, y) for x, y in stroke)
            yield f'<polyline points="{points}" fill="none" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="2"/>'


def _ends(values: list[float]) -> Ends:
    """The part of the y axis to show: without the twentieth at either end, if that runs away."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    spread = high - low or 1.0
    bottom, top = max(ordered[0], low - spread / 2), min(ordered[-1], high + spread / 2)
    return bottom, max(top, bottom + 1e-6 * spread)  # a line that is flat has some height too, to be divided by


def _strokes(x: Sequence[float], y: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
    """The unbroken stretches of a line, thinned; their ends are kept."""
    stretch: list[tuple[float, float]] = []
    for point in [*zip(x, y, strict=True), (math.nan, math.nan)]:
        if all(map(math.isfinite, point)):
            stretch.append(point)
        elif stretch:
            yield [*stretch[::EVERY], stretch[-1]]
            stretch = []
