"""Every shipped objective against its paper's formula in 300 digits: value and gradient, ordinary and extreme batches."""

from __future__ import annotations

from typing import Any

import oracle
import pytest
import torch
from batches import Both, batch
from mpmath import mp, mpf

import halo
from halo.plugin.objectives import find_objective

NAMES = find_objective.names()
KINDS = ("random", "far_up", "far_down", "long", "sure", "impossible")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
STEP = mpf(10) ** -80  # of the central difference; its own error is about 1e-160


def test_every_objective_has_an_oracle() -> None:
    assert len(NAMES) >= 16
    assert [name for name in NAMES if not hasattr(oracle, name)] == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient(name: str, kind: str, dtype: torch.dtype) -> None:
    loss = halo.compile_objective(name)
    extra = tuple(slot for slot in loss.needs.slots if slot in ("prompt", "gold"))
    both = batch(loss.feedback, kind, dtype, seed=1, extra=extra)
    formula = getattr(oracle, name)
    parameters = {key: mpf(value) for key, value in loss.parameters_used.items()}
    output = loss(both.inputs)
    true = formula(both.exact, **parameters)
    largest = max([abs(true), *(mpf(float(items.detach().abs().max())) for items in output.items.values()), 1])
    assert close(output.loss.item(), true, largest, dtype), (output.loss.item(), float(true))
    output.loss.backward()
    factor = cancellation(output.rewards)
    checked = sum(_check_gradient(both, role, formula, parameters, dtype, factor) for role in loss.needs.gradient)
    assert checked > 0


def _check_gradient(both: Both, role: str, formula: Any, parameters: dict[str, mpf], dtype: torch.dtype, factor: mpf) -> int:
    """Compares the gradient in the first and the last token of every row of a role; returns how many were compared."""
    gradient = both.leaves[role].grad
    assert gradient is not None
    flat = gradient.reshape(-1, gradient.shape[-1])
    rows = both.exact[role] if role in both.exact else [row for rows in both.exact["lists"] for row in rows]
    for index, row in enumerate(rows):
        assert flat[index, len(row["logp"]) :].abs().max() == 0  # padding
        for position in {0, len(row["logp"]) - 1}:
            true = derivative(both, row, position, formula, parameters)
            got = flat[index, position].item()
            scale = max(abs(true) * factor, cancelling(both, formula, parameters))
            assert close(got, true, scale, dtype), (role, index, position, got, mp.nstr(true, 15))
    return len(rows)


def derivative(both: Both, row: dict[str, list[mpf]], position: int, formula: Any, parameters: dict[str, mpf]) -> mpf:
    """Central difference; the detached reference point reads other rows only, so it stays what it is."""
    value = row["logp"][position]
    row["logp"][position] = value + STEP
    above = formula(both.exact, **parameters)
    row["logp"][position] = value - STEP
    below = formula(both.exact, **parameters)
    row["logp"][position] = value
    return (above - below) / (2 * STEP)


def cancellation(rewards: dict[str, Any]) -> mpf:
    """How much larger the two rewards of a pair are than their difference, at worst: that many digits z has lost."""
    if "chosen" not in rewards:
        return mpf(1)
    chosen, rejected = rewards["chosen"].double(), rewards["rejected"].double()
    return mpf(float(((chosen.abs() + rejected.abs()) / (chosen - rejected).abs().clamp(min=1e-30)).max().clamp(min=1)))


def cancelling(both: Both, formula: Any, parameters: dict[str, mpf]) -> mpf:
    """The largest term of a gradient that is a difference of terms: IPO's 2 (h - 1/(2 tau)) / B."""
    return 1 / parameters["tau"] / len(both.exact["chosen"]) if "tau" in parameters else mpf(0)


def close(got: float, true: mpf, scale: mpf, dtype: torch.dtype) -> bool:
    """Relative to `scale`, wherever the true number is a normal number of the type (or zero is meant)."""
    tiny, huge = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    if abs(true) > huge:
        return True
    if got != got or abs(got) == float("inf"):
        return False
    return abs(mpf(got) - true) <= TOLERANCE[dtype] * scale + tiny
