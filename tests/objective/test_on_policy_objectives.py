"""Group advantages and sampled ratios: groups of any size against the papers' formulas, and identities between them.

TRL's own code is run in tests/interop/test_trl_group_losses.py.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import oracle
import pytest
import torch
from mpmath import mp, mpf
from sampled_groups import drawn, rows_of
from tolerances import RUN
from torch import Tensor

import halo
from halo.loss.function import LossFunction

NAMES = (
    "grpo", "grpo_trl", "dr_grpo", "dr_grpo_trl", "dapo", "dapo_trl", "gspo", "gspo_trl", "cispo", "cispo_trl", "rloo", "rloo_trl",
    "reinforce_pp", "psipo_online", "psipo_online_logit",
)  # fmt: skip
CLIPPED = {"epsilon": 0.2, "epsilon_high": 0.3}
"""GSPO's own ends, a thousandth of these, would leave every ratio of a random batch outside."""
PARAMETERS: dict[str, dict[str, float]] = {
    **dict.fromkeys(("gspo", "gspo_trl"), CLIPPED),
    "cispo": {"epsilon_high": 0.3},
    "cispo_trl": {"epsilon_high": 1.3},
    "psipo_online_logit": {"limit": 1.0},
}
DIGITS, STEP = 40, mpf(10) ** -15
"""A central difference in 40 digits is off by the square of its step."""


def compiled(name: str, **parameters: float) -> LossFunction:
    """At parameters at which every part of it acts. tests/loss/test_validation.py validates."""
    return halo.compile_objective(name, {**PARAMETERS.get(name, {}), **parameters}, validate=False)


# -- the papers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_the_papers(name: str, seed: int) -> None:
    loss, batch, rng = compiled(name), drawn(seed), random.Random(seed)
    value, gradient = batch.gradient(loss)
    with mp.workdps(DIGITS):
        exact = batch.exact
        formula = oracle.bound(getattr(oracle, name), exact, {key: mpf(x) for key, x in loss.objective_parameters.items()})
        assert abs(value - formula(exact)) <= RUN * max(1, abs(value))
        for i, group in enumerate(exact["lists"]):
            for k in rng.sample(range(len(group)), 2):
                t = rng.randrange(len(group[k]["logp"]))
                assert abs(gradient[i][k][t] - slope(formula, exact, group[k]["logp"], t)) <= RUN, (i, k, t)


def slope(formula: Callable[[Any], mpf], batch: Any, row: list[mpf], t: int) -> mpf:
    middle = row[t]
    row[t] = middle + STEP
    above = formula(batch)
    row[t] = middle - STEP
    below = formula(batch)
    row[t] = middle
    return (above - below) / (2 * STEP)


