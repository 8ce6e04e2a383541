"""The objectives of this package keep halo's contract, and the loss is the formula that it says."""

from __future__ import annotations

import pytest
import torch
from my_objectives.hooks import FOLDER

import halo
from halo.testing import check_objectives, train_steps


def test_they_keep_the_contract() -> None:
    check_objectives(FOLDER)


def test_the_loss_is_the_formula() -> None:
    """Log-ratios of 3 and -1 and beta = 0.5: h = 0.5 * (3 + 1) = 2, and the loss -2 / (1 + 2)."""
    mask, zero = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2)
    chosen = halo.Completions(token_logps=zero + 1.5, mask=mask, ref_token_logps=zero)
    rejected = halo.Completions(token_logps=zero - 0.5, mask=mask, ref_token_logps=zero)
    loss = halo.compile_objective(FOLDER / "my_objectives.yaml", {"beta": 0.5})
    assert loss(halo.LossInputs({"chosen": chosen, "rejected": rejected})).loss.item() == pytest.approx(-2 / 3)


def test_it_trains_by_its_name() -> None:
    assert train_steps("my_objectives").steps[0]["loss"] == pytest.approx(0, abs=1e-6)
