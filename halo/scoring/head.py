"""Hidden states -> log-probs of the next tokens, in chunks: no (tokens, vocabulary) tensor ever exists.

With a trainable head the backward pass recomputes each chunk's logits (four products in all); with a frozen one the
forward keeps d logp / d hidden = W[y] - softmax(h W) W, which has the size of the hidden states, and the backward is one
element-wise product (two products in all).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20


def token_logps(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, H) hidden states and (N,) target ids -> (N,) log-probs in float32 (float64 for float64 hidden states).

    weight (V, H), bias (V) or None: the head. Products run in the type of `hidden`; sums in float32 or more.
    """
    result: Tensor = _ChunkedLogps.apply(hidden, targets, weight, bias)
    return result


def chunks(tokens: int, vocabulary: int) -> list[slice]:
    """Slices of so many tokens that the logits of each take CHUNK_BYTES in float32."""
    size = max(16, CHUNK_BYTES // (4 * vocabulary))
    return [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]


def logits_of(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(n, V) in float32 or float64; `weight` is in the type of `hidden`."""
    logits = hidden @ weight.T
    logits = logits.float() if logits.dtype != torch.float64 else logits
    return logits if bias is None else logits + bias


class _ChunkedLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
            logps = torch.empty(targets.shape, dtype=wide, device=hidden.device)
            norms = torch.empty_like(logps)
            keep = ctx.needs_input_grad[0] and not ctx.needs_input_grad[2] and not ctx.needs_input_grad[3]
            slope = torch.empty_like(hidden) if keep else None
            for at in chunks(len(targets), len(weight)):
                logits = logits_of(hidden[at], cast, bias)
                norms[at] = torch.logsumexp(logits, -1)
                logps[at] = logits.gather(-1, targets[at, None]).squeeze(-1) - norms[at]
                if slope is not None:
                    share = logits.sub_(norms[at, None]).exp_().to(hidden.dtype)
                    slope[at] = cast[targets[at]] - share @ cast
        if slope is not None:
            ctx.save_for_backward(slope)
        else:
            ctx.save_for_backward(hidden, targets, norms, weight, *([] if bias is None else [bias]))
        ctx.kept = slope is not None
        return logps

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.kept:
            (slope,) = ctx.saved_tensors
            return slope * upstream[:, None].to(slope.dtype), None, None, None
        hidden, targets, norms, weight, *rest = ctx.saved_tensors
        bias = rest[0] if rest else None
        d_hidden, d_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        d_bias = torch.zeros_like(bias) if bias is not None else None
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            for at in chunks(len(targets), len(weight)):
                logits = logits_of(hidden[at], cast, bias)
                slope = logits.sub_(norms[at, None]).exp_().mul_(-upstream[at, None])
                slope[torch.arange(slope.shape[0], device=slope.device), targets[at]] += upstream[at]
                if d_bias is not None:
                    d_bias += slope.sum(0).to(d_bias.dtype)
                slope = slope.to(hidden.dtype)
                d_hidden[at] = slope @ cast
                d_weight += (slope.T @ hidden[at]).to(weight.dtype)
        return d_hidden, None, d_weight, d_bias
