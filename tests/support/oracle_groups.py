"""Formulas of group advantages and sampled ratios, written from the papers as in `oracle`, which re-exports them.

A row of a group has `logp`, `old` and `ref`, lists of numbers, and `score`. Groups may differ in size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import mp, mpf
from oracle import Batch, average, l, n, sigmoid

Advantages = Callable[[list[mpf]], list[mpf]]
"""Of the scores of one prompt's answers, in their order."""


def spread(numbers: list[mpf]) -> mpf:
    """The standard deviation with n - 1."""
    mean = average(numbers)
    return mp.sqrt(mp.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1))


def in_units_of_spread(scores: list[mpf]) -> list[mpf]:
    """The papers' (s - mean)/std; 0 where all are equal, for which the papers have no number."""
    if len(set(scores)) == 1:
        return [mpf(0)] * len(scores)
    return [(s - average(scores)) / spread(scores) for s in scores]


def in_units_of_spread_trl(scores: list[mpf]) -> list[mpf]:
    """grpo_trainer.py, `advantages / (std_rewards + 1e-4)`."""
    return [(s - average(scores)) / (spread(scores) + mpf("0.0001")) for s in scores]


def centred(scores: list[mpf]) -> list[mpf]:
    return [s - average(scores) for s in scores]


def leave_one_out(rewards: list[mpf]) -> list[mpf]:
    return [r - (mp.fsum(rewards) - r) / (len(rewards) - 1) for r in rewards]


def clipped(ratio: mpf, advantage: mpf, low: mpf, high: mpf) -> mpf:
    """PPO's surrogate, to be maximised."""
    return min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


def scores_of(rows: list[Any]) -> list[mpf]:
    return [row["score"] for row in rows]


def by_token(row: Any, advantage: mpf, low: mpf, high: mpf) -> list[mpf]:
    """The surrogate of every token of an answer."""
    return [clipped(mp.exp(new - old), advantage, low, high) for new, old in zip(row["logp"], row["old"], strict=True)]


def k3(row: Any) -> list[mpf]:
    """Of each token: r - log r - 1 with r = ref/pi, an estimate of the divergence that is never negative."""
    return [mp.exp(ref - new) - (ref - new) - 1 for new, ref in zip(row["logp"], row["ref"], strict=True)]


def groups(b: Batch, advantages: Advantages) -> list[list[tuple[Any, mpf]]]:
    """The answers of every prompt, each with its advantage."""
    return [list(zip(rows, advantages(scores_of(rows)), strict=True)) for rows in b["lists"]]


def answers(b: Batch, advantages: Advantages) -> list[tuple[Any, mpf]]:
    return [one for group in groups(b, advantages) for one in group]


# -- GRPO and what became of it ----------------------------------------------------------------------------------------------


def grpo(b: Batch, epsilon: mpf, beta: mpf) -> mpf:
    def one(row: Any, advantage: mpf) -> mpf:
        return average(gain - beta * kl for gain, kl in zip(by_token(row, advantage, epsilon, epsilon), k3(row), strict=True))

    return -average(average(one(*answer) for answer in group) for group in groups(b, in_units_of_spread))


def grpo_trl(b: Batch, epsilon: mpf, beta: mpf) -> mpf:
    def one(row: Any, advantage: mpf) -> mpf:
        return average(-gain + beta * kl for gain, kl in zip(by_token(row, advantage, epsilon, epsilon), k3(row), strict=True))

    return average(average(one(*answer) for answer in group) for group in groups(b, in_units_of_spread_trl))


def dr_grpo(b: Batch, epsilon: mpf) -> mpf:
    return -average(average(mp.fsum(by_token(row, a, epsilon, epsilon)) for row, a in group) for group in groups(b, centred))


def dr_grpo_trl(b: Batch, epsilon: mpf, max_length: mpf) -> mpf:
    """One constant in the place of every length."""
    return average(
        -mp.fsum(mp.fsum(by_token(row, a, epsilon, epsilon)) for row, a in group) / (len(group) * max_length)
        for group in groups(b, centred)
    )


def dapo(b: Batch, epsilon: mpf, epsilon_high: mpf) -> mpf:
    def one(group: list[tuple[Any, mpf]]) -> mpf:
        return average(gain for row, a in group for gain in by_token(row, a, epsilon, epsilon_high))

    return -average(one(group) for group in groups(b, in_units_of_spread))


def dapo_trl(b: Batch, epsilon: mpf, epsilon_high: mpf) -> mpf:
    return -average(gain for row, a in answers(b, in_units_of_spread_trl) for gain in by_token(row, a, epsilon, epsilon_high))


def length_free_ratio(row: Any) -> mpf:
    """(pi(y)/old(y))^(1/|y|)."""
    return mp.exp((l(row) - mp.fsum(row["old"])) / n(row))


