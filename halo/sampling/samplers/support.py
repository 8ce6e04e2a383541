"""Which tokens may be drawn: top-k, top-p, min-p, and the penalty on tokens that were there already."""

from __future__ import annotations

import torch
from torch import Tensor

from halo.sampling.samplers.options import Drawn


def allowed(log_p: Tensor, how: Drawn) -> Tensor:
    """Of log-probs (rows, vocabulary), at the temperature, which tokens may be drawn: the most likely one always.

    Each rule reads the whole distribution, and what all of them allow remains. Top-p keeps the token that reaches p. As many tokens as
    are equally likely with the last one of top-k are kept.
    """
    kept = torch.ones_like(log_p, dtype=torch.bool)
    if 0 < how.top_k < log_p.shape[-1]:
        kept &= log_p >= log_p.topk(how.top_k, dim=-1).values[..., -1:]
    if how.min_p > 0:
        kept &= log_p >= log_p.amax(-1, keepdim=True) + torch.tensor(how.min_p).log()
    if how.top_p < 1:
        ordered, places = log_p.sort(dim=-1, descending=True, stable=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        kept &= torch.zeros_like(kept).scatter(-1, places, before < how.top_p)
    kept.scatter_(-1, log_p.argmax(-1, keepdim=True), True)
    return kept


def penalised(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits (rows, vocabulary) with those of seen tokens (a mask of that shape) made less likely (arXiv:1909.05858, section 4.1)."""
    if penalty == 1:
        return logits
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
