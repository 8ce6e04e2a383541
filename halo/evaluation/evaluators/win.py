"""Whose answer is better, prompt by prompt and answer by answer: against the baseline, and the rank among all. Length stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.statistics.bootstrap import Statistic
from halo.statistics.combining import mean, ratio
from halo.statistics.length import controlled_rate, length_coefficient

Pair = tuple[Answer, Answer]
"""Ours and the baseline's, of the same prompt and index."""
OfPairs = Callable[[Sequence[Pair]], Values | None]


def measures(context: EvaluationContext) -> list[Measure]:
    """The first contestant is the baseline. A win is a higher score, however little."""
    found = [
        _share("win rate", "wins, and half of the ties", _mean(won)),
        _share("win", "a higher score than the baseline's answer of the same index", _mean(lambda pair: won(pair) == 1)),
        _share("tie", "the same score", _mean(lambda pair: won(pair) == 0.5)),
        _share("loss", "a lower score", _mean(lambda pair: won(pair) == 0)),
        Measure("rank", "mean rank among all contestants, 1 for the best; equal ones share it", _ranks, bounds=(1, len(context.names))),
        Measure("longer by", "characters by which an answer is longer than the baseline's", _against(_mean(longer)), paired=False),
        _share("longer wins", "of decided comparisons, those that the longer answer won", _length_wins, ratio),
    ]
    controlled = "win rate at equal length: logit p = a + b tanh(d / std d), d the characters by which an answer is longer"
    found.append(_share("win rate, length-controlled", controlled, _rows, controlled_rate))
    told = "b of that: what a far longer answer adds to the log odds of winning"
    found.append(Measure("length coefficient", told, _against(_rows), length_coefficient, paired=False))
    if context.relative:
        meaning = "of the comparisons that were asked in both orders, those whose verdict changed with the order"
        found.append(_share("flips", meaning, _flips, ratio))
    return found


def _share(name: str, meaning: str, values: OfPairs, statistic: Statistic = mean) -> Measure:
    """It is of the baseline already: a difference from it would say nothing."""
    return Measure(name, meaning, _against(values), statistic, share=True, paired=False)


def won(pair: Pair) -> float:
    """1, 1/2 or 0."""
    ours, theirs = pair
    assert ours.score is not None
    assert theirs.score is not None
    return float(ours.score > theirs.score) + 0.5 * float(ours.score == theirs.score)


def longer(pair: Pair) -> float:
    """Characters."""
    return float(len(pair[0].text) - len(pair[1].text))


def _mean(number: Callable[[Pair], float]) -> OfPairs:
    return lambda pairs: (fmean(map(number, pairs)),) if pairs else None


def _rows(pairs: Sequence[Pair]) -> Values | None:
    """Of every comparison whether it was won, and by how much the answer is longer."""
    return tuple(number for pair in pairs for number in (won(pair), longer(pair))) or None


def _length_wins(pairs: Sequence[Pair]) -> Values | None:
    decided = [pair for pair in pairs if won(pair) != 0.5 and longer(pair)]
    if not decided:
        return None
    return float(sum((won(pair) == 1) == (longer(pair) > 0) for pair in decided)), float(len(decided))


def _flips(pairs: Sequence[Pair]) -> Values | None:
    """By a scorer that says them in its parts, of as many `comparisons` as it says, else of one."""
    told = [ours.parts for ours, _ in pairs if "flips" in ours.parts]
    asked = float(sum(parts.get("comparisons", 1) for parts in told))
    return (float(sum(parts["flips"] for parts in told)), asked) if asked else None


def _against(values: OfPairs) -> Callable[[Asked], list[Values | None]]:
    """For every contestant but the baseline, of the comparisons in which both answers have a score."""

    def of(asked: Asked) -> list[Values | None]:
        baseline, *others = asked.answers
        found: list[Values | None] = [None]
        for answers in others:
            both = list(zip(answers, baseline, strict=False))
            scored = [pair for pair in both if pair[0].score is not None and pair[1].score is not None]
            found.append(values(scored) if len(scored) == len(both) and both else None)
        return found

    return of


def _ranks(asked: Asked) -> list[Values | None]:
    """1 plus the others that are better, and half of those that are equal; the mean over indices."""
    count = min(map(len, asked.answers))
    scores = [[answers[k].score for answers in asked.answers] for k in range(count)]
    if not scores or any(score is None for row in scores for score in row):
        return [None] * len(asked.answers)
    table = np.array(scores, dtype=np.float64)  # (indices, contestants)
    better = (table[:, None, :] > table[:, :, None]).sum(2)
    equal = (table[:, None, :] == table[:, :, None]).sum(2) - 1
    return [(float(rank),) for rank in (1 + better + equal / 2).mean(0)]
