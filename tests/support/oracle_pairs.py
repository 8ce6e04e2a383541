"""Formulas of the preference-pair literature, written from the papers as in `oracle`, which re-exports them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import mp, mpf
from oracle import Batch, average, dpo, l, log_sigmoid, n, pairs, sft, sigmoid, simpo, u


def of_gap(b: Batch, beta: mpf, f: Callable[[mpf], mpf]) -> mpf:
    """Mean of f(beta rho), rho = (log pi(y_w) - log pi(y_l)) - (log ref(y_w) - log ref(y_l)); f falls where f(rho) is a loss."""
    return average(f(beta * (u(w) - u(y))) for w, y in pairs(b))


def logistic(x: mpf) -> mpf:
    return mp.log(1 + mp.exp(-x))


def hinge(x: mpf) -> mpf:
    return max(mpf(0), 1 - x)


def token_mean(rows: list[dict[str, list[mpf]]]) -> mpf:
    return sft({"completion": rows})


# -- one function of DPO's difference ----------------------------------------------------------------------------------


def dpo_sigmoid(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: -1 / (1 + mp.exp(-x)))


def cdpo(b: Batch, beta: mpf, epsilon: mpf) -> mpf:
    return of_gap(b, beta, lambda x: (1 - epsilon) * logistic(x) + epsilon * logistic(-x))


def robust_dpo(b: Batch, beta: mpf, epsilon: mpf) -> mpf:
    return of_gap(b, beta, lambda x: ((1 - epsilon) * logistic(x) - epsilon * logistic(-x)) / (1 - 2 * epsilon))


def rso_hinge(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, hinge)


def gpo_exponential(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: mp.exp(-x))


def gpo_truncated_quadratic(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: max(mpf(0), 1 - x) ** 2)


def gpo_savage(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: 1 / (1 + mp.exp(x)) ** 2)


def cauchy_po(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: -mp.log(mp.atan(x) / mp.pi + mpf(1) / 2))


def exo_pair(b: Batch, beta: mpf, epsilon: mpf) -> mpf:
    def divergence(x: mpf) -> mpf:
        p = 1 / (1 + mp.exp(-x))
        q = 1 / (1 + mp.exp(x))
        return p * (-logistic(x) - mp.log(1 - epsilon)) + q * (-logistic(-x) - mp.log(epsilon))

    return of_gap(b, beta, divergence)


def focalpo(b: Batch, beta: mpf, gamma: mpf) -> mpf:
    return of_gap(b, beta, lambda x: (1 / (1 + mp.exp(-x))) ** gamma * logistic(x))


def dr_dpo(b: Batch, beta: mpf, beta_prime: mpf) -> mpf:
    return -beta_prime * mp.log(of_gap(b, beta, lambda x: mp.exp(-logistic(x) / beta_prime)))


step_dpo = tr_dpo = sdpo = spin = dpo  # what differs is the data or the reference


# -- what LLMs discovered ------------------------------------------------------------------------------------------------


def discopop_lrml(b: Batch, beta: mpf, tau: mpf) -> mpf:
    return of_gap(b, beta, lambda x: (1 - sigmoid(x / tau)) * logistic(x) + sigmoid(x / tau) * mp.exp(-x))


def discopop_cell(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: logistic(x) / 2 + mp.exp(-x) / 2)


def discopop_padll(b: Batch, beta: mpf) -> mpf:
    return of_gap(b, beta, lambda x: mpf("0.9") * (1 - mpf("0.5") * (1 if x < 0 else 0)) * logistic(x))


def over_batch(b: Batch, beta: mpf) -> list[mpf]:
    return [beta * (u(w) - u(y)) for w, y in pairs(b)]


def variance(values: list[mpf]) -> mpf:
    center = average(values)
    return mp.fsum((x - center) ** 2 for x in values) / (len(values) - 1)


def discopop_aql(b: Batch, beta: mpf, tau: mpf) -> mpf:
    quantile = mpf("0.5") + mpf("0.01") * (sigmoid(average(over_batch(b, beta)) / tau) - mpf("0.5"))

    def blend(x: mpf) -> mpf:
        q = sigmoid(-(x / tau - quantile))
        return q * logistic(x) + (1 - q) * hinge(x)

    return of_gap(b, beta, blend)


def discopop_dbaql(b: Batch, beta: mpf, tau: mpf) -> mpf:
    c = sigmoid(variance([x / tau for x in over_batch(b, beta)]))
    return of_gap(b, beta, lambda x: c * logistic(x / mpf("0.9")) + (1 - c) * mp.exp(-x * mpf("0.9")))


def discopop_aqfl(b: Batch, beta: mpf, tau: mpf) -> mpf:
    scaled = [x / tau for x in over_batch(b, beta)]
    first = mp.sqrt(variance(scaled)) * average(sigmoid(-x) for x in scaled)
    second = first + mpf("0.05") * (sigmoid(average(scaled)) - first)

    def blend(x: mpf) -> mpf:
        rate = sigmoid(mpf("0.1") * abs(x / tau - second))
        return rate * logistic(x) + (1 - rate) * hinge(x)

    return of_gap(b, beta, blend)


def discopop_pfl(b: Batch, beta: mpf) -> mpf:
    def focused(w: dict[str, list[mpf]], y: dict[str, list[mpf]]) -> mpf:
        x = beta * (u(w) - u(y))
        return logistic(x) / 2 if l(w) > l(y) else 2 * hinge(x)

    return average(focused(w, y) for w, y in pairs(b))


# -- margins, scores and lengths ---------------------------------------------------------------------------------------


def ln_dpo(b: Batch, beta: mpf) -> mpf:
    return average(logistic(beta / n(w) * u(w) - beta / n(y) * u(y)) for w, y in pairs(b))


def odpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    gaps = zip(pairs(b), b["columns"]["score_gap"], strict=True)
    return average(logistic(beta * u(w) - beta * u(y) - alpha * mp.log(s)) for (w, y), s in gaps)


def mmpo(b: Batch, beta: mpf, gamma: mpf) -> mpf:
    def one(x: mpf, s: mpf) -> mpf:
        p = 1 / (1 + mp.exp(-gamma * s))
        return p * logistic(x) + (1 - p) * logistic(-x)

    return average(one(x, s) for x, s in zip(over_batch(b, beta), b["columns"]["score_gap"], strict=True))


def reward_aware(b: Batch, beta: mpf, eta: mpf, distance: Callable[[mpf, mpf], mpf]) -> mpf:
    return average(distance(x, eta * s) for x, s in zip(over_batch(b, beta), b["columns"]["score_gap"], strict=True))


def coins(p: mpf, q: mpf) -> mpf:
    """KL between two coins whose log-odds are given."""
    return sigmoid(p) * (log_sigmoid(p) - log_sigmoid(q)) + sigmoid(-p) * (log_sigmoid(-p) - log_sigmoid(-q))


def reward_aware_sq(b: Batch, beta: mpf, eta: mpf) -> mpf:
    return reward_aware(b, beta, eta, lambda model, judge: (model - judge) ** 2)


def reward_aware_backward_kl(b: Batch, beta: mpf, eta: mpf) -> mpf:
    return reward_aware(b, beta, eta, lambda model, judge: coins(judge, model))


def reward_aware_forward_kl(b: Batch, beta: mpf, eta: mpf) -> mpf:
    return reward_aware(b, beta, eta, coins)


def rebel(b: Batch, eta: mpf) -> mpf:
    gaps = zip(pairs(b), b["columns"]["score_gap"], strict=True)
    return average(((u(w) - u(y)) / eta - s) ** 2 for (w, y), s in gaps)


def ld_dpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    def shortened(row: dict[str, list[mpf]], k: int) -> mpf:
        ratios = [p - q for p, q in zip(row["logp"], row["ref"], strict=True)]
        return mp.fsum(ratios[:k]) + alpha * mp.fsum(ratios[k:])

    def one(w: dict[str, list[mpf]], y: dict[str, list[mpf]]) -> mpf:
        k = min(len(w["logp"]), len(y["logp"]))
        return logistic(beta * shortened(w, k) - beta * shortened(y, k))

    return average(one(w, y) for w, y in pairs(b))


def sampo(b: Batch, beta: mpf) -> mpf:
    def sampled(row: dict[str, list[mpf]]) -> mpf:
        return mp.fsum(k * (p - q) for k, p, q in zip(row["kept"], row["logp"], row["ref"], strict=True))

    return average(logistic(beta * sampled(w) - beta * sampled(y)) for w, y in pairs(b))


# -- other rewards -------------------------------------------------------------------------------------------------------


def linked(b: Batch, beta: mpf, g: Callable[[mpf], mpf]) -> mpf:
    """DPO's loss with beta g(pi/ref) for the reward."""
    return average(logistic(beta * g(mp.exp(u(w))) - beta * g(mp.exp(u(y)))) for w, y in pairs(b))


