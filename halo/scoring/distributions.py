"""Hidden states -> sums over the full vocabulary (entropy, log sum p^2, KL), in chunks: no (tokens, vocabulary) tensor ever exists.

A model's next-token distributions are kept as the `States` they are made of: hidden states and the head's weights, of the
size tokens x hidden. Policy and reference are laid side by side chunk by chunk, and the backward pass makes each chunk
again. With l the policy's logits, p and q the distributions of policy and reference, the slopes are, all by hand:

    d log p(y) / dl = 1[y] - p           d H(p) / dl = -p (log p + H)        d log sum p^2 / dl = 2 (p^2 / sum p^2 - p)
    d KL(q || p) / dl = p - q            d KL(p || q) / dl = p (log p - log q - KL)

The reference has no gradient. What rounding would push past its bound (a KL of -1e-9) is put on it; the slopes are not touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from halo.errors import ModelError
from halo.scoring.head import chunks, logits_of, token_logps


class Distributions(Protocol):
    """Next-token distributions at N positions, read a chunk at a time; without a gradient."""

    @property
    def vocabulary(self) -> int:
        """V, the number of token ids."""

    def ready(self) -> Distributions:
        """The same, with its head in the type that products run in: made once for all chunks."""

    def log_probs(self, at: slice) -> Tensor:
        """(n, V) in float32 or float64, nats; one number where all tokens are alike."""

    def scored(self, words: Sequence[str] = ()) -> Tensor:
        """(N,) log-probs of the tokens that came; with words (N, 1 + words), a column for each."""


@dataclass(frozen=True)
class States:
    """What a model's head is given and is: hidden (N, H), targets (N) the tokens that came, weight (V, H), bias (V) or None."""

    hidden: Tensor
    targets: Tensor
    weight: Tensor
    bias: Tensor | None = None

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]

    def ready(self) -> States:
        return replace(self, weight=self.weight.to(self.hidden.dtype))

    def log_probs(self, at: slice) -> Tensor:
        logits = logits_of(self.hidden[at], self.weight, self.bias)
        return logits.sub_(torch.logsumexp(logits, -1, keepdim=True))  # as the policy's: equal weights give equal bits, and KL 0

    def scored(self, words: Sequence[str] = (), reference: Distributions | None = None) -> Tensor:
        """As the protocol says; differentiable in hidden states and head. Words that compare want the `reference`."""
        if not words:
            return token_logps(self.hidden, self.targets, self.weight, self.bias)
        needs = [word for word in words if SUMS[word].compares]
        if needs and reference is None:
            raise ModelError("model", f"{', '.join(needs)} needs the reference's distributions beside the policy's")
        if needs and reference is not None and reference.vocabulary != self.vocabulary:
            sizes = f"{self.vocabulary} tokens, the reference's {reference.vocabulary}"
            raise ModelError("model", f"{', '.join(needs)} compares one vocabulary with another: the policy's head has {sizes}")
        result: Tensor = _ChunkedSums.apply(self.hidden, self.targets, self.weight, self.bias, tuple(words), reference if needs else None)
        return result


@dataclass(frozen=True)
class Uniform:
    """Every token with the probability 1 / V at N positions: the closed forms, by broadcasting one number."""

    positions: int
    vocabulary: int
    device: torch.device

    def ready(self) -> Uniform:
        return self

    def log_probs(self, at: slice) -> Tensor:
        return torch.tensor(-math.log(self.vocabulary), dtype=torch.float64)  # of no dimension: takes the policy's type and device

    def scored(self, words: Sequence[str] = ()) -> Tensor:
        known = {"entropy": math.log(self.vocabulary), "log_sum_sq_probs": -math.log(self.vocabulary)}
        columns = [-math.log(self.vocabulary), *(known[word] for word in words)]
        flat = torch.tensor(columns, device=self.device).expand(self.positions, -1)
        return flat if words else flat[:, 0]


@dataclass(frozen=True)
class _Sum:
    """A word over one chunk, from log p (n, V) and log q: its value (n,), and its slope by the policy's logits (n, V).

    The slope is given p and the value too. `low` and `high` bound the value; `compares` says that it reads q.
    """

    value: Callable[[Tensor, Any], Tensor]
    slope: Callable[[Tensor, Any, Tensor, Tensor], Tensor]
    low: float | None = None
    high: float | None = None
    compares: bool = False


