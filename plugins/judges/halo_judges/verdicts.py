"""A reply as a verdict or a number, or not at all: whatever is not exactly one of them is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeVar

Winner = Literal["A", "B", "tie"]

LINE = re.compile(r"^\W*verdict\W*:\W*(a|b|tie)\W*$", re.I | re.M)
BRACKETS = re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A|A|B|C|tie)\]\]", re.I)
"""Of MT-Bench ([[A]], [[B]], [[C]]: a tie) and of Arena-Hard ([[A>>B]] to [[B>>A]])."""
SIGNS: dict[str, Winner] = {"a": "A", "b": "B", "c": "tie", "tie": "tie", "a>>b": "A", "a>b": "A", "a=b": "tie", "b>a": "B", "b>>a": "B"}

NUMBER = r"(\d{1,2}(?:\.\d+)?)"
SCORE = re.compile(rf"^\W*score\W*:[\s*_]*{NUMBER}(?:\s*/\s*10)?[\s*_.]*$", re.I | re.M)
RATING = re.compile(rf"\[\[{NUMBER}\]\]")

T = TypeVar("T")


class Unreadable(Exception):
    """A reply that says nothing, or two things: its reason."""


def verdict_of(reply: str) -> Winner:
    """Raises Unreadable."""
    return _only(reply, lambda said: [SIGNS[one.lower()] for one in (*LINE.findall(said), *BRACKETS.findall(said))], "verdict")


def score_of(reply: str) -> float:
    """Raises Unreadable."""
    score = _only(reply, lambda said: [float(one) for one in (*SCORE.findall(said), *RATING.findall(said))], "score")
    if not 1 <= score <= 10:
        raise Unreadable(f"the score {score:g} is not from 1 to 10")
    return score


def _only(reply: str, find: Callable[[str], list[T]], what: str) -> T:
    said = reply.rpartition("</think>")[2]  # what a model thinks aloud is no verdict
    found = set(find(said))
    if len(found) == 1:
        return found.pop()
    if found:
        raise Unreadable(f"the reply holds several {what}s: {', '.join(sorted(map(str, found)))}")
    end = " ".join(said.split())[-60:]
    raise Unreadable(f"the reply holds no {what}: it ends with {end!r}" if end else f"the reply holds no {what}: it is empty")
