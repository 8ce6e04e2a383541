"""Somebody's text on a terminal: what would move the cursor, colour, hide or turn it round is shown as its escape."""

from __future__ import annotations

JOINERS = "\u200c\u200d"
"""Invisible, and part of how Persian, Hindi and emoji are written."""


def visible(text: str, limit: int | None = None) -> str:
    """The text in printable characters, lines kept, and of one that is longer than `limit` characters the beginning."""
    more = ""
    if limit is not None and len(text) > limit:
        text, more = text[:limit], f"... ({len(text) - limit:,} more characters)"
    if text.isprintable():
        return text + more
    return "".join(map(_visible, text)) + more


def _visible(letter: str) -> str:
    if letter.isprintable() or letter == "\n" or letter in JOINERS:
        return letter
    return letter.encode("unicode_escape").decode()
