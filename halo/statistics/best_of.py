"""What is best of n, from m samples of each prompt: unbiased, without sampling again.

Sorted from the worst, the i-th of m is the best of a random n of them in C(i-1, n-1) of the C(m, n) choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def chances(m: int, n: int) -> list[float]:
    """For each of m in rising order, the chance to be the best of a random n of them. Raises ValueError for n above m."""
    if not 1 <= n <= m:
        raise ValueError(f"the best of {n} among {m}")
    return [math.comb(place, n - 1) / math.comb(m, n) for place in range(m)]


def best_of(scores: Sequence[float], n: int) -> float:
    """E[max of n scores], of m >= n scores."""
    return math.fsum(chance * score for chance, score in zip(chances(len(scores), n), sorted(scores), strict=True))


def pass_at(m: int, right: int, k: int) -> float:
    """The chance that k of m answers hold one of the `right` ones: 1 - C(m - right, k) / C(m, k) (arXiv:2107.03374, equation 1)."""
    if not 1 <= k <= m:
        raise ValueError(f"{k} answers of {m}")
    return 1 - math.comb(m - right, k) / math.comb(m, k)


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n, in nats: what KL(best of n || policy) is where no two answers are equal, and never more."""
    return math.log(n) - (n - 1) / n


def kl_estimate(n: int, logp: float) -> float:
    """KL(best of n || policy) in nats as the best answer tells it. Its mean over the best of n lies between the KL and the bound, and is
    the KL where one answer has nearly all the mass, or each nearly none. No two answers have the same score.

    logp  the policy's log-prob of the whole answer; with its mass e the estimator is
          (1 - e)^n (log n + (n - 1) log(1 - e) - (n - 1) / n) + (1 - (1 - e)^n) log((1 - (1 - e)^n) / e)  (arXiv:2401.01879, section 4)
    """
    if n == 1:
        return 0.0
    mass = math.exp(logp)
    if mass >= 1:
        return 0.0
    log_rest = math.log1p(-mass)
    found = -math.expm1(n * log_rest)
    if found == 0:  # the mass is below what a float holds beside 1: nothing is drawn twice
        return kl_bound(n)
    return math.exp(n * log_rest) * (math.log(n) + (n - 1) * log_rest - (n - 1) / n) + found * (math.log(found) - logp)