def f_dpo_forward_kl(b: Batch, beta: mpf) -> mpf:
    return linked(b, beta, lambda r: -1 / r)


def f_dpo_js(b: Batch, beta: mpf) -> mpf:
    return linked(b, beta, lambda r: mp.log(2 * r / (1 + r)))


def f_dpo_alpha(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return linked(b, beta, lambda r: (1 - r**-alpha) / alpha)


def chi_po(b: Batch, beta: mpf, r_max: mpf) -> mpf:
    def phi(r: mpf) -> mpf:
        return r + mp.log(r)

    def one(x: mpf) -> mpf:
        return logistic(max(-2 * r_max, min(2 * r_max, x)))

    return average(one(beta * phi(mp.exp(u(w))) - beta * phi(mp.exp(u(y)))) for w, y in pairs(b))


def dpo_shift(b: Batch, beta: mpf, f: mpf) -> mpf:
    return average(logistic(beta * u(w) - f * beta * u(y)) for w, y in pairs(b))


def dpop(b: Batch, beta: mpf, lambda_pos: mpf) -> mpf:
    return average(logistic(beta * (u(w) - u(y) - lambda_pos * max(mpf(0), -u(w)))) for w, y in pairs(b))


def humanline_dpo(b: Batch, beta: mpf, log_eps_p: mpf, log_eps_r: mpf) -> mpf:
    def clipped(row: dict[str, list[mpf]]) -> mpf:
        return mp.fsum(min(max(p - q, log_eps_p), log_eps_r) for p, q in zip(row["logp"], row["ref"], strict=True))

    return average(logistic(beta * clipped(w) - beta * clipped(y)) for w, y in pairs(b))


# -- several terms ---------------------------------------------------------------------------------------------------------


def iterative_rpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return dpo(b, beta) - alpha * average(l(w) / n(w) for w in b["chosen"])


def rpo(b: Batch, beta: mpf, eta: mpf) -> mpf:
    return dpo(b, beta) - eta * beta * average(l(w) for w in b["chosen"])


def calibrated(b: Batch, beta: mpf, weight: mpf) -> mpf:
    target = 1 / (2 * beta)
    return average(logistic(u(w) - u(y)) + weight * ((u(w) - target) ** 2 + (u(y) + target) ** 2) for w, y in pairs(b))


def cal_dpo(b: Batch, beta: mpf) -> mpf:
    return calibrated(b, beta, mpf(1))


def cal_dpo_code(b: Batch, beta: mpf) -> mpf:
    return calibrated(b, beta, mpf(1) / 2)


def nca_pair(b: Batch, beta: mpf) -> mpf:
    return average(logistic(beta * u(w)) + logistic(-beta * u(w)) / 2 + logistic(-beta * u(y)) / 2 for w, y in pairs(b))


def bco_pair(b: Batch, beta: mpf) -> mpf:
    return average(logistic(beta * u(w)) + logistic(-beta * u(y)) for w, y in pairs(b))


def apo_zero(b: Batch, beta: mpf) -> mpf:
    return average(1 - sigmoid(beta * u(w)) + sigmoid(beta * u(y)) for w, y in pairs(b))


def apo_down(b: Batch, beta: mpf) -> mpf:
    return average(sigmoid(beta * u(w)) + 1 - sigmoid(beta * (u(w) - u(y))) for w, y in pairs(b))


def sppo_hard(b: Batch, eta: mpf) -> mpf:
    return average((u(w) - eta / 2) ** 2 + (u(y) + eta / 2) ** 2 for w, y in pairs(b))


def sppo(b: Batch, eta: mpf) -> mpf:
    def squared(row: dict[str, list[mpf]], p: mpf) -> mpf:
        return (u(row) - eta * (p - mpf(1) / 2)) ** 2

    wins = zip(pairs(b), b["columns"]["win_chosen"], b["columns"]["win_rejected"], strict=True)
    return average(squared(w, p) + squared(y, q) for (w, y), p, q in wins)


def kto_pair(b: Batch, beta: mpf) -> mpf:
    ups, downs = [beta * u(w) for w in b["chosen"]], [beta * u(y) for y in b["rejected"]]
    up, down = max(mpf(0), average(ups)), max(mpf(0), average(downs))
    return average([1 - sigmoid(r - down) for r in ups] + [1 - sigmoid(up - r) for r in downs])


# -- without a reference ---------------------------------------------------------------------------------------------------


def cpo_simpo(b: Batch, beta: mpf, gamma: mpf, alpha: mpf) -> mpf:
    return simpo(b, beta, gamma) + alpha * token_mean(b["chosen"])


def simper(b: Batch) -> mpf:
    return average(mp.exp(l(y) / n(y)) - mp.exp(l(w) / n(w)) for w, y in pairs(b))


def alphapo(b: Batch, beta: mpf, gamma: mpf, alpha: mpf) -> mpf:
    def reward(row: dict[str, list[mpf]]) -> mpf:
        return beta * (1 - mp.exp(l(row)) ** (-alpha / n(row))) / alpha

    return average(logistic(reward(w) - reward(y) - gamma) for w, y in pairs(b))


def reference_free(b: Batch, f: Callable[[mpf], mpf], mean: bool = False) -> mpf:
    return average(f(l(w) / n(w) - l(y) / n(y) if mean else l(w) - l(y)) for w, y in pairs(b))


def tpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return reference_free(b, lambda d: logistic(beta * d)) - alpha * average(l(row) for row in b["gold"])


def tpo_token_nll(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return reference_free(b, lambda d: logistic(beta * d)) + alpha * token_mean(b["gold"])


def tpo_l(b: Batch, beta: mpf, alpha: mpf, gamma: mpf) -> mpf:
    return reference_free(b, lambda d: logistic(beta * d - gamma), mean=True) + alpha * token_mean(b["gold"])


def tpo_hinge(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return reference_free(b, lambda d: hinge(beta * d)) + alpha * token_mean(b["gold"])


def tpo_ipo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return reference_free(b, lambda d: (d - 1 / (2 * beta)) ** 2, mean=True) + alpha * token_mean(b["gold"])


def cpo_hinge(b: Batch, beta: mpf, lambda_nll: mpf) -> mpf:
    return reference_free(b, lambda d: hinge(beta * d)) + lambda_nll * token_mean(b["chosen"])


def cpo_ipo(b: Batch, beta: mpf, lambda_nll: mpf) -> mpf:
    return reference_free(b, lambda d: (d - 1 / (2 * beta)) ** 2, mean=True) + lambda_nll * token_mean(b["chosen"])


def arpo(b: Batch, beta: mpf, lambda_nll: mpf, eta_1: mpf, eta_2: mpf) -> mpf:
    def one(w: dict[str, list[mpf]], y: dict[str, list[mpf]]) -> mpf:
        factor = min(eta_1 * mp.exp(eta_2 * abs(l(w) / n(w) - l(y) / n(y))) - 1, mpf(1))
        return logistic(beta * l(w) - factor * beta * l(y))

    return average(one(w, y) for w, y in pairs(b)) + lambda_nll * token_mean(b["chosen"])


# -- sorted over the batch -------------------------------------------------------------------------------------------------


def aot(b: Batch, beta: mpf) -> mpf:
    policy = sorted(l(w) - l(y) for w, y in pairs(b))
    start = sorted(mp.fsum(w["ref"]) - mp.fsum(y["ref"]) for w, y in pairs(b))
    return average(logistic(beta * (p - q)) for p, q in zip(policy, start, strict=True))


def aot_unpaired(b: Batch, beta: mpf) -> mpf:
    ranked = zip(sorted(map(u, b["chosen"])), sorted(map(u, b["rejected"])), strict=True)
    return average(logistic(beta * (w - y)) for w, y in ranked)


def mpo(b: Batch, beta: mpf, w_p: mpf, w_q: mpf, w_g: mpf, *, frozen: Batch) -> mpf:
    """BCO's running mean is, at the first step, that of the batch."""
    delta = average(beta * u(row) for role in ("chosen", "rejected") for row in frozen[role])
    quality = average(-log_sigmoid(beta * u(w) - delta) - log_sigmoid(delta - beta * u(y)) for w, y in pairs(b))
    return w_p * dpo(b, beta) + w_q * quality + w_g * sft({"completion": b["chosen"]})


def beta_dpo(b: Batch, beta: mpf, alpha: mpf, *, frozen: Batch) -> mpf:
    """At the first step the running mean, from 0, is a tenth of the batch's."""
    gap = average(u(w) - u(y) for w, y in pairs(frozen))
    moved = max(mpf("0.001"), beta * (1 + alpha * (gap - gap * (1 - mpf("0.9")))))
    return dpo(b, moved)


def alpha_dpo(b: Batch, beta: mpf, gamma: mpf, alpha: mpf, *, frozen: Batch) -> mpf:
    gaps = [u(w) / n(w) - u(y) / n(y) for w, y in pairs(frozen)]
    mean = average(gaps)
    std = mp.sqrt(mp.fsum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1)) * (1 - mpf("0.9"))
    margins = [beta * (gamma + alpha * (g - mean * (1 - mpf("0.9"))) / max(mpf("0.001"), std)) for g in gaps]
    return average(-log_sigmoid(beta * (l(w) / n(w) - l(y) / n(y)) - m) for (w, y), m in zip(pairs(b), margins, strict=True))


def seq_kl(row: Any) -> mpf:
    return mp.fsum(row["kl_ref_policy"])


def tdpo1(b: Batch, beta: mpf) -> mpf:
    return average(-log_sigmoid(beta * (u(w) - u(y)) - beta * (seq_kl(y) - seq_kl(w))) for w, y in pairs(b))


def tdpo2(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    return average(-log_sigmoid(beta * (u(w) - u(y)) - alpha * beta * (seq_kl(y) - seq_kl(w))) for w, y in pairs(b))


def tis_dpo(b: Batch, beta: mpf, alpha: mpf) -> mpf:
    def weighted(row: Any) -> tuple[mpf, mpf]:
        tokens = list(zip(row["importance"], row["logp"], row["ref"], row["kl_ref_policy"], strict=True))
        return mp.fsum(i * (p - q) for i, p, q, _ in tokens), mp.fsum(i * d for i, _, _, d in tokens)

    rows = [(weighted(w), weighted(y)) for w, y in pairs(b)]
    return average(-log_sigmoid(beta * (uw - uy) - alpha * beta * (dy - dw)) for (uw, dw), (uy, dy) in rows)


def confidence(row: Any) -> mpf:
    return average(p - q for p, q in zip(row["logp"], row["log_sum_sq_probs"], strict=True))


def wpo_unclamped(b: Batch, beta: mpf, *, frozen: Batch, most: mpf = mp.inf) -> mpf:
    weights = [min(most, mp.exp(confidence(w) + confidence(y))) for w, y in pairs(frozen)]
    return average(-weight * log_sigmoid(beta * (u(w) - u(y))) for (w, y), weight in zip(pairs(b), weights, strict=True))


def wpo(b: Batch, beta: mpf, *, frozen: Batch) -> mpf:
    return wpo_unclamped(b, beta, frozen=frozen, most=mpf(1))


def dispersion(w: Any, y: Any) -> mpf:
    """-log of the reference's entropy as a share of that of 50 equally likely tokens."""
    return -mp.log((average(w["ref_entropy"]) + average(y["ref_entropy"])) / (2 * mp.log(50)))


def mallows_po(b: Batch, beta: mpf) -> mpf:
    return average(-log_sigmoid(beta * dispersion(w, y) * (u(w) - u(y))) for w, y in pairs(b))


def rainbowpo(b: Batch, beta: mpf, alpha: mpf, gamma: mpf, lambda_nll: mpf) -> mpf:
    def p(row: Any) -> mpf:
        return mp.fsum(a - alpha * q for a, q in zip(row["logp"], row["ref"], strict=True)) / n(row)

    return average(
        -log_sigmoid(beta * dispersion(w, y) * (p(w) - p(y)) - (1 - alpha) * gamma) - lambda_nll * l(w) / n(w) for w, y in pairs(b)
    )
