"""What updates the policy."""

from __future__ import annotations

from typing import Any

import torch

from halo.training.settings import Settings


def adamw(model: Any, settings: Settings) -> torch.optim.Optimizer:
    """AdamW, with weight decay on matrices only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (settings.adam_beta1, settings.adam_beta2)
    return torch.optim.AdamW(groups, settings.learning_rate, betas, settings.adam_epsilon, fused=True)


def as_set(optimizer: Any, scheduler: Any, settings: Settings) -> None:
    """An optimizer whose state was loaded, with rate, decay, betas and epsilon as they are set now; the first group is that of matrices."""
    for group, decay in zip(optimizer.param_groups, (settings.weight_decay, 0.0), strict=False):
        group["weight_decay"] = decay
        group["betas"], group["eps"] = (settings.adam_beta1, settings.adam_beta2), settings.adam_epsilon
        group["initial_lr"] = settings.learning_rate
    scheduler.base_lrs = [settings.learning_rate for _ in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
        group["lr"] = settings.learning_rate * rate(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
