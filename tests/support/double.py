"""A model of float64 weights that computes in float64 everywhere, so that two paths through it differ by rounding at 16 digits.

Llama's norms convert what they are given to float32 and back, whatever the weights. Two paths that add the same float64 numbers in another
order then differ by 1e-16 before a norm and, now and then, by a rounding of float32 (6e-8) behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.models.llama import modeling_llama


def _forward(self: modeling_llama.LlamaRMSNorm, hidden_states: torch.Tensor) -> torch.Tensor:
    if hidden_states.dtype != torch.float64:
        return _as_shipped(self, hidden_states)
    variance = hidden_states.square().mean(-1, keepdim=True)
    return self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))


_as_shipped = modeling_llama.LlamaRMSNorm.forward
modeling_llama.LlamaRMSNorm.forward = _forward  # type: ignore[method-assign]


@contextmanager
def as_shipped() -> Iterator[None]:
    """Llama as everybody has it, for numbers that were written down with it."""
    modeling_llama.LlamaRMSNorm.forward = _as_shipped  # type: ignore[method-assign]
    try:
        yield
    finally:
        modeling_llama.LlamaRMSNorm.forward = _forward  # type: ignore[method-assign]
