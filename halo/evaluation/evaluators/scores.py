"""Numbers of the scores themselves: their mean, and how a prompt's candidates spread (arXiv:2304.05302, table 5: Mean, Std, Max)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values

OfScores = Callable[[Sequence[float]], float]


def reward(context: EvaluationContext) -> list[Measure]:
    """The mean score."""
    return [Measure("mean score", f"mean {context.score} of an answer", of_scores(fmean))]


def candidates(context: EvaluationContext) -> list[Measure]:
    """Mean, deviation (of n - 1) and best of a prompt's answers."""
    mean = Measure("mean", "mean score of a prompt's answers", of_scores(fmean))
    spread = Measure("std", "standard deviation of the scores within a prompt, of n - 1", of_scores(stdev, least=2))
    best = Measure("max", "score of a prompt's best answer", of_scores(max))
    return [mean, spread, best]


def of_scores(take: OfScores, least: int = 1) -> Callable[[Asked], list[Values | None]]:
    """Of a prompt's scores, where each answer has one and there are at least so many."""

    def values(asked: Asked) -> list[Values | None]:
        found: list[Values | None] = []
        for answers in asked.answers:
            scores = all_scores(answers)
            found.append((float(take(scores)),) if scores is not None and len(scores) >= least else None)
        return found

    return values


def all_scores(answers: Sequence[Answer]) -> list[float] | None:
    """Of every answer; None where one has none: a mean of the others would be of other answers."""
    scores = [answer.score for answer in answers if answer.score is not None]
    return scores if len(scores) == len(answers) and scores else None
