"""What halo may say: one message where something is wrong, and nothing that a terminal would obey."""

from __future__ import annotations

import unicodedata

LINES, WIDTH = 12, 1000
"""Of a message: how many lines, and characters of a line."""


def controls(text: str, allowed: str) -> list[str]:
    """The control characters of a text that are not allowed, the first five."""
    return [repr(c) for c in text if unicodedata.category(c) == "Cc" and c not in allowed][:5]


def wrong_with(err: str) -> str:
    """Why this is not one message on stderr, or nothing."""
    lines = err.splitlines()
    if "Traceback" in err:
        return "a traceback"
    if "halo: " not in err:
        return "no message"
    if len(lines) > LINES:
        return f"a message of {len(lines)} lines"
    longest = max(map(len, lines))
    if longest > WIDTH:
        return f"a line of {longest:,} characters"
    if found := controls(err, "\n"):
        return f"control characters {', '.join(found)} on stderr"
    return ""


def said_too_much(out: str) -> str:
    """What a terminal would obey, or nothing."""
    return ", ".join(controls(out, "\n\t"))