WITHOUT_DIVERGENCE = {
    **{name: {"beta": 0} for name in ("grpo", "grpo_trl", "rloo", "rloo_trl", "reinforce_pp")},
    **{name: {"tau": 0} for name in ("psipo_online", "psipo_online_logit")},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("score", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_have_no_gradient_at_all(name: str, score: float, dtype: torch.dtype) -> None:
    """Exactly none, although a mean of equal numbers may differ from them by a rounding, which a standard deviation would make large."""
    loss = compiled(name, **WITHOUT_DIVERGENCE.get(name, {}))
    batch = drawn(5, sizes=[3, 7, 6, 1], score=lambda rng: score)
    inputs, _ = batch.inputs()
    found = inputs.completions["completion"]
    leaf = found.token_logps.detach().to(dtype).requires_grad_()
    old, ref = found.old_token_logps, found.ref_token_logps
    assert old is not None
    assert ref is not None
    columns = {"score": torch.full_like(found.columns["score"], score, dtype=dtype)}
    logps = {"token_logps": leaf, "old_token_logps": old.to(dtype), "ref_token_logps": ref.to(dtype)}
    same = halo.Completions(mask=found.mask, columns=columns, **logps)
    loss(replace(inputs, completions={"completion": same})).loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().max().item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_where_policy_and_sampler_are_one_it_is_reinforce(name: str) -> None:
    """The gradient of a token is -A / n: A the group's advantage, n what the reduction divides by."""
    batch = drawn(3)
    batch.old = batch.logp
    batch.ref = batch.logp  # k2 and k3 have no slope there, and RLOO's rewards are the scores
    _, gradient = batch.gradient(compiled(name))
    groups = len(batch.scores)
    tokens = [[len(row) for row in group] for group in batch.logp]
    all_tokens = sum(map(sum, tokens))
    pooled = [s - sum(own) / len(own) for own in batch.scores for s in own]
    for i, own in enumerate(batch.scores):
        for k, length in enumerate(tokens[i]):
            divisor = {
                "grpo": groups * len(own) * length, "gspo": groups * len(own) * length, "dr_grpo_trl": groups * len(own) * 512,
                "dapo": groups * sum(tokens[i]), "cispo": groups * sum(tokens[i]), "dapo_trl": all_tokens, "cispo_trl": all_tokens,
                "reinforce_pp": all_tokens,
            }  # fmt: skip
            divided = divisor.get(name, divisor.get(name.removesuffix("_trl"), groups * len(own)))
            expected = -plain_advantage(name, own, k, pooled) / divided
            assert gradient[i][k] == pytest.approx([expected] * length, rel=1e-9, abs=1e-12), (i, k)


def plain_advantage(name: str, own: list[float], k: int, pooled: list[float]) -> float:
    """By hand, in floats: of answer k of a group with these scores."""
    mean, others = sum(own) / len(own), [s for j, s in enumerate(own) if j != k]
    std = math.sqrt(sum((s - mean) ** 2 for s in own) / (len(own) - 1))
    if name.startswith("dr_grpo"):
        return own[k] - mean
    if name.startswith("rloo"):
        return own[k] - sum(others) / len(others)
    if name == "reinforce_pp":
        middle = sum(pooled) / len(pooled)
        return (own[k] - mean - middle) / math.sqrt(sum((a - middle) ** 2 for a in pooled) / (len(pooled) - 1))
    if name.startswith("psipo"):
        logit = [min(max(own[k] - s, -1), 1) for s in others]
        liked = logit if name.endswith("logit") else [1 / (1 + math.exp(s - own[k])) - 0.5 for s in others]  # 0 and 1/2: a prompt's mean
        return sum(liked) / len(others)
    if len(set(own)) == 1:
        return 0.0
    return (own[k] - mean) / (std + (1e-4 if name.endswith("_trl") else 0))


@pytest.mark.parametrize(("paper", "code"), [("grpo", "grpo_trl"), ("dapo", "dapo_trl"), ("gspo", "gspo_trl"), ("dr_grpo", "dr_grpo_trl")])
def test_two_readings_under_two_names_differ(paper: str, code: str) -> None:
    batch = drawn(1)
    one, other = (batch.gradient(compiled(name))[1] for name in (paper, code))
    assert abs(one[0][0][0] - other[0][0][0]) > 1e-6


# -- identities ---------------------------------------------------------------------------------------------------------------


def test_dr_grpo_times_g_over_g_minus_one_is_rloo() -> None:
    """Where policy and sampler are one and the divergence is left out. 2503.20783, appendix A."""
    for size in (2, 3, 8):
        batch = drawn(size, sizes=[size, size, size])
        batch.old = batch.logp
        ours, theirs = (batch.gradient(compiled(*name))[1] for name in (("dr_grpo",), ("rloo",)))
        without = batch.gradient(halo.compile_objective("rloo", {"beta": 0}, validate=False))[1]
        for a, b in zip(rows_of(ours), rows_of(without), strict=True):
            assert [size / (size - 1) * x for x in a] == pytest.approx(b, rel=1e-9, abs=RUN)
        assert rows_of(theirs) != rows_of(without)


def test_psipo_with_the_logit_is_rloo() -> None:
    """Proposition 1 of 2310.12036: with Bradley-Terry preferences Psi = log(p/(1 - p)) is the objective of RLHF."""
    batch = drawn(4)
    logit = batch.gradient(halo.compile_objective("psipo_online_logit", {"tau": 0.05}, validate=False))
    assert logit[0] == pytest.approx(batch.gradient(compiled("rloo", beta=0.05))[0], rel=1e-9)
    for a, b in zip(rows_of(logit[1]), rows_of(batch.gradient(compiled("rloo", beta=0.05))[1]), strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=RUN)


SQUARE = "name: mine\nextends: psipo_online\nlet: {psi: p**2}\n"
ROOT = "name: mine\nextends: psipo_online\nlet: {psi: sqrt(p)}\n"
STEPS = "name: mine\nextends: psipo_online\nlet: {psi: 'where(p < 0.5, 0, 1)'}\n"
DECIDED = "name: mine\nextends: psipo_online\nlet: {p: 'where(others.score < score, 1, where(score < others.score, 0, 1/2))'}\n"


def decided(own: mpf, other: mpf) -> mpf:
    return mpf((own > other) + (own >= other)) / 2


ANY_PSI: dict[str, tuple[Callable[[mpf], mpf], Callable[[mpf, mpf], mpf]]] = {
    SQUARE: (lambda p: p**2, oracle.bradley_terry),
    ROOT: (lambda p: mp.sqrt(p), oracle.bradley_terry),
    STEPS: (lambda p: mpf(p >= 0.5), oracle.bradley_terry),
    DECIDED: (lambda p: p, decided),
}


@pytest.mark.parametrize("text", ANY_PSI, ids=lambda text: text[text.index("let") : -1])
def test_any_psi_is_a_file_of_three_lines(text: str) -> None:
    psi, preference = ANY_PSI[text]
    batch = drawn(8)
    value, _ = batch.gradient(halo.compile_objective(text))
    with mp.workdps(DIGITS):
        assert value == pytest.approx(float(oracle.psipo(batch.exact, mpf(0.1), psi, preference)), rel=1e-9)


def test_a_ratio_of_an_answer_is_one_number_for_all_its_tokens() -> None:
    """GSPO: tokens that move against each other leave the ratio, and the loss, where they were."""
    batch = drawn(9)
    moved = replace(batch, logp=[[[row[0] + 0.3, *row[1:-1], row[-1] - 0.3] if len(row) > 1 else row for row in g] for g in batch.logp])
    assert moved.gradient(compiled("gspo"))[0] == pytest.approx(batch.gradient(compiled("gspo"))[0], rel=1e-9)
    assert moved.gradient(compiled("grpo"))[0] != pytest.approx(batch.gradient(compiled("grpo"))[0], rel=1e-3)


def test_the_weight_of_cispo_is_detached_and_keeps_every_token() -> None:
    """The gradient of a token is -min(rho, cap) A / n; GRPO's is 0 where the clip acts."""
    batch = drawn(10)
    _, gradient = batch.gradient(compiled("cispo"))
    for i, own in enumerate(batch.scores):
        n = sum(map(len, batch.logp[i])) * len(batch.scores)
        for k, row in enumerate(batch.logp[i]):
            ratios = [math.exp(new - old) for new, old in zip(row, batch.old[i][k], strict=True)]
            a = plain_advantage("cispo", own, k, [])
            assert gradient[i][k] == pytest.approx([-min(rho, 1.3) * a / n for rho in ratios], rel=1e-9, abs=RUN)


# -- what is maximised ----------------------------------------------------------------------------------------------------------

ANSWERS, SIZE = 3, 3
SCORES = torch.tensor([0.2, 1.0, -0.7], dtype=torch.float64)


def expected_gradient(loss: LossFunction) -> Tensor:
    """By the logits of a policy of three answers of one token, over all groups that it may sample, each weighed by how likely it is."""
    logits = torch.tensor([0.3, -0.5, 0.1], dtype=torch.float64, requires_grad=True)
    logp = torch.log_softmax(logits, -1)
    ref = torch.log_softmax(torch.tensor([-0.2, 0.4, 0.0], dtype=torch.float64), -1)
    groups = torch.tensor([*itertools.product(range(ANSWERS), repeat=SIZE)])
    score = SCORES[groups]
    completion = halo.Completions(
        token_logps=logp[groups][..., None],
        mask=torch.ones(*groups.shape, 1, dtype=torch.bool),
        ref_token_logps=ref[groups][..., None],
        old_token_logps=logp.detach()[groups][..., None],
        columns={"score": score},
    )
    ranks = 1 + (score[:, None, :] > score[:, :, None]).sum(-1)
    inputs = halo.LossInputs({"completion": completion}, ranks=ranks, weights=logp.detach()[groups].sum(-1).exp())
    return torch.autograd.grad(loss(inputs).loss, logits)[0]


def true_gradient(gain: Callable[[Tensor], Tensor], tau: float) -> Tensor:
    """Of E[gain(y)] - tau KL(pi || ref), `gain` of the probabilities with which the other answer is drawn, which are held fixed."""
    logits = torch.tensor([0.3, -0.5, 0.1], dtype=torch.float64, requires_grad=True)
    logp = torch.log_softmax(logits, -1)
    ref = torch.log_softmax(torch.tensor([-0.2, 0.4, 0.0], dtype=torch.float64), -1)
    value = (logp.exp() * gain(logp.detach().exp())).sum() - tau * (logp.exp() * (logp - ref)).sum()
    return torch.autograd.grad(value, logits)[0]


def preferred(psi: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """E over the other answer of Psi(p)."""
    return lambda drawn_with: psi(torch.sigmoid(SCORES[:, None] - SCORES[None, :])) @ drawn_with


def square_with_its_bias(p: Tensor) -> Tensor:
    """What the file says of a Psi whose values at p and 1 - p do not add up to a constant."""
    return (1 - 1 / SIZE) * p**2 - (1 - p) ** 2 / SIZE


MAXIMISED: dict[str, tuple[dict[str, float], Callable[[Tensor], Tensor], float, float]] = {
    "rloo": ({"beta": 0.3}, lambda _: SCORES, 0.3, 1),
    "rloo_trl": ({"beta": 0.3}, lambda _: SCORES, 0.3, 1),
    "dr_grpo": ({}, lambda _: SCORES, 0, 1 - 1 / SIZE),
    "psipo_online": ({"tau": 0.3}, preferred(lambda p: p), 0.3, 1),
    "psipo_online_logit": ({"tau": 0.3}, preferred(lambda p: torch.logit(p).clip(-10, 10)), 0.3, 1),
    SQUARE: ({"tau": 0.3}, preferred(square_with_its_bias), 0.3, 1),
}


@pytest.mark.parametrize("source", MAXIMISED, ids=lambda text: text.replace("\n", " "))
def test_over_all_groups_the_gradient_is_that_of_what_is_maximised(source: str) -> None:
    """RLOO's has no bias, Dr. GRPO's is short of it by 1/G; PsiPO's has none where Psi(p) + Psi(1 - p) is constant, else the one that is said."""
    parameters, gain, tau, factor = MAXIMISED[source]
    found = -expected_gradient(halo.compile_objective(source, parameters, validate=False))
    expected = factor * true_gradient(gain, tau)
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-9, abs=RUN)