SUMS: dict[str, _Sum] = {
    "entropy": _Sum(
        lambda log_p, log_q: -(log_p.exp() * log_p).sum(-1), lambda log_p, log_q, p, value: -(log_p + value[:, None]) * p, low=0.0
    ),
    "log_sum_sq_probs": _Sum(
        lambda log_p, log_q: torch.logsumexp(2 * log_p, -1),
        lambda log_p, log_q, p, value: 2 * ((2 * log_p - value[:, None]).exp() - p),
        high=0.0,
    ),
    "kl_ref_policy": _Sum(
        lambda log_p, log_q: ((log_q - log_p) * log_q.exp()).sum(-1),
        lambda log_p, log_q, p, value: p - log_q.exp(),
        low=0.0,
        compares=True,
    ),
    "kl_policy_ref": _Sum(
        lambda log_p, log_q: ((log_p - log_q) * log_p.exp()).sum(-1),
        lambda log_p, log_q, p, value: (log_p - log_q - value[:, None]) * p,
        low=0.0,
        compares=True,
    ),
}
"""The words a head computes. `ref_entropy` is the reference's own `entropy`."""


class _ChunkedSums(torch.autograd.Function):
    """(N, 1 + words): log-probs and words. Recomputes every chunk in the backward pass, whether the head is trained or not."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        words: tuple[str, ...],
        reference: Distributions | None,
    ) -> Tensor:
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        columns = torch.empty(len(targets), 1 + len(words), dtype=wide, device=hidden.device)
        norms = torch.empty(len(targets), dtype=wide, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            cast, other = weight.to(hidden.dtype), reference.ready() if reference is not None else None
            for at in chunks(len(targets), len(weight)):
                log_p = logits_of(hidden[at], cast, bias)
                norms[at] = torch.logsumexp(log_p, -1)
                log_p -= norms[at, None]
                columns[at, 0] = log_p.gather(-1, targets[at, None]).squeeze(-1)
                log_q = other.log_probs(at) if other is not None else None
                for column, word in enumerate(words, 1):
                    columns[at, column] = SUMS[word].value(log_p, log_q)
        ctx.save_for_backward(hidden, targets, norms, columns, weight, *([] if bias is None else [bias]))
        ctx.words, ctx.reference = words, reference
        return _within_bounds(columns, words)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, targets, norms, columns, weight, *rest = ctx.saved_tensors
        bias = rest[0] if rest else None
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros_like(weight) if ctx.needs_input_grad[2] else None
        d_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[3] else None
        with torch.autocast(hidden.device.type, enabled=False):
            cast, other = weight.to(hidden.dtype), ctx.reference.ready() if ctx.reference is not None else None
            for at in chunks(len(targets), len(weight)):
                log_p = logits_of(hidden[at], cast, bias).sub_(norms[at, None])
                log_q = other.log_probs(at) if other is not None else None
                slope = _slope(log_p, log_q, targets[at], columns[at], upstream[at], ctx.words)
                if d_bias is not None:
                    d_bias += slope.sum(0).to(d_bias.dtype)
                slope = slope.to(hidden.dtype)
                if d_hidden is not None:
                    d_hidden[at] = slope @ cast
                if d_weight is not None:
                    d_weight += (slope.T @ hidden[at]).to(weight.dtype)
        return d_hidden, None, d_weight, d_bias, None, None


def _slope(log_p: Tensor, log_q: Tensor | None, targets: Tensor, values: Tensor, upstream: Tensor, words: tuple[str, ...]) -> Tensor:
    """(n, V): d (sum of upstream * columns) / d logits of one chunk."""
    p = log_p.exp()
    slope = p * -upstream[:, :1]
    slope[torch.arange(len(targets), device=targets.device), targets] += upstream[:, 0]
    for column, word in enumerate(words, 1):
        slope += SUMS[word].slope(log_p, log_q, p, values[:, column]).mul_(upstream[:, column, None])
    return slope


def _within_bounds(columns: Tensor, words: tuple[str, ...]) -> Tensor:
    result = columns.clone()
    for column, word in enumerate(words, 1):
        result[:, column].clamp_(SUMS[word].low, SUMS[word].high)
    return result
