"""How far a policy is from a reference, on its own samples: KL(policy || reference) = E[log pi(y) - log ref(y)], of whole answers."""

from __future__ import annotations

from halo.completions.evaluating import Answer, EvaluationContext, Measure
from halo.errors import Place, SettingsError
from halo.evaluation.evaluators.logprobs import Nats, check_log_probs, of_answers, of_tokens
from halo.statistics.combining import ratio


def measures(context: EvaluationContext) -> list[Measure]:
    """The scorer is the reference's likelihood. Single samples may be below zero; their mean is not, but for chance."""
    return [
        Measure("KL", "of the policy from the reference in nats, of a whole answer", of_answers(_gap, lambda told: told[0])),
        Measure("KL of a token", "nats over tokens, of all answers", of_tokens(_gap), ratio),
    ]


def _gap(answer: Answer) -> Nats:
    """log pi - log ref, and tokens. Raises SettingsError for what was not drawn from the policy's own distribution."""
    check_log_probs(answer, "kl", "--scorer likelihood:model=REFERENCE")
    if answer.drawn is None or not answer.own:
        hint = "--sampler sample, with no option: at temperature 1, from the whole vocabulary"
        message = "kl is of samples of the policy's own distribution, and these were drawn from another"
        raise SettingsError("wrong-value", message, place=Place("--sampler"), hint=hint)
    return answer.drawn - answer.parts["logp"], answer.parts["tokens"]
