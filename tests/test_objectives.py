"""Every shipped objective against its paper's formula in 300 digits: value and gradient, ordinary and extreme batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import oracle
import pytest
import torch
from batches import EXTRA, Both, batch
from mpmath import mp, mpf

import halo
from halo.loss.function import LossFunction
from halo.plugin.objectives import find_objective

NAMES = find_objective.names()

KINDS = ("random", "far_up", "far_down", "long", "sure", "impossible")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
F32, BOTH = (torch.float32,), (torch.float32, torch.float64)
SAMPLED_RATIO = ("grpo", "grpo_trl", "dr_grpo", "dr_grpo_trl", "dapo", "dapo_trl", "gspo", "gspo_trl", "reinforce_pp")
LEFT_OUT = (  # batches at which a formula, as the paper writes it, has no value in the type; with the reason
    (("chi_po",), ("far_up", "far_down"), F32, "exp(500) itself is in the reward"),
    (("f_dpo_forward_kl", "f_dpo_alpha"), ("impossible",), BOTH, "the rewards are exp(5000) and more: infinity - infinity"),
    (("f_dpo_forward_kl", "f_dpo_alpha", "alphapo"), ("far_up", "far_down"), F32, "the rewards are exp(125) to exp(500)"),
    (("f_dpo_forward_kl",), ("far_down",), BOTH, "beside a loss of exp(500) the gradient exp(-500) needs more than the oracle's digits"),
    (("grpo_offline",), ("far_up", "far_down"), F32, "the ratio of one token is exp(500)"),
    (SAMPLED_RATIO, ("far_up", "far_down"), F32, "the ratio of one token, or of an answer of one, is exp(375)"),
    (("alpha_dpo",), ("impossible",), F32, "the spread of the batch is a difference of two gaps of ten thousand"),
)
LARGEST_TERM: dict[str, Callable[[Any], mpf]] = {
    **dict.fromkeys(("ipo", "ipo_mean"), lambda p: 1 / p["tau"]),
    **dict.fromkeys(("cpo_ipo", "tpo_ipo", "cal_dpo", "cal_dpo_code"), lambda p: 1 / p["beta"]),
    "sppo_hard": lambda p: p["eta"],
    **dict.fromkeys(("dpo_pl", "info_nca", "nca_k"), lambda p: p["beta"]),
    "exo_k": lambda p: p["beta"] * 3 / p["beta_r"],
    "opo": lambda p: p["beta"] / p["tau"],
    "grpo_offline": lambda p: p["lambda_kl"],
}
"""Losses whose gradient is a difference: its largest term in one example. (h - target)**2 has 2 target, Plackett-Luce beta, a
log-probability of scores that differ by up to 3 that over their temperature."""
STEP = mpf(10) ** -80  # of the central difference; its own error is about 1e-160


def test_every_objective_has_an_oracle() -> None:
    assert len(NAMES) >= 16
    assert [name for name in NAMES if not hasattr(oracle, name)] == []


@dataclass(frozen=True)
class Exact:
    """A loss in 450 digits, and its derivative by the first and the last token of every row of every role that has one."""

    value: mpf
    derivatives: dict[str, list[dict[int, mpf]]]


@lru_cache(maxsize=1)  # both types follow one another: they share the numbers wherever they share the batch
def exact_answer(name: str, kind: str, grid: torch.dtype) -> Exact:
    loss = halo.compile_objective(name, validate=False)  # tests/loss/test_validation.py does that, for all of them
    both = batch_of(loss, kind, torch.float64, grid)
    formula = oracle.bound(getattr(oracle, name), both.exact, parameters_of(loss))
    by_role = {}
    for role in loss.needs.gradient:
        rows = both.exact[role] if role in both.exact else [row for rows in both.exact["lists"] for row in rows]
        by_role[role] = [{at: derivative(both, row, at, formula) for at in {0, len(row["logp"]) - 1}} for row in rows]
    return Exact(formula(both.exact), by_role)


def batch_of(loss: LossFunction, kind: str, dtype: torch.dtype, grid: torch.dtype) -> Both:
    extra = tuple(slot for slot in loss.needs.slots if slot in EXTRA)
    columns = loss.compiled.objective.declaration.columns
    return batch(loss.feedback, kind, dtype, seed=1, extra=extra, columns=columns, words=loss.needs.words, grid=grid)


def parameters_of(loss: LossFunction) -> dict[str, mpf]:
    return {key: mpf(value) for key, value in loss.objective_parameters.items()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name: str, kind: str, dtype: torch.dtype) -> None:
    for names, kinds, dtypes, reason in LEFT_OUT:
        if name in names and kind in kinds and dtype in dtypes:
            pytest.skip(reason)
    loss = halo.compile_objective(name, validate=False)  # tests/loss/test_validation.py does that, for all of them
    grid = dtype if kind == "random" else torch.float32  # what is extreme need not have all its digits
    both, true = batch_of(loss, kind, dtype, grid), exact_answer(name, kind, grid)
    loss.update_statistics(both.inputs)
    output = loss(both.inputs)
    largest = max([abs(true.value), *(mpf(float(items.detach().abs().max())) for items in output.items.values()), 1])
    assert close(output.loss.item(), true.value, largest, dtype), (output.loss.item(), float(true.value))
    output.loss.backward()
    factor = cancellation(output.rewards)
    largest_term = LARGEST_TERM.get(name, lambda _: mpf(0))(parameters_of(loss)) / both.inputs.examples
    assert loss.needs.gradient
    for role in loss.needs.gradient:
        _check_gradient(both, role, true.derivatives[role], largest_term, dtype, factor)


def _check_gradient(both: Both, role: str, rows: list[dict[int, mpf]], largest_term: mpf, dtype: torch.dtype, factor: mpf) -> None:
    """Compares the gradient in the first and the last token of every row of a role.

    A gradient is as exact as the largest term it is a difference of.
    """
    gradient = both.leaves[role].grad
    assert gradient is not None
    flat = gradient.reshape(-1, gradient.shape[-1])
    assert len(flat) == len(rows) > 0
    for index, derivatives in enumerate(rows):
        assert flat[index, max(derivatives) + 1 :].abs().max() == 0  # padding
        for position, true in derivatives.items():
            got = flat[index, position].item()
            scale = max(abs(true) * factor * of_exponent(true, dtype), largest_term)
            assert close(got, true, scale, dtype), (role, index, position, got, mp.nstr(true, 15))


def of_exponent(gradient: mpf, dtype: torch.dtype) -> mpf:
    """How much more than the tolerance an exponential may be off: exp(z) has |z| times the relative error of z, say eight roundings."""
    if gradient == 0:
        return mpf(1)
    return max(mpf(1), 8 * torch.finfo(dtype).eps / 2 * abs(mp.log(abs(gradient))) / TOLERANCE[dtype])


def derivative(both: Both, row: dict[str, Any], position: int, formula: Any) -> mpf:
    """Central difference; a detached quantity reads other rows only or is held (`oracle.bound`), so it stays what it is."""
    value = row["logp"][position]
    row["logp"][position] = value + STEP
    above = formula(both.exact)
    row["logp"][position] = value - STEP
    below = formula(both.exact)
    row["logp"][position] = value
    return (above - below) / (2 * STEP)


def cancellation(rewards: dict[str, Any]) -> mpf:
    """How much larger the two rewards of a pair are than their difference, at worst: that many digits z has lost.

    Of a list it is the largest reward, the condition of its exponential.
    """
    if "chosen" not in rewards:
        lists = [r.detach().abs().max().item() for r in rewards.values() if r.dim() > 1]
        return mpf(max([1.0, *lists]))
    chosen, rejected = (rewards[role].detach().double() for role in ("chosen", "rejected"))
    return mpf(float(((chosen.abs() + rejected.abs()) / (chosen - rejected).abs().clamp(min=1e-30)).nan_to_num(1.0).max().clamp(min=1)))


def close(got: float, true: mpf, scale: mpf, dtype: torch.dtype) -> bool:
    """Relative to `scale`, wherever the true number is a normal number of the type (or zero is meant)."""
    tiny, huge = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    if abs(true) > huge:
        return True
    if got != got or abs(got) == float("inf"):
        return False
    return abs(mpf(got) - true) <= TOLERANCE[dtype] * scale + tiny
