"""The papers' formulas, written out in 450 digits, with nothing of halo's.

A batch is a dict of roles; a role is a list of rows; a row has `logp`, `ref` and `old` (the sampler's), lists of exact numbers (one per token).
Ranked rows are lists of such rows beside a list of ranks. Numbers that the data supplies stand in `columns` by name (one
for each example) or in the row. Every function returns the loss of the batch.

A formula with a detached quantity that reads the rows it differentiates takes `frozen`, the batch at which that quantity
is held fixed; `bound` supplies it.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import partial
from typing import Any

from mpmath import mp, mpf

mp.dps = 450  # 300 would do for values; differences of tiny gradients need the rest

Batch = dict[str, Any]


def bound(formula: Any, at: Batch, parameters: dict[str, mpf]) -> Any:
    """The formula as a function of the batch alone, with what it detaches held at its value in the batch `at`."""
    held = {"frozen": deepcopy(at)} if "frozen" in inspect.signature(formula).parameters else {}
    return partial(formula, **parameters, **held)


def sigmoid(x: mpf) -> mpf:
    return 1 / (1 + mp.exp(-x))


def log_sigmoid(x: mpf) -> mpf:
    return -mp.log(1 + mp.exp(-x))


def l(row: Any) -> mpf:  # noqa: E743  log pi(y|x)
    return mp.fsum(row["logp"])


def u(row: Any) -> mpf:
    """log pi(y|x) - log ref(y|x), token by token."""
    return mp.fsum(a - b for a, b in zip(row["logp"], row["ref"], strict=True))


def n(row: Any) -> mpf:
    return mpf(len(row["logp"]))


def average(values: Any) -> mpf:
    values = list(values)
    return mp.fsum(values) / len(values)


def pairs(b: Batch) -> Any:
    return zip(b["chosen"], b["rejected"], strict=True)


def sft(b: Batch) -> mpf:
    tokens = [t for row in b["completion"] for t in row["logp"]]
    return -mp.fsum(tokens) / len(tokens)


csft = sft


def dpo(b: Batch, beta: mpf) -> mpf:
    return average(-log_sigmoid(beta * u(w) - beta * u(y)) for w, y in pairs(b))


def rdpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return average(-log_sigmoid(beta * u(w) - beta * u(y) + (alpha * n(w) - alpha * n(y))) for w, y in pairs(b))


def ipo(b: Batch, tau: mpf) -> mpf:
    return average((u(w) - u(y) - 1 / (2 * tau)) ** 2 for w, y in pairs(b))


def ipo_mean(b: Batch, tau: mpf) -> mpf:
    return average((u(w) / n(w) - u(y) / n(y) - 1 / (2 * tau)) ** 2 for w, y in pairs(b))


def cpo(b: Batch, beta: mpf, lambda_nll: mpf) -> mpf:
    return average(-log_sigmoid(beta * l(w) - beta * l(y)) - lambda_nll * l(w) for w, y in pairs(b))


def cpo_token_nll(b: Batch, beta: mpf, lambda_nll: mpf) -> mpf:
    return average(-log_sigmoid(beta * l(w) - beta * l(y)) for w, y in pairs(b)) + lambda_nll * sft({"completion": b["chosen"]})


def slic_hf(b: Batch, delta: mpf, lambda_nll: mpf) -> mpf:
    return average(max(mpf(0), delta - l(w) + l(y)) - lambda_nll * l(w) for w, y in pairs(b))


def slic_hf_gold(b: Batch, delta: mpf, lambda_nll: mpf) -> mpf:
    return average(max(mpf(0), delta - l(w) + l(y)) for w, y in pairs(b)) - lambda_nll * average(l(row) for row in b["gold"])


def simpo(b: Batch, beta: mpf, gamma: mpf) -> mpf:
    return average(-log_sigmoid(beta / n(w) * l(w) - beta / n(y) * l(y) - gamma) for w, y in pairs(b))


def log_odds(row: Any) -> mpf:
    p = mp.exp(l(row) / n(row))
    return mp.log(p / (1 - p))


def orpo_ratio(b: Batch, lambda_or: mpf) -> mpf:
    return average(-lambda_or * log_sigmoid(log_odds(w) - log_odds(y)) for w, y in pairs(b))


def orpo(b: Batch, lambda_or: mpf) -> mpf:
    return orpo_ratio(b, lambda_or) + average(-l(w) / n(w) for w in b["chosen"])


def orpo_code(b: Batch, lambda_or: mpf) -> mpf:
    return orpo_ratio(b, lambda_or) + sft({"completion": b["prompt"] + b["chosen"]})


def rrhf_parts(b: Batch) -> tuple[mpf, list[Any]]:
    ranking, best = mpf(0), []
    for rows, ranks in zip(b["lists"], b["ranks"], strict=True):
        for low, rank_low in zip(rows, ranks, strict=True):
            for high, rank_high in zip(rows, ranks, strict=True):
                if rank_high < rank_low:  # high is better
                    ranking += max(mpf(0), l(low) / n(low) - l(high) / n(high))
        best.append(rows[ranks.index(min(ranks))])
    return ranking / len(b["lists"]), best


def rrhf(b: Batch, lambda_ft: mpf) -> mpf:
    ranking, best = rrhf_parts(b)
    return ranking - lambda_ft * average(l(row) for row in best)


def rrhf_mean(b: Batch, lambda_ft: mpf) -> mpf:
    ranking, best = rrhf_parts(b)
    return ranking - lambda_ft * average(l(row) / n(row) for row in best)


def labelled(b: Batch, desirable: Any, undesirable: Any, reward: Any) -> mpf:
    rows = zip(b["completion"], b["desirable"], strict=True)
    return average(desirable(reward(row)) if good else undesirable(reward(row)) for row, good in rows)


def z0(b: Batch, beta: mpf) -> mpf:
    """Constant for the gradient: computed once from the unperturbed mismatched rows, which nothing else reads."""
    return max(mpf(0), average(beta * u(row) for row in b["mismatched"]))


def kto(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf, point: Any = z0) -> mpf:
    z = point(b, beta)
    return labelled(
        b, lambda r: lambda_d - lambda_d * sigmoid(r - z), lambda r: lambda_u - lambda_u * sigmoid(z - r), lambda row: beta * u(row)
    )


def kto_no_z0(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf) -> mpf:
    return kto(b, beta, lambda_d, lambda_u, lambda *_: mpf(0))


def kto_concave(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf) -> mpf:
    z = z0(b, beta)
    return labelled(
        b,
        lambda r: lambda_d - lambda_d * log_sigmoid(r - z),
        lambda r: lambda_u - lambda_u * log_sigmoid(z - r),
        lambda row: beta * u(row),
    )


def kto_risk_neutral(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf) -> mpf:
    z = z0(b, beta)
    return labelled(b, lambda r: lambda_d - lambda_d * (r - z), lambda r: lambda_u - lambda_u * (z - r), lambda row: beta * u(row))


def kto_no_reference(b: Batch, beta: mpf, lambda_d: mpf, lambda_u: mpf) -> mpf:
    z = average(beta * l(row) / n(row) for row in b["mismatched"])
    return labelled(
        b,
        lambda r: lambda_d - lambda_d * sigmoid(r - z),
        lambda r: lambda_u - lambda_u * sigmoid(z - r),
        lambda row: beta * l(row) / n(row),
    )


def ppo_offline(b: Batch, epsilon: mpf) -> mpf:
    surrogate, tokens = mpf(0), 0
    for row, good in zip(b["completion"], b["desirable"], strict=True):
        advantage = 1 if good else -1
        for new, old in zip(row["logp"], row["ref"], strict=True):
            ratio = mp.exp(new - old)
            surrogate += min(ratio * advantage, min(max(ratio, 1 - epsilon), 1 + epsilon) * advantage)
            tokens += 1
    return -surrogate / tokens


from oracle_groups import *  # noqa: E402, F403
from oracle_others import *  # noqa: E402, F403
from oracle_pairs import *  # noqa: E402, F403
