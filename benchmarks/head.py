"""Ways to turn hidden states into log-probs of tokens, with the signature of `halo.scoring.head.token_logps`.

`VARIANTS[name](hidden (N, H), targets (N), weight (V, H), bias=None)` -> (N) in float32; differentiable in hidden and weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from halo.scoring import head as own

TOKENS = 4096  # of a tile
TILE_BYTES = 512 * 2**20  # of a tile's logits, in float32


def with_chunks(size: int) -> Callable[..., Tensor]:
    """halo's own function with chunks of `size` bytes. The constant stays: the backward pass that follows reads it too."""

    def run(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        own.CHUNK_BYTES = size
        return own.token_logps(hidden, targets, weight, bias)

    return run


def naive(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """All logits at once."""
    logits = (hidden @ weight.to(hidden.dtype).T).float()
    return torch.log_softmax(logits if bias is None else logits + bias, -1).gather(-1, targets[:, None])[:, 0]


# -- tiles of tokens x vocabulary ----------------------------------------------------------------------------------


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32, not rounded to the inputs' type on the way where the device can do that."""
    if a.is_cuda and a.dtype != torch.float32:
        return torch.mm(a, b, out_dtype=torch.float32)
    return (a @ b).float()


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b in float32."""
    if a.is_cuda and a.dtype != torch.float32:
        torch.addmm(total, a, b, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(a.float(), b.float())


def tiles(tokens: int, vocabulary: int) -> Iterator[tuple[slice, list[slice]]]:
    """Slices of tokens, and for each the slices of the vocabulary."""
    height = min(tokens, TOKENS)
    width = min(vocabulary, max(128, TILE_BYTES // (4 * height)))
    columns = [slice(start, min(start + width, vocabulary)) for start in range(0, vocabulary, width)]
    for start in range(0, tokens, height):
        yield slice(start, min(start + height, tokens)), columns


class _Tiled(torch.autograd.Function):
    """An online logsumexp over tiles. With a frozen head the forward keeps W[y] - softmax W, built up online as well."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            norms, chosen = (torch.empty(len(targets), device=hidden.device) for _ in range(2))
            ctx.kept = ctx.needs_input_grad[0] and not ctx.needs_input_grad[2]
            mean = torch.empty(hidden.shape, device=hidden.device) if ctx.kept else None
            for at, columns in tiles(len(targets), len(weight)):
                norms[at], chosen[at] = _scan(hidden[at], targets[at], cast, columns, None if mean is None else mean[at])
            if mean is None:
                ctx.save_for_backward(hidden, targets, norms, weight)
            else:
                ctx.save_for_backward(cast[targets] - mean.to(hidden.dtype))
        return chosen - norms

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.kept:
            (slope,) = ctx.saved_tensors
            return slope * upstream[:, None].to(slope.dtype), None, None
        hidden, targets, norms, weight = ctx.saved_tensors
        d_hidden = torch.zeros(hidden.shape, device=hidden.device)
        d_weight = torch.zeros(weight.shape, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            cast = weight.to(hidden.dtype)
            for at, columns in tiles(len(targets), len(weight)):
                for across in columns:
                    slope = product(hidden[at], cast[across].T).sub_(norms[at, None]).exp_().mul_(-upstream[at, None])
                    place, inside = _inside(targets[at], across)
                    slope.scatter_add_(1, place[:, None], (upstream[at] * inside)[:, None])
                    slope = slope.to(hidden.dtype)
                    add_product(d_hidden[at], slope, cast[across])
                    add_product(d_weight[across], slope.T, hidden[at])
        return d_hidden.to(hidden.dtype), None, d_weight.to(weight.dtype)


def _inside(targets: Tensor, across: slice) -> tuple[Tensor, Tensor]:
    """The column of each target in this part of the vocabulary (0 if it is elsewhere), and whether it is there."""
    place = targets - across.start
    inside = (place >= 0) & (place < across.stop - across.start)
    return place * inside, inside


def _scan(hidden: Tensor, targets: Tensor, cast: Tensor, columns: list[slice], mean: Tensor | None) -> tuple[Tensor, Tensor]:
    """logsumexp of the logits, and the targets' logits; `mean` is filled with softmax @ W."""
    highest = torch.full((len(targets),), -torch.inf, device=hidden.device)
    total, chosen = (torch.zeros(len(targets), device=hidden.device) for _ in range(2))
    if mean is not None:
        mean.zero_()
    for across in columns:
        logits = product(hidden, cast[across].T)
        place, inside = _inside(targets, across)
        chosen += logits.gather(-1, place[:, None])[:, 0] * inside
        above = torch.maximum(highest, logits.amax(-1))
        shrink = (highest - above).exp_()
        share = logits.sub_(above[:, None]).exp_()
        total = total * shrink + share.sum(-1)
        if mean is not None:
            mean.mul_(shrink[:, None])
            add_product(mean, share.to(hidden.dtype), cast[across])
        highest = above
    if mean is not None:
        mean.div_(total[:, None])
    return highest + total.log(), chosen


def tiled(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Tiles of tokens x vocabulary; sums and accumulated gradients in float32."""
    if bias is not None or hidden.dtype == torch.float64:
        return own.token_logps(hidden, targets, weight, bias)
    result: Tensor = _Tiled.apply(hidden, targets, weight)
    return result


# -- peers ---------------------------------------------------------------------------------------------------------


def trl(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """TRL's chunked function as its trainers call it."""
    from trl.kernels import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    result: Tensor = ChunkedLogProbFunction.apply(
        hidden, weight.to(hidden.dtype), bias, targets, 1.0, _CHUNKED_LOGPROB_CHUNK_SIZE, None, 1.0, ()
    )[0]
    return result


def liger(hidden: Tensor, targets: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Liger's fused linear cross entropy: a sum over all tokens, so its gradient is that of equal upstream slopes."""
    from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction

    loss = LigerFusedLinearCrossEntropyFunction.apply(hidden, weight.to(hidden.dtype), targets, bias, None, -100, 0.0, 0.0, "sum")[0]
    return -loss.expand(len(targets)) / len(targets)


SUM = "liger (sum)"
"""Gives the sum of the log-probs alone."""
VARIANTS: dict[str, Callable[..., Tensor]] = {
    "as is": with_chunks(own.CHUNK_BYTES),
    "256 MiB": with_chunks(256 * 2**20),
    "1 GiB": with_chunks(2**30),
    "tiles": tiled,
    "trl": trl,
    SUM: liger,
    "naive": naive,
}
