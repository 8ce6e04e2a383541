"""Whether what is trained on was sampled by the policy as it is: measured before the first step.

An importance weight is w = exp(sum(log pi - log pi_old)) of a completion. n of them are worth (sum w)^2 / (sum w^2) completions of the
policy's own (effective sample size: Kong, 1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from halo.data.columns import OLD_LOGP
from halo.data.tokenized import TokenizedExample
from halo.scoring.distributions import LOGP
from halo.scoring.rows import scored_counts
from halo.training.step.step import Step

LOOKED_AT = 32
"""Examples: as many as one step has."""
SAME = 1e-3
"""Nats a token: float32 differs by 2e-5 between a sampler and a scorer, a policy that has learnt by more than this."""


def say_on_policy(step: Step, examples: Sequence[TokenizedExample], say: Callable[[str], None]) -> None:
    """One line, where ids were sampled with log-probs. Every process takes part."""
    few = [example for example in examples if example.origin == "ids" and _has_logps(example)][:LOOKED_AT]
    if not few:
        return
    slots = [slot for slot in few[0].own if slot in step.needs.slots]
    policy = step.measured(few, slots)
    largest, weights = 0.0, list[float]()
    for slot in slots:
        at = 0
        for example in few:
            for count, numbers in zip(scored_counts(example, slot), example.own[slot], strict=True):
                old = numbers[OLD_LOGP]
                assert isinstance(old, tuple)
                gaps = [float(new) - before for new, before in zip(policy[slot][LOGP][at : at + count], old, strict=True)]
                largest = max([largest, *map(abs, gaps)])
                weights.append(sum(gaps))
                at += count
    if largest <= SAME:
        say(f"samples    on-policy: the policy's log-probs are those of the samples, to {largest:.1g} nats a token")
        return
    whose = ", ".join(sorted({tail for example in few for tail in _whose(example)})) or "another model"
    share = effective_share(weights)
    said = f"off-policy: written by {whose}, log-probs differ by up to {largest:.2g} nats a token"
    say(f"samples    {said}; {len(weights)} completions are worth {share:.0%} as many of the policy's own")


def effective_share(weights: Sequence[float]) -> float:
    """Of log weights, the effective sample size over their number."""
    top = max(weights)
    scaled = [math.exp(weight - top) for weight in weights]
    return sum(scaled) ** 2 / (len(scaled) * sum(weight**2 for weight in scaled))


def _has_logps(example: TokenizedExample) -> bool:
    return bool(example.own) and all(OLD_LOGP in numbers for rows in example.own.values() for numbers in rows)


def _whose(example: TokenizedExample) -> list[str]:
    return [f"weights {whose}" for whose in example.sampled_by]
