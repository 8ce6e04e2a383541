"""Formulas for feedback other than pairs, written from the papers as in `oracle`, which re-exports them."""

from __future__ import annotations

from typing import Any

from mpmath import mp, mpf
from oracle import Batch, average, l, labelled, log_sigmoid, n, sft, sigmoid, u

# -- one answer ------------------------------------------------------------------------------------------------------------


sft_chosen = sft  # demonstrations are made of the chosen answers


def sft_sum(b: Batch) -> mpf:
    return average(-l(row) for row in b["completion"])


def dft(b: Batch, *, frozen: Batch) -> mpf:
    """The probability in front is detached: it stays that of the batch `frozen`."""
    tokens = [
        (p, q)
        for row, held in zip(b["completion"], frozen["completion"], strict=True)
        for p, q in zip(row["logp"], held["logp"], strict=True)
    ]
    return average(-mp.exp(q) * p for p, q in tokens)


def a_lol(b: Batch, epsilon: mpf, *, frozen: Batch) -> mpf:
    """The clipped importance weight is detached."""
    weights = [
        a * min(max(mp.exp(u(row)), 1 - epsilon), 1 + epsilon)
        for a, row in zip(b["columns"]["advantage"], frozen["completion"], strict=True)
    ]
    return average(-weight * l(row) for weight, row in zip(weights, b["completion"], strict=True))


def dro_v(b: Batch, tau: mpf) -> mpf:
    rows = zip(b["completion"], b["columns"]["rating"], b["columns"]["state_value"], strict=True)
    return average((r - v - tau * u(row)) ** 2 / 2 for row, r, v in rows)


def qrpo(b: Batch, beta: mpf) -> mpf:
    partition = beta * (mp.exp(1 / beta) - 1)
    rows = zip(b["completion"], b["columns"]["quantile"], strict=True)
    return average((q - beta * mp.log(partition) - beta * u(row)) ** 2 for row, q in rows)


def npo(b: Batch, beta: mpf) -> mpf:
    return average(2 / beta * mp.log(1 + mp.exp(u(row)) ** beta) for row in b["completion"])


def npo_retain(b: Batch, beta: mpf, lambda_retain: mpf) -> mpf:
    return npo(b, beta) - lambda_retain * average(l(row) for row in b["retain"])


# -- labels ----------------------------------------------------------------------------------------------------------------


def unlikelihood(b: Batch, alpha: mpf) -> mpf:
    def one(row: dict[str, list[mpf]], good: bool) -> mpf:
        return -l(row) if good else -alpha * mp.fsum(mp.log(1 - mp.exp(p)) for p in row["logp"])

    return average(one(row, good) for row, good in zip(b["completion"], b["desirable"], strict=True))


def humanline_kto(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf, log_eps_p: mpf, log_eps_r: mpf) -> mpf:
    def reward(row: dict[str, list[mpf]]) -> mpf:
        return beta * mp.fsum(min(max(p - q, log_eps_p), log_eps_r) for p, q in zip(row["logp"], row["ref"], strict=True))

    z = max(mpf(0), average(reward(row) for row in b["mismatched"]))
    return labelled(b, lambda r: lambda_d - lambda_d * sigmoid(r - z), lambda r: lambda_u - lambda_u * sigmoid(z - r), reward)


def bco(b: Batch, beta: mpf, *, frozen: Batch) -> mpf:
    """The running mean of the rewards is, at the first step, that of the batch."""
    delta = average(beta * u(row) for row in frozen["completion"])
    rows = zip(b["completion"], b["desirable"], b["columns"]["density_ratio"], strict=True)
    return average(-log_sigmoid(beta * u(row) - delta) if good else -w * log_sigmoid(delta - beta * u(row)) for row, good, w in rows)


# -- lists -----------------------------------------------------------------------------------------------------------------


def dpo_pl(b: Batch, beta: mpf) -> mpf:
    losses = []
    for rows, ranks in zip(b["lists"], b["ranks"], strict=True):
        scores = [mp.exp(beta * u(row)) for row in rows]
        rest = [mp.fsum(s for s, other in zip(scores, ranks, strict=True) if other >= rank) for rank in ranks]
        losses.append(-mp.fsum(mp.log(s / r) for s, r in zip(scores, rest, strict=True)))
    return average(losses)


