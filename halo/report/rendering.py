"""Pages from templates, in which every text is escaped. A page needs nothing but itself: style inside, no script allowed, no date."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from halo.figures.inline import dark_colours
from halo.report.folder import GENERATOR

TEMPLATES = Path(__file__).with_name("templates")
SIGNS = {"proved": "✓", "met": "✓", "refuted": "–", "bad": "✗", "undecided": "?", "none": "–"}
"""A style by a letter, for who sees no colours."""


def rendered(template: str, **given: Any) -> str:
    """A page. What is HTML already is `Markup`."""
    return _environment().get_template(template).render(**given)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8").replace("/*dark*/", dark_colours())
    found.globals |= {"signs": SIGNS, "generator": Markup(GENERATOR), "style": Markup(style)}
    return found


def _printable(value: Any) -> Any:
    """Characters that HTML forbids are shown as such; jinja escapes the rest."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in value)
