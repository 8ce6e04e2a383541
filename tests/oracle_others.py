"""Formulas for feedback other than pairs, written from the papers as in `oracle`, which re-exports them."""

from __future__ import annotations

from mpmath import mp, mpf
from oracle import Batch, average, l, labelled, sft, sigmoid, u

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


# -- lists -----------------------------------------------------------------------------------------------------------------


def dpo_pl(b: Batch, beta: mpf) -> mpf:
    losses = []
    for rows, ranks in zip(b["lists"], b["ranks"], strict=True):
        scores = [mp.exp(beta * u(row)) for row in rows]
        rest = [mp.fsum(s for s, other in zip(scores, ranks, strict=True) if other >= rank) for rank in ranks]
        losses.append(-mp.fsum(mp.log(s / r) for s, r in zip(scores, rest, strict=True)))
    return average(losses)
