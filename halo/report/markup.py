"""The bits of HTML that pages are made of, and the one way by which a text gets into one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from halo.figures.inline import dark_colours
from halo.report.folder import GENERATOR

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SIGNS = {"proved": "✓", "met": "✓", "refuted": "✗", "bad": "✗", "undecided": "?", "none": "–"}


def text(words: str) -> str:
    """A text inside HTML or an attribute: nothing in it is markup; characters that HTML forbids are shown as such."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in words))


def badge(kind: str, words: str) -> str:
    """A verdict: a sign, a word and a colour."""
    return f'<span class="verdict {kind}"><span aria-hidden="true">{SIGNS.get(kind, "–")}</span> {text(words)}</span>'


def elements(outer: str, inner: str, bodies: Iterable[str], kind: str = "") -> str:
    """A list of elements that are HTML already."""
    given = f' class="{kind}"' if kind else ""
    return f"<{outer}{given}>{''.join(f'<{inner}>{body}</{inner}>' for body in bodies)}</{outer}>"


def section(title: str, body: str) -> str:
    """A section under its heading."""
    name = re.sub(r"\W+", "-", title.lower())
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{text(title)}</h2>{body}</section>\n'


def document(title: str, body: str) -> str:
    """A page that needs nothing else: its style inside, no script allowed, no date."""
    style = STYLE.read_text(encoding="utf-8").replace("/*dark*/", dark_colours())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f"{GENERATOR}\n<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}"
        f"<footer>Written by <code>halo check --report</code>. No proof here says that data, optimizer and model are right.</footer>\n</main>\n</body>\n</html>\n"
    )
