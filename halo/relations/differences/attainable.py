"""Which numbers a policy can really have: sums over the vocabulary beside the log-probabilities of the tokens that were written.

All completions of an example may begin with one token that is all but sure, as they share the place before it; the others are taken to
be equally likely. What is left of the vocabulary at each may have any shares, so that a divergence or an entropy lies above a least
value, strictly, and no other bounds it. Log-probabilities and words can then move apart, and so can the gradients in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import exp, inf, log, log1p

from halo.checks.scalars.inputs import SUM_OF, is_log_probability, is_policy
from halo.compiler.graph import Node

TOKENS = 2
"""Of a completion whose length the losses do not read."""


def _two(p: float, q: float) -> float:
    """The divergence of two coins: no two distributions that give one token these shares are nearer."""
    return p * (log(p) - log(q)) + (1 - p) * (log1p(-p) - log1p(-q))


def _collision(p: float) -> tuple[float, float]:
    """log of the sum of squares: the rest spread over very many tokens, or all on one."""
    return 2 * log(p), log(p * p + (1 - p) ** 2)


RANGES: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "kl_ref_policy": lambda p, q: (_two(q, p), inf),
    "kl_policy_ref": lambda p, q: (_two(p, q), inf),
    "entropy": lambda p, q: (-p * log(p) - (1 - p) * log1p(-p), inf),
    "log_sum_sq_probs": lambda p, q: _collision(p),
}
"""Of each word per token, the open range by the probabilities of the written token under policy and reference."""


def attainable(point: Mapping[Node, Fraction]) -> bool:
    """Whether a policy and a reference have these numbers. Two words of one completion are not vouched for."""
    words = [v for v in point if is_policy(v) and not is_log_probability(v)]
    return len({v.slot for v in words}) == len(words) and all(_is_attainable(v, point) for v in words)


def _is_attainable(word: Node, point: Mapping[Node, Fraction]) -> bool:
    def of(name: str, otherwise: float) -> float:
        return next((float(x) for v, x in point.items() if (v.data, v.slot) == (name, word.slot)), otherwise)

    ways = RANGES.get(word.data.removeprefix(SUM_OF))
    tokens = of("length", TOKENS)
    if ways is None or tokens < TOKENS:
        return False
    policy, free = of("log π", -1.0), tokens - 1
    low, high = ways(exp(policy / free), exp(of("log ref", policy) / free))
    return free * low < float(point[word]) < free * high


def can_be_vouched_for(policy: Sequence[Node]) -> bool:
    """Whether every word that theta moves has its range here."""
    return all(is_log_probability(v) or (v.axes == () and v.data.removeprefix(SUM_OF) in RANGES) for v in policy)
