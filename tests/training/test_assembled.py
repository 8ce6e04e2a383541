"""A run is assembled once and frozen; what is carried from step to step, a feed's state included, stands in a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import assembled

from halo.data.tokenized import TokenizedExample
from halo.training.run.loop import train
from halo.training.run.run import Run


class Wandering:
    """A feed that is no table: where it goes next depends on where it has been, as that of an online run does."""

    total, per_epoch = 6, 0

    def __init__(self, examples: list[TokenizedExample]) -> None:
        self.examples, self.at = examples, 1

    def epoch(self, step: int) -> float:
        return 0.0

    def batch(self, step: int) -> list[TokenizedExample]:
        self.at = (5 * self.at + step) % len(self.examples)
        return [self.examples[(self.at + i) % len(self.examples)] for i in range(4)]

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


def wandering(run: Run) -> Run:
    return dataclasses.replace(run, feed=Wandering(run.data.train))


def test_a_feeds_state_is_saved_and_restored_to_the_bit(tmp_path: Path) -> None:
    whole = wandering(assembled(tmp_path, output_dir=str(tmp_path / "whole"), save_steps=3))
    result = train(whole)
    resumed = wandering(assembled(tmp_path, output_dir=str(tmp_path / "on"), resume_from_checkpoint=str(tmp_path / "whole/checkpoint-3")))
    again = train(resumed)
    assert [step["loss"] for step in result.history[3:]] == [step["loss"] for step in again.history]
    other = resumed.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.model.state_dict().items())


@pytest.mark.parametrize("ahead", [False, True])
def test_a_run_is_frozen_and_its_reference_is_there_before_its_step(ahead: bool, tmp_path: Path) -> None:
    run = assembled(tmp_path, precompute_ref_log_probs=ahead)
    assert run.step.reference is run.reference
    assert (run.reference is None) == ahead  # scored ahead, and then gone
    assert all((example.ref_logps is not None) == ahead for example in run.feed.batch(0))
    assert run.step.world is run.placement
    for name in ("feed", "reference", "settings"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(run, name, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_a_reference_gave_ahead_has_the_type_of_the_run(dtype: str, tmp_path: Path) -> None:
    """Bit for bit what it gives beside the policy, where rows are scored in the same groups."""
    whole, ahead = (assembled(tmp_path, dtype=dtype, max_steps=8, precompute_ref_log_probs=is_ahead) for is_ahead in (False, True))
    found, kept = (run.step.referenced(run.data.train[:4])["chosen"]["logp"] for run in (whole, ahead))
    assert found.dtype == kept.dtype == getattr(torch, dtype)
    assert torch.equal(found, kept)
