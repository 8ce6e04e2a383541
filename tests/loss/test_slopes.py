"""Formulas with an infinite slope at an inner point: the compiled gradient is a number and the right one, or they are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from refusals import refused

import halo
from halo.errors import ObjectiveError
from halo.loss import words
from halo.loss.inputs import Completions, LossInputs
from halo.loss.slopes import limit


def objective(value: str) -> dict[str, Any]:
    parameters = {"beta": "none", "p": {"default": 0.5, "domain": "(0, 2)"}}
    if "**p" not in value:
        del parameters["p"]
    return {"name": "mine", "extends": "dpo", "normalizer": 1, "parameters": parameters, "value": value, "sign": 1}


def slope_of(loss: Any, z: float) -> float:
    """d loss / dz of one pair whose log-ratios differ by z."""

    def completion(logp: torch.Tensor) -> Completions:
        return Completions(token_logps=logp, mask=torch.ones(1, 1) > 0, ref_token_logps=torch.tensor([[-3.0]], dtype=torch.float64))

    chosen = torch.tensor([[-3.0 + z]], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([[-3.0]], dtype=torch.float64)
    loss(LossInputs({"chosen": completion(chosen), "rejected": completion(rejected)})).loss.backward()
    return chosen.grad.item()  # type: ignore[union-attr]


CUSPS = {  # the slope at -1, and at 0: of a cusp that between its sides
    "sqrt(abs(z))": (-0.5, 0), "abs(z)**0.5": (-0.5, 0), "abs(z)**(1/3)": (-1 / 3, 0), "abs(z)**p": (-0.5, 0), "sqrt(z**2)": (-1, 0),
    "(z**2)**0.25": (-0.5, 0), "sqrt(sqrt(abs(z)))": (-0.25, 0), "sqrt(relu(z))": (0, 0), "max(z, 0)**p": (0, 0),
    "sqrt(1 - exp(-abs(z)))": (-math.exp(-1) / 2 / math.sqrt(1 - math.exp(-1)), 0), "min(sqrt(abs(z)), 2)": (-0.5, 0),
    "where(z > 0, sqrt(z), 0)": (0, 0), "where(z > -2, sqrt(abs(z)), z)": (-0.5, 0), "log1p(sqrt(abs(z)))": (-0.25, 0),
}  # fmt: skip
SMOOTH = {  # infinite on the way, finite in all: the slope at -1, and at 0
    "sqrt(abs(z)) * z": (1.5, 0), "sqrt(abs(z))**3": (-1.5, 0), "sign(z) * abs(z)**1.1": (1.1, 0), "z + sign(z) * abs(z)**1.01": (2.01, 1),
    "sqrt(z**4)": (-2, 0), "abs(z)**1.5": (-1.5, 0), "abs(z)**p * z": (1.5, 0),
}  # fmt: skip


@pytest.mark.parametrize("value", [*CUSPS, *SMOOTH])
def test_a_gradient_is_a_number_and_the_right_one(value: str) -> None:
    loss = halo.compile_objective(objective(value))
    found = [slope_of(loss, z) for z in (-1, 0)]
    assert found == pytest.approx((CUSPS | SMOOTH)[value], abs=1e-12)


REFUSED = {
    "both sides go up": "sign(z) * sqrt(abs(z))",
    "a power": "sign(z) * abs(z)**(1/3)",
    "almost 1": "sign(z) * abs(z)**0.999",
    "a parameter": "sign(z) * abs(z)**p",
    "two branches": "where(z >= 0, sqrt(z), -sqrt(-z))",
    "inside another function": "sign(z) * log1p(sqrt(abs(z)))",
    "a logarithm": "where(z > 0, -z * log(where(z > 0, z, 1)), -z * log(where(z < 0, -z, 1)))",
    "two that make z": "abs(z)**0.5 * abs(z)**0.5 * sign(z)",
    "three that make z": "abs(z)**(1/3) * abs(z)**(2/3) * sign(z)",
    "kinks that cancel": "relu(z) - relu(-z)",
    "kinks that cancel, of two kinds": "2 * max(z, 0) - abs(z)",
    "a branch of no value": "where(abs(z) > 0.001, tanh(z) / z, 1)",
    "a logarithm of 0": "where(z > 1, log(z), z - 1)",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_gradient_at_the_start_is_refused_with_the_reason(case: str) -> None:
    with refused(ObjectiveError, "no-gradient", at="mine"):
        halo.compile_objective(objective(REFUSED[case]))


@pytest.mark.parametrize(
    "value",
    [
        "z + relu(z) - relu(z)",
        "abs(z) + relu(z)",
        "z / sqrt(abs(z) + 0.000001)",
        "where(abs(z) > 0.001, tanh(z) / where(abs(z) > 0.001, z, 1), 1)",
        "asinh(z)",
    ],
)
def test_what_the_refusals_propose_compiles(value: str) -> None:
    loss = halo.compile_objective(objective(value))
    assert math.isfinite(slope_of(loss, 0))


def test_powers_and_roots_keep_their_values_and_torchs_slopes() -> None:
    """Away from 0 they are torch's own; without a value they stay nan, for whoever looks at the loss."""
    x = torch.tensor([-2.0, -0.0, 0.0, 1e-300, 0.5, 3.0, math.inf, math.nan], dtype=torch.float64)
    for y in (0.5, 1 / 3, -0.5, 1.0, 1.5, 2.0):
        assert torch.equal(words.power(x, y).nan_to_num(nan=-7), (x**y).nan_to_num(nan=-7))
    assert torch.equal(words.sqrt(x).nan_to_num(nan=-7), torch.sqrt(x).nan_to_num(nan=-7))
    for y in (0.5, -0.5, 1.0, 2.0):
        at = torch.tensor([0.5, 3.0, 1e-8], dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda x, y=y: words.power(x, y), at.clone().requires_grad_(), eps=1e-12, atol=1e-3, rtol=1e-2)
    base = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    exponent = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    words.power(base, exponent).sum().backward()
    assert torch.equal(base.grad, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))  # type: ignore[arg-type]
    assert torch.equal(exponent.grad, torch.zeros(3, dtype=torch.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("power", [0.001, 0.1, 0.5, 1, 3])
def test_a_limit_is_found_from_three_slopes(end: float, power: float) -> None:
    steps = [10.0 ** (-n * power) for n in (1, 2, 3)]
    assert limit(*(end + step for step in steps)) == pytest.approx(end, abs=1e-9)
    assert limit(*(end + 1 / step for step in steps)) is None
    assert limit(*(end + math.log(step) for step in steps)) is None
