"""A matplotlib figure as part of a page: no ids that clash, nothing fetched, colours that follow light and dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from halo.report.curve import Curve
from halo.report.figures import COLOURS, SHADES
from halo.report.item import Against

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
    """What the marks of a figure say, in words."""
    x = "z" if against == "z" else "u"
    said = dict.fromkeys(sentence for curve in found for sentence in _marks(curve, x, len(found) > 1))
    return " ".join(said) or "Nothing is marked."


def _marks(curve: Curve, x: str, several: bool) -> list[str]:
    who = " ".join(filter(None, (curve.term, curve.role, *(f"{name} = {value:g}" for name, value in curve.parameters.items()))))
    where = f" ({who})" if several and who else ""
    found = []
    if curve.reference is not None:
        found.append(f"Policy = reference at {x} = {curve.reference:g}{where}.")
    if curve.kinks:
        found.append(f"Kinks at {x} = {', '.join(f'{kink:.4g}' for kink in curve.kinks)}{where}.")
    if curve.optima:
        found.append(f"The loss is least at {x} = {', '.join(f'{optimum:.4g}' for optimum in curve.optima)}{where}.")
    return found
