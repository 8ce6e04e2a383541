"""TRL's own losses of sampled groups, run as they are on the same tensors: `_compute_loss` of GRPOTrainer and RLOOTrainer (TRL 1.16)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sampled_groups import Groups, drawn
from tolerances import RUN
from torch import Tensor

import halo

pytest.importorskip("trl")

from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

LONGEST = 512
TRL: dict[str, dict[str, Any]] = {
    "grpo_trl": {"loss_type": "grpo", "beta": 0.04},
    "dr_grpo_trl": {"loss_type": "dr_grpo"},
    "dapo_trl": {"loss_type": "dapo", "epsilon_high": 0.28},
    "gspo_trl": {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon_high": 0.3},
    "cispo_trl": {"loss_type": "cispo", "epsilon_high": 1.3},
}
OURS: dict[str, dict[str, float]] = {
    "gspo_trl": {"epsilon": 0.2, "epsilon_high": 0.3},  # the paper's ends would leave every ratio of a random batch outside
    "cispo_trl": {"epsilon_high": 1.3},
}
"""Where TRL is not given our defaults."""


class Alone:
    """An accelerator of one process."""

    num_processes, process_index, is_main_process, sync_gradients = 1, 0, True, True

    def gather(self, x: Tensor) -> Tensor:
        return x

    def reduce(self, x: Tensor, reduction: str = "sum") -> Tensor:
        return x


class Metrics(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        self[key] = Metrics() if key in ("train", "eval") else []
        return self[key]


def trainer(kind: type, logp: Tensor, **settings: Any) -> Any:
    """A TRL trainer of nothing but the settings that its loss reads, whose model gives these log-probs."""
    found: Any = object.__new__(kind)
    plain = {
        "accelerator": Alone(), "model": SimpleNamespace(training=True), "_metrics": Metrics(), "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None, "importance_sampling_level": "token", "use_vllm": False,
        "vllm_importance_sampling_correction": False, "beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2, "max_completion_length": LONGEST,
        "current_gradient_accumulation_steps": 1, "_entropy_bonus_enabled": False, "use_adaptive_entropy": False,
        "args": SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logp, torch.zeros_like(logp), None),
    }  # fmt: skip
    for name, value in {**plain, **settings}.items():
        object.__setattr__(found, name, value)
    return found


def flat(batch: Groups, advantages: list[list[float]]) -> tuple[Tensor, dict[str, Tensor]]:
    """The answers one below the other, as TRL's loss takes them."""
    inputs, _ = batch.inputs()
    found = inputs.completions["completion"]
    there = found.mask.any(-1)
    old_logps, ref_logps = found.old_token_logps, found.ref_token_logps
    assert old_logps is not None
    assert ref_logps is not None
    logp, old, ref, mask = (x[there] for x in (found.token_logps.detach(), old_logps, ref_logps, found.mask))
    numbers = torch.tensor([a for own in advantages for a in own], dtype=torch.float64)
    ids = torch.zeros(logp.shape, dtype=torch.long)
    given = {"prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1] + 1, "completion_ids": ids, "completion_mask": mask.long()}
    given |= {"old_per_token_logps": old, "ref_per_token_logps": ref, "num_items_in_batch": mask.sum()}
    given |= {"advantages": numbers, "old_logps": (old * mask).sum(1)}
    return logp.requires_grad_(), given


def agree(name: str, batch: Groups, logp: Tensor, theirs: Any, **parameters: float) -> None:
    """Value, and the slope of every token."""
    theirs.backward()
    value, gradient = batch.gradient(halo.compile_objective(name, parameters, validate=False))
    assert logp.grad is not None
    assert value == pytest.approx(theirs.item(), rel=RUN, abs=RUN)
    for row, expected in zip([row for group in gradient for row in group], logp.grad.tolist(), strict=True):
        assert row == pytest.approx(expected[: len(row)], rel=1e-9, abs=RUN)


@pytest.mark.parametrize("name", TRL)
def test_trl_computes_the_same_of_the_same_tensors(name: str) -> None:
    """grpo_trainer.py's `_compute_loss` is run as it is; its advantages are those of the lines from `advantages = rewards - mean_grouped_rewards`."""
    batch = drawn(11, sizes=[4, 4, 4])
    std = [torch.tensor(own, dtype=torch.float64).std().item() for own in batch.scores]
    scale = [1.0 if name == "dr_grpo_trl" else s + 1e-4 for s in std]
    advantages = [[(s - sum(own) / len(own)) / unit for s in own] for own, unit in zip(batch.scores, scale, strict=True)]
    logp, given = flat(batch, advantages)
    theirs = trainer(GRPOTrainer, logp, **TRL[name])._compute_loss(None, given)
    agree(name, batch, logp, theirs, **OURS.get(name, {}))


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_trl_computes_the_same_leave_one_out(beta: float) -> None:
    """rloo_trainer.py's `_compute_loss` is run; its advantages are those of the lines from `rewards - self.beta * kl` to `rewards - baselines`."""
    batch = drawn(12, sizes=[4, 4, 4])
    rewards = []
    for scores, old, ref in zip(batch.scores, batch.old, batch.ref, strict=True):
        kl = [sum(a - b for a, b in zip(*rows, strict=True)) for rows in zip(old, ref, strict=True)]
        rewards.append([s - beta * drift for s, drift in zip(scores, kl, strict=True)])
    advantages = [[r - (sum(own) - r) / (len(own) - 1) for r in own] for own in rewards]
    logp, given = flat(batch, advantages)
    agree("rloo_trl", batch, logp, trainer(RLOOTrainer, logp)._compute_loss(None, given), beta=beta)
