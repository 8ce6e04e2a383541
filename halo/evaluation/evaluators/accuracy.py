"""Whether scores put the better answer first: of a policy's likelihood or implied reward, RRHF's "reward model accuracy"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.evaluation.evaluators.scores import all_scores


def measures(context: EvaluationContext) -> list[Measure]:
    """Of every two answers of a prompt, which stand from the best to the worst as its columns were named."""
    accuracy = Measure("accuracy", "pairs whose better answer has the higher score; ties count half", _each(0.5), share=True)
    strict = Measure("accuracy, ties lost", "pairs whose better answer has the higher score", _each(0.0), share=True)
    return [accuracy, strict]


def _each(tie: float) -> Callable[[Asked], list[Values | None]]:
    def of(asked: Asked) -> list[Values | None]:
        return [_of(answers, tie) for answers in asked.answers]

    return of


def _of(answers: Sequence[Answer], tie: float) -> Values | None:
    scores = all_scores(answers)
    if scores is None or len(scores) < 2:
        return None
    return (fmean(1.0 if better > worse else tie * (better == worse) for better, worse in combinations(scores, 2)),)
