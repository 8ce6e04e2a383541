"""From comparisons of two answers to a number for each: the mean of what it got against its opponents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from halo.plugin import ScoreGroup

LOSS, TIE, WIN = 0.0, 0.5, 1.0
ALONE = "there is no other completion to compare it with"

Pair = tuple[str, str]


def pairs_of(group: ScoreGroup) -> Iterator[Pair]:
    """Every two different texts of a group once, in an order that is the texts' own."""
    return combinations(sorted({one.text for one in group.completions}), 2)


def ordered(one: str, other: str) -> Pair:
    """Two texts as `pairs_of` has them."""
    return (one, other) if one < other else (other, one)


def standing(group: ScoreGroup, against: Callable[[str, str], float | str]) -> tuple[tuple[float | None, ...], tuple[str, ...]]:
    """Scores and reasons. `against`: what the first of two different texts got, 0 to 1, or why that is not known.

    Equal texts are a tie that nobody is asked about. Who lacks one comparison has no score: a mean over fewer is of another scale.
    """
    scores, reasons = list[float | None](), list[str]()
    texts = [one.text for one in group.completions]
    for place, text in enumerate(texts):
        others = texts[:place] + texts[place + 1 :]
        points = [TIE if other == text else against(text, other) for other in others]
        unknown = next((one for one in points if isinstance(one, str)), "" if points else ALONE)
        scores.append(None if unknown else _mean(points))
        reasons.append(unknown)
    return tuple(scores), tuple(reasons)


def _mean(points: Sequence[float | str]) -> float:
    return sum(float(one) for one in points) / len(points)
