"""Perplexity of answers under a model, both ways: the mean of the texts' perplexities, and that of all tokens.

The first is what RRHF's numbers are (Hugging Face's metric): a few odd texts dominate it.
"""

from __future__ import annotations

import math

from halo.completions.evaluating import Answer, EvaluationContext, Measure
from halo.evaluation.evaluators.logprobs import Nats, check_log_probs, of_answers, of_tokens
from halo.statistics.combining import exp_ratio


def measures(context: EvaluationContext) -> list[Measure]:
    """Of the completion behind its prompt, with the token that ends it; the prompt's own tokens are not counted."""
    what = "of the completion given its prompt"
    texts = f"{what}: the mean over texts of exp(mean token NLL)"
    tokens = f"{what}: exp(all NLL / all tokens)"
    return [
        Measure("mean of perplexities", texts, of_answers(_nll, lambda told: math.exp(told[0] / told[1]))),
        Measure("perplexity of all tokens", tokens, of_tokens(_nll), exp_ratio),
    ]


def _nll(answer: Answer) -> Nats:
    """Minus the log-prob, and tokens."""
    check_log_probs(answer, "perplexity", "--scorer likelihood:model=FOLDER, or --given COLUMN for texts of the data")
    return -answer.parts["logp"], answer.parts["tokens"]
