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