def soft(values: list[mpf]) -> list[mpf]:
    total = mp.fsum(mp.exp(x) for x in values)
    return [mp.exp(x) / total for x in values]


def over_lists(b: Batch, one: Any) -> mpf:
    """The mean over prompts of a formula in the answers' rows and their scores."""
    return average(one(rows, [row["score"] for row in rows]) for rows in b["lists"])


def info_nca(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    def one(rows: list[Any], scores: list[mpf]) -> mpf:
        return -mp.fsum(
            p * mp.log(q) for p, q in zip(soft([s / alpha for s in scores]), soft([beta * u(row) for row in rows]), strict=True)
        )

    return over_lists(b, one)


def nca_k(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    def one(rows: list[Any], scores: list[mpf]) -> mpf:
        share = soft([s / alpha for s in scores])
        return -mp.fsum(
            p * log_sigmoid(beta * u(row)) + log_sigmoid(-beta * u(row)) / len(rows) for p, row in zip(share, rows, strict=True)
        )

    return over_lists(b, one)


def exo_k(b: Batch, beta: mpf, beta_r: mpf) -> mpf:
    def one(rows: list[Any], scores: list[mpf]) -> mpf:
        return mp.fsum(
            q * mp.log(q / p) for q, p in zip(soft([beta * u(row) for row in rows]), soft([s / beta_r for s in scores]), strict=True)
        )

    return over_lists(b, one)


def places(values: list[mpf]) -> list[int]:
    """1 for the highest; the earlier of equal ones first."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return [order.index(i) + 1 for i in range(len(values))]


def lipo_lambda(b: Batch, beta: mpf, *, frozen: Batch) -> mpf:
    """The places by the model are counted in the batch `frozen`."""
    losses = []
    for rows, held in zip(b["lists"], frozen["lists"], strict=True):
        rank, loss = places([beta * u(row) for row in held]), mpf(0)
        for i, high in enumerate(rows):
            for j, low in enumerate(rows):
                if high["score"] > low["score"]:
                    gain = mpf(2) ** high["score"] - mpf(2) ** low["score"]
                    discount = abs(1 / mp.log(1 + rank[i]) - 1 / mp.log(1 + rank[j]))
                    loss -= gain * discount * log_sigmoid(beta * u(high) - beta * u(low))
        losses.append(loss)
    return average(losses)


def pro(b: Batch, lambda_ft: mpf) -> mpf:
    def one(rows: list[Any], scores: list[mpf]) -> mpf:
        p, loss = [l(row) / n(row) for row in rows], mpf(0)
        for k, own in enumerate(scores):
            worse = [j for j, other in enumerate(scores) if other < own]
            if worse:
                t = max(own - scores[j] for j in worse)
                loss -= mp.log(mp.exp(p[k] * t) / (mp.exp(p[k] * t) + mp.fsum(mp.exp(p[j] * (own - scores[j])) for j in worse)))
        return loss - lambda_ft * p[scores.index(max(scores))]

    return over_lists(b, one)


def opo(b: Batch, beta: mpf, tau: mpf) -> mpf:
    def one(rows: list[Any], scores: list[mpf]) -> mpf:
        r, gains = [beta * u(row) for row in rows], [mpf(2) ** s - 1 for s in scores]
        best = mp.fsum(gain / mp.log(1 + place) for gain, place in zip(gains, places(scores), strict=True))
        soft_ranks = [1 + mp.fsum(sigmoid((x - own) / tau) for j, x in enumerate(r) if j != i) for i, own in enumerate(r)]
        return -mp.fsum(gain / mp.log(1 + rank) for gain, rank in zip(gains, soft_ranks, strict=True)) / best

    return over_lists(b, one)


def grpo_offline(b: Batch, epsilon: mpf, lambda_kl: mpf) -> mpf:
    losses = []
    for rows in b["lists"]:
        scores = [row["score"] for row in rows]
        mean = average(scores)
        std = mp.sqrt(mp.fsum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
        for row in rows:
            advantage = (row["score"] - mean) / (std + mpf("0.01"))
            for new, old in zip(row["logp"], row["ref"], strict=True):
                ratio = mp.exp(new - old)
                clipped = min(max(ratio, 1 - epsilon), 1 + epsilon)
                losses.append(-min(ratio * advantage, clipped * advantage) + lambda_kl * (mp.exp(old - new) - (old - new) - 1))
    return average(losses)
