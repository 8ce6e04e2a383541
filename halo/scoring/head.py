"""Hidden states -> log-probs of the next tokens, in chunks: no (tokens, vocabulary) tensor ever exists.

With a trainable head the backward pass recomputes each chunk's logits (four products in all); with a frozen one the
forward keeps d logp / d hidden = W[y] - softmax(h W) W, which has the size of the hidden states, and the backward is one
element-wise product (two products in all).

The slopes are written by hand, so a transform of torch.func cannot look into a chunk. Within one, the same numbers come from
plain operations on whole logits, which have every derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halo.errors import ModelError

CHUNK_BYTES = 64 * 2**20


def token_logps(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None, temperature: Tensor | None = None) -> Tensor:
    """(N, H) hidden states and (N,) target ids -> (N,) log-probs in float32 (float64 for float64 hidden states).

    weight (V, H), bias (V) or None: the head; temperature (N,) or None: what the logits are divided by. Products run in the type of
    `hidden`; sums in float32 or more.
    """
    if transformed():
        return of_targets(log_probs_of(hidden, weight.to(hidden.dtype), bias, temperature), targets)
    result: Tensor = _ChunkedLogps.apply(hidden, targets, weight, bias, temperature)
    return result


def chunks(tokens: int, vocabulary: int) -> list[slice]:
    """Slices of so many tokens that the logits of each take CHUNK_BYTES in float32."""
    size = max(16, CHUNK_BYTES // (4 * vocabulary))
    return [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that sums over the vocabulary are made in, and log-probs are given in, for hidden states of a type."""
    return torch.promote_types(dtype, torch.float32)


def part(x: Tensor | None, at: slice) -> Tensor | None:
    """A chunk of what there may be."""
    return x[at] if x is not None else None


def logits_of(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: Tensor | None = None) -> Tensor:
    """(n, V) in float32 or float64; `weight` is in the type of `hidden`."""
    logits = hidden @ weight.T
    logits = logits.to(wide(logits.dtype))
    if bias is not None:
        logits = logits + bias
    if temperature is not None:
        logits = logits / temperature.to(logits.dtype)[:, None]
    return logits


def log_probs_of(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: Tensor | None) -> Tensor:
    """(n, V) log-probs by plain operations."""
    with torch.autocast(hidden.device.type, enabled=False):
        return torch.log_softmax(logits_of(hidden, weight, bias, temperature), -1)


def of_targets(log_p: Tensor, targets: Tensor) -> Tensor:
    """(n,) of the tokens that came."""
    return log_p.gather(-1, targets[:, None]).squeeze(-1)


def transformed() -> bool:
    """Whether a transform of torch.func (grad, vmap, jvp, ...) is at work: what torch itself asks before an autograd function."""
    asked: Any = torch._C
    return bool(asked._are_functorch_transforms_active())


def refuse_a_second_derivative() -> None:
    """Called by a backward pass, in which gradients are on only if it is to be differentiated (`create_graph=True`). Raises ModelError.

    The slopes are numbers that know nothing of what they were computed from: a second derivative would be wrong without a word.
    """
    if torch.is_grad_enabled():
        message = "log-probs computed in chunks have no second derivative (create_graph=True)"
        raise ModelError("model", message, hint="torch.func has it: its grad, jacrev and hessian compute on whole logits")


class _ChunkedLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None, temperature: Tensor | None) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            logps = torch.empty(targets.shape, dtype=wide(hidden.dtype), device=hidden.device)
            norms = torch.empty_like(logps)
            keep = ctx.needs_input_grad[0] and not ctx.needs_input_grad[2] and not ctx.needs_input_grad[3]
            slope = torch.empty_like(hidden) if keep else None
            for at in chunks(len(targets), len(weight)):
                logits = logits_of(hidden[at], cast, bias, part(temperature, at))
                norms[at] = torch.logsumexp(logits, -1)
                logps[at] = logits.gather(-1, targets[at, None]).squeeze(-1) - norms[at]
                if slope is not None:
                    share = logits.sub_(norms[at, None]).exp_().to(hidden.dtype)
                    slope[at] = cast[targets[at]] - share @ cast
        if slope is not None:
            ctx.save_for_backward(slope)
        else:
            ctx.save_for_backward(hidden, targets, norms, weight, *there(bias))
        ctx.kept, ctx.temperature = slope is not None, temperature
        return logps

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_a_second_derivative()
        temperature = ctx.temperature
        by_logit = cooled(upstream, temperature)
        if ctx.kept:
            (slope,) = ctx.saved_tensors
            return slope * by_logit[:, None].to(slope.dtype), None, None, None, None
        hidden, targets, norms, weight, *rest = ctx.saved_tensors
        bias = next(iter(rest), None)
        d_hidden, d_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        d_bias = torch.zeros_like(bias) if bias is not None else None
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            for at in chunks(len(targets), len(weight)):
                logits = logits_of(hidden[at], cast, bias, part(temperature, at))
                slope = logits.sub_(norms[at, None]).exp_().mul_(-by_logit[at, None])
                slope[torch.arange(slope.shape[0], device=slope.device), targets[at]] += by_logit[at]
                if d_bias is not None:
                    d_bias += slope.sum(0).to(d_bias.dtype)
                slope = slope.to(hidden.dtype)
                d_hidden[at] = slope @ cast
                d_weight += (slope.T @ hidden[at]).to(weight.dtype)
        return d_hidden, None, d_weight, d_bias, None


def cooled(upstream: Tensor, temperature: Tensor | None) -> Tensor:
    """Slopes by the divided logits -> slopes by the model's own: every one of them is a token's upstream times something."""
    if temperature is None:
        return upstream
    divisor = temperature.to(upstream.dtype)
    return upstream / divisor.reshape(-1, *[1] * (upstream.ndim - 1))


def there(bias: Tensor | None) -> tuple[Tensor, ...]:
    """The bias to be saved, if there is one."""
    if bias is None:
        return ()
    return (bias,)
