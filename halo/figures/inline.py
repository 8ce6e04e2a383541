"""A matplotlib figure as part of a page: no ids that clash, nothing fetched, colours that follow light and dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from halo.figures.curve import Curve
from halo.figures.item import Against
from halo.figures.panels import COLOURS, SHADES

LIGHT_AND_DARK = {
    "#000000": "#e8e8e8", "#333333": "#dddddd", "#555555": "#b0b0b0", "#808080": "#8a8a8a", "#d9d9d9": "#3a3d42", "#ffffff": "#17191c",
    **dict(zip(COLOURS, ("#5ab4f0", "#ff8a4a", "#2fcf9f", "#e69cc4", "#f0b840", "#8fd0f5", "#f2f2f2"), strict=True)),
    **dict(zip(SHADES, ("#2f5f8a", "#3f86bd", "#62a8de", "#93c8f0", "#d3e9fb"), strict=True)),
}  # fmt: skip
"""Every colour of a figure, and what it is on a dark page; a test holds that there is no other."""


def inlined(svg: str, name: str, title: str, description: str) -> str:
    """The <svg> of a figure to stand in a page under `name`, told to those who cannot see it."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :].strip().removesuffix("</svg>")
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r'(?<=[:;"] )#[0-9a-fA-F]{6}', lambda colour: _variable(colour[0]), body)
    box = re.search(r'viewBox="([^"]*)"', svg)
    view = box[1] if box else "0 0 734 320"
    return (
        f'<svg class="plot" role="img" aria-labelledby="{name}-title {name}-desc" viewBox="{view}" '
        'style="fill:currentColor;stroke-linejoin:round;stroke-linecap:butt">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def _variable(colour: str) -> str:
    return f"var(--c{colour[1:].lower()},{colour})"


def dark_colours() -> str:
    """The colours of a dark page, as CSS variables."""
    return "".join(f"--c{light[1:].lower()}:{dark};" for light, dark in LIGHT_AND_DARK.items())


def described(found: Sequence[Curve], against: Against) -> str:
    """What the marks of a figure say, in words: of which curves only where not of all."""
    x = "z" if against == "z" else "u"
    said: dict[str, list[str]] = {}
    for curve, who in zip(found, _names(found), strict=True):
        for sentence in _marks(curve, x):
            said.setdefault(sentence, []).append(who)
    sentences = []
    for what, names in said.items():
        of = f" ({'; '.join(names)})" if len(names) < len(found) else ""
        sentences.append(f"{what}{of}.")
    return " ".join(sentences) or "Nothing is marked."


def _names(found: Sequence[Curve]) -> list[str]:
    """What tells the curves apart: term, role, the values that differ."""
    varied = {name for curve in found for name, value in curve.parameters.items() if any(c.parameters.get(name) != value for c in found)}
    names = []
    for curve in found:
        values = [f"{name} = {value:g}" for name, value in curve.parameters.items() if name in varied]
        names.append(", ".join(filter(None, (curve.term, curve.role, *values))))
    return names


def _marks(curve: Curve, x: str) -> list[str]:
    found = []
    if curve.reference is not None:
        found.append(f"Policy = reference at {x} = {curve.reference:g}")
    found += [f"Kink at {x} = {kink:.4g}" for kink in curve.kinks]
    return found + [f"The loss is least at {x} = {optimum:.4g}" for optimum in curve.optima]