def gspo(b: Batch, epsilon: mpf, epsilon_high: mpf) -> mpf:
    def one(row: Any, advantage: mpf) -> mpf:
        return clipped(length_free_ratio(row), advantage, epsilon, epsilon_high)

    return -average(average(one(*answer) for answer in group) for group in groups(b, in_units_of_spread))


def gspo_trl(b: Batch, epsilon: mpf, epsilon_high: mpf) -> mpf:
    def one(row: Any, advantage: mpf) -> mpf:
        return clipped(length_free_ratio(row), advantage, epsilon, epsilon_high)

    return -average(average(one(*answer) for answer in group) for group in groups(b, in_units_of_spread_trl))


def weighted_likelihood(row: Any, held: Any, advantage: mpf, cap: mpf) -> list[mpf]:
    """CISPO's tokens: the capped ratio is that of the row `held`, which does not move."""
    weights = [min(mp.exp(new - old), cap) for new, old in zip(held["logp"], held["old"], strict=True)]
    return [weight * advantage * new for weight, new in zip(weights, row["logp"], strict=True)]


def cispo(b: Batch, epsilon_high: mpf, *, frozen: Batch) -> mpf:
    losses = []
    for group, held in zip(groups(b, in_units_of_spread), frozen["lists"], strict=True):
        rows = zip(group, held, strict=True)
        losses.append(-average(t for (row, a), still in rows for t in weighted_likelihood(row, still, a, 1 + epsilon_high)))
    return average(losses)


def cispo_trl(b: Batch, epsilon_high: mpf, *, frozen: Batch) -> mpf:
    held = [row for rows in frozen["lists"] for row in rows]
    rows = zip(answers(b, in_units_of_spread_trl), held, strict=True)
    return -average(t for (row, a), still in rows for t in weighted_likelihood(row, still, a, epsilon_high))


# -- REINFORCE ---------------------------------------------------------------------------------------------------------------


def drift(row: Any) -> mpf:
    """log(old(y)/ref(y)), the divergence as the sampler left it."""
    return mp.fsum(old - ref for old, ref in zip(row["old"], row["ref"], strict=True))


def leaving_one_out(rows: list[Any], beta: mpf) -> list[mpf]:
    return leave_one_out([row["score"] - beta * drift(row) for row in rows])


def rloo(b: Batch, beta: mpf) -> mpf:
    def one(rows: list[Any]) -> mpf:
        return average(a * l(row) for row, a in zip(rows, leaving_one_out(rows, beta), strict=True))

    return -average(one(rows) for rows in b["lists"])


def rloo_trl(b: Batch, beta: mpf, epsilon: mpf) -> mpf:
    def one(rows: list[Any]) -> mpf:
        ratios = [mp.exp(l(row) - mp.fsum(row["old"])) for row in rows]
        return average(clipped(*both, epsilon, epsilon) for both in zip(ratios, leaving_one_out(rows, beta), strict=True))

    return -average(one(rows) for rows in b["lists"])


def reinforce_pp(b: Batch, epsilon: mpf, beta: mpf) -> mpf:
    found = answers(b, centred)
    raw = [a for _, a in found]
    mean, std = average(raw), spread(raw) if len(set(raw)) > 1 else mpf(1)  # of equal ones each is the mean
    losses = []
    for row, advantage in found:
        k2 = [(new - ref) ** 2 / 2 for new, ref in zip(row["logp"], row["ref"], strict=True)]
        gains = by_token(row, (advantage - mean) / std, epsilon, epsilon)
        losses += [-gain + beta * kl for gain, kl in zip(gains, k2, strict=True)]
    return average(losses)


# -- PsiPO -------------------------------------------------------------------------------------------------------------------


def psipo(b: Batch, tau: mpf, psi: Callable[[mpf], mpf], preference: Callable[[mpf, mpf], mpf]) -> mpf:
    """REINFORCE on E[psi(p(y > y'))] - tau KL, y' the other answers of the prompt, less the mean over the prompt."""
    losses = []
    for rows in b["lists"]:
        rewards = []
        for i, row in enumerate(rows):
            others = [other for j, other in enumerate(rows) if j != i]
            liked = average(psi(preference(row["score"], other["score"])) for other in others)
            rewards.append(liked - tau * (drift(row) - average(drift(other) for other in others)))
        losses.append(-average((reward - average(rewards)) * l(row) for reward, row in zip(rewards, rows, strict=True)))
    return average(losses)


def bradley_terry(own: mpf, other: mpf) -> mpf:
    return sigmoid(own - other)


def psipo_online(b: Batch, tau: mpf) -> mpf:
    return psipo(b, tau, lambda p: p, bradley_terry)


def psipo_online_logit(b: Batch, tau: mpf, limit: mpf) -> mpf:
    return psipo(b, tau, lambda p: min(max(mp.log(p / (1 - p)), -limit), limit), bradley_terry)
