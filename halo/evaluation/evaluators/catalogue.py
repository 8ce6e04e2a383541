"""Core's evaluators. What needs numpy is imported when its measures are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from halo.completions.evaluating import EvaluationContext, Evaluator, Measure
from halo.evaluation.evaluators import accuracy, texts
from halo.evaluation.evaluators.best_of import curve, passed
from halo.evaluation.evaluators.options import OfPass
from halo.evaluation.evaluators.scores import candidates, reward


def _win(context: EvaluationContext) -> Sequence[Measure]:
    from halo.evaluation.evaluators.win import measures

    return measures(context)


def _perplexity(context: EvaluationContext) -> Sequence[Measure]:
    from halo.evaluation.evaluators.perplexity import measures

    return measures(context)


def _kl(context: EvaluationContext) -> Sequence[Measure]:
    from halo.evaluation.evaluators.divergence import measures

    return measures(context)


Needs = frozenset[Literal["scores", "baseline"]]
SCORES: Needs = frozenset({"scores"})
AGAINST: Needs = frozenset({"scores", "baseline"})
EVALUATORS = (
    Evaluator("win", "win, tie and loss against the baseline, rank, and what length has to do with it", _win, needs=AGAINST),
    Evaluator("reward", "the mean score", reward, needs=SCORES),
    Evaluator("candidates", "mean, deviation and best score of a prompt's answers", candidates, needs=SCORES),
    Evaluator("best-of-n", "the expected best score of n answers, and the KL that it costs", curve, needs=SCORES),
    Evaluator("pass-at-k", "the chance that one of k answers is right", passed, OfPass, needs=SCORES),
    Evaluator("accuracy", "pairs of the data whose better text has the higher score", accuracy.measures, needs=SCORES),
    Evaluator("perplexity", "of texts under a model, over texts and over tokens", _perplexity, needs=SCORES),
    Evaluator("kl", "KL from a reference on a policy's own samples: --scorer likelihood:model=REFERENCE", _kl, needs=SCORES),
    Evaluator("texts", "lengths, cut answers, distinct words, answers that did not change", texts.measures),
)
