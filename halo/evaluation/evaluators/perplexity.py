"""Perplexity of answers under a model, both ways: the mean of the texts' perplexities, and that of all tokens.

The first is what RRHF's numbers are (Hugging Face's metric): a few odd texts dominate it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.errors import Place, SettingsError
from halo.statistics.combining import exp_ratio


def measures(context: EvaluationContext) -> list[Measure]:
    """Of the completion behind its prompt, with the token that ends it; the prompt's own tokens are not counted."""
    what = "of the completion given its prompt"
    texts = Measure("mean of perplexities", f"{what}: the mean over texts of exp(mean token NLL)", _texts)
    tokens = Measure("perplexity of all tokens", f"{what}: exp(all NLL / all tokens)", _tokens, exp_ratio)
    return [texts, tokens]


def _texts(asked: Asked) -> list[Values | None]:
    return [(fmean(math.exp(-mean) for mean, _ in told),) if (told := _told(answers)) else None for answers in asked.answers]


def _tokens(asked: Asked) -> list[Values | None]:
    found: list[Values | None] = []
    for answers in asked.answers:
        told = _told(answers)
        found.append((sum(-mean * count for mean, count in told), sum(count for _, count in told)) if told else None)
    return found


def _told(answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """Mean log-prob and tokens of each; nothing where one has none."""
    found = []
    for answer in answers:
        if answer.score is None:
            return []
        if "logp" not in answer.parts:
            hint = "--scorer likelihood:model=FOLDER, or --given COLUMN for texts of the data"
            raise SettingsError("wrong-value", "perplexity is of log-probs, which these scores are not", place=Place("--scorer"), hint=hint)
        found.append((answer.parts["logp"] / answer.parts["tokens"], answer.parts["tokens"]))
    return found
