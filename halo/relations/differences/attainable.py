"""Which numbers a policy can really have: sums over the vocabulary beside the log-probabilities of the tokens that were written.

All completions of an example may begin with one token that is all but sure, as they share the place before it; the others are taken to
be equally likely. What is left of the vocabulary at each may have any shares, so that a divergence or an entropy lies above a least
value, strictly, and no other bounds it. Log-probabilities and words can then move apart, and so can the gradients in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import exp, inf, log, log1p

from halo.checks.scalars.inputs import SUM_OF, is_log_probability
from halo.compiler.graph import Node

TOKENS = 2
"""Of a completion whose length the losses do not read."""


def _two(p: float, q: float) -> float:
    """The divergence of two coins: no two distributions that give one token these shares are nearer."""
    return p * (log(p) - log(q)) + (1 - p) * (log1p(-p) - log1p(-q))


def _coin(p: float) -> float:
    """The entropy of a coin: no distribution that gives one token this share has less."""
    return -p * log(p) - (1 - p) * log1p(-p)


def _collision(p: float) -> tuple[float, float]:
    """log of the sum of squares: the rest spread over very many tokens, or all on one."""
    return 2 * log(p), log(p * p + (1 - p) ** 2)


RANGES: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "kl_ref_policy": lambda p, q: (_two(q, p), inf),
    "kl_policy_ref": lambda p, q: (_two(p, q), inf),
    "entropy": lambda p, q: (_coin(p), inf),
    "log_sum_sq_probs": lambda p, q: _collision(p),
    "ref_entropy": lambda p, q: (_coin(q), inf),
}
"""Of each word per token, the open range by the probabilities of the written token under policy and reference."""
SHARE = "mean of ref_entropy / log(vocab_size)"
WHOSE = {"entropy": "policy", "log_sum_sq_probs": "policy", "ref_entropy": "reference", SHARE: "reference"}
"""Divergences lie between the two: whatever one of them is, the other can lie at any divergence from it."""


def attainable(point: Mapping[Node, Fraction]) -> bool:
    """Whether a policy and a reference have these numbers."""
    words = [v for v in point if is_word(v)]
    for slot in {v.slot for v in words}:
        bound = [WHOSE.get(_word(v), "between") for v in words if v.slot == slot]
        if len(bound) > len(set(bound)) or len(bound) == 3:
            return False
    return all(_is_attainable(v, point) for v in words)


def is_word(variable: Node) -> bool:
    """Whether it is a sum over the vocabulary."""
    return variable.op == "input" and _word(variable) in (*RANGES, SHARE)


def _word(variable: Node) -> str:
    return str(variable.data).removeprefix(SUM_OF)


def _is_attainable(word: Node, point: Mapping[Node, Fraction]) -> bool:
    def of(name: str, otherwise: float) -> float:
        return next((float(x) for v, x in point.items() if (v.data, v.slot) == (name, word.slot)), otherwise)

    tokens = of("length", TOKENS)
    if tokens < TOKENS:
        return False
    policy, free = of("log π", -1.0), tokens - 1
    if _word(word) == SHARE:  # of a large vocabulary; the first token, all but sure, has none
        return 0 < tokens * float(point[word]) < free * (1 - exp(of("log ref", policy) / free))
    low, high = RANGES[_word(word)](exp(policy / free), exp(of("log ref", policy) / free))
    size = next((float(x) for v, x in point.items() if v.data == "vocab_size"), inf)
    if _word(word) == "ref_entropy":  # at most the rest of the vocabulary evenly
        high = low + (1 - exp(of("log ref", policy) / free)) * log(size - 1)
    return free * low < float(point[word]) < free * high


def can_be_vouched_for(policy: Sequence[Node]) -> bool:
    """Whether every word that theta moves has its range here."""
    return all(is_log_probability(v) or (v.axes == () and _word(v) in RANGES) for v in policy)
