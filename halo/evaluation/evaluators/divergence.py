"""How far a policy is from a reference, on its own samples: KL(policy || reference) = E[log pi(y) - log ref(y)], of whole answers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.errors import Place, SettingsError
from halo.statistics.combining import ratio


def measures(context: EvaluationContext) -> list[Measure]:
    """The scorer is the reference's likelihood. Single samples may be below zero; their mean is not, but for chance."""
    return [
        Measure("KL", "of the policy from the reference in nats, of a whole answer", _answers),
        Measure("KL of a token", "nats over tokens, of all answers", _tokens, ratio),
    ]


def _answers(asked: Asked) -> list[Values | None]:
    return [(fmean(gap for gap, _ in told),) if (told := _told(answers)) else None for answers in asked.answers]


def _tokens(asked: Asked) -> list[Values | None]:
    found: list[Values | None] = []
    for answers in asked.answers:
        told = _told(answers)
        found.append((sum(gap for gap, _ in told), sum(count for _, count in told)) if told else None)
    return found


def _told(answers: Sequence[Answer]) -> list[tuple[float, float]]:
    """log pi - log ref and tokens of each; nothing where one has none."""
    found = []
    for answer in answers:
        if answer.score is None:
            return []
        if "logp" not in answer.parts:
            hint = "--scorer likelihood:model=REFERENCE"
            raise SettingsError("wrong-value", "kl is of log-probs, which these scores are not", place=Place("--scorer"), hint=hint)
        if answer.drawn is None or not answer.own:
            hint = "--sampler sample, with no option: at temperature 1, from the whole vocabulary"
            message = "kl is of samples of the policy's own distribution, and these were drawn from another"
            raise SettingsError("wrong-value", message, place=Place("--sampler"), hint=hint)
        found.append((answer.drawn - answer.parts["logp"], answer.parts["tokens"]))
    return found
