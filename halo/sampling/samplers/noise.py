"""Gumbel noise of one token of one completion, from its own key: argmax(logits + noise) is a draw from the softmax.

The same wherever the completion stands: not of the batch, its order, or how many others there are (Gumbel-max: Maddison et al.,
arXiv:1411.0030, section 2). The bits are Philox's, whose stream numpy keeps from version to version.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def exponential(key: int, position: int, size: int) -> Tensor:
    """Standard exponential numbers E, float32: -log E is Gumbel noise. `position` counts the completion's tokens from 0."""
    bits = np.random.Philox(key=key, counter=position << 64).random_raw((size + 1) // 2).view(np.uint32)[:size]
    # in the middle of 2^32 steps of (0, 1): float32 is fine near 0, where the largest Gumbels come from
    uniform = (torch.from_numpy(bits.astype(np.float32)) + 0.5) * 2.0**-32
    return -torch.log1p(-uniform)
