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
from halo.scoring.head import (
    chunks,
    cooled,
    log_probs_of,
    logits_of,
    of_targets,
    part,
    refuse_a_second_derivative,
    there,
    token_logps,
    transformed,
    wide,
)

LOGP = "logp"
Scored = dict[str, Tensor]
"""What scoring gives of N tokens: (N,) each, by name, differentiable in the weights they were computed from.

`logp` is always there. The words that were asked for stand beside it, and what else a scorer has, such as a trained head.
"""


class Distributions(Protocol):
    """Next-token distributions at N positions, read a chunk at a time; without a gradient."""

    @property
    def vocabulary(self) -> int:
        """V, the number of token ids."""

    def ready(self) -> Distributions:
        """The same, with its head in the type that products run in: made once for all chunks."""

    def log_probs(self, at: slice) -> Tensor:
        """(n, V) in float32 or float64, nats; one number where all tokens are alike."""

    def scored(self, words: Sequence[str] = ()) -> Scored:
        """Log-probs of the tokens that came, and the words."""


@dataclass(frozen=True)
class States:
    """What a model's head is given and is: hidden (N, H), targets (N) the tokens that came, weight (V, H), bias (V) or None.

    temperature (N,) or None: what the logits are divided by, the head's own where there is none
    """

    hidden: Tensor
    targets: Tensor
    weight: Tensor
    bias: Tensor | None = None
    temperature: Tensor | None = None

    @property
    def vocabulary(self) -> int:
        return self.weight.shape[0]

    def ready(self) -> States:
        return replace(self, weight=self.weight.to(self.hidden.dtype))

    def log_probs(self, at: slice) -> Tensor:
        logits = logits_of(self.hidden[at], self.weight, self.bias, part(self.temperature, at))
        return logits.sub_(torch.logsumexp(logits, -1, keepdim=True))  # as the policy's: equal weights give equal bits, and KL 0

    def scored(self, words: Sequence[str] = (), reference: Distributions | None = None) -> Scored:
        """As the protocol says; differentiable in hidden states and head. Words that compare want the `reference`."""
        if not words:
            return {LOGP: token_logps(self.hidden, self.targets, self.weight, self.bias, self.temperature)}
        compared = self._compared(words, reference)
        if transformed():
            return self._plainly(words, compared)
        table = _ChunkedSums.apply(self.hidden, self.targets, self.weight, self.bias, self.temperature, tuple(words), compared)
        return dict(zip((LOGP, *words), table.unbind(-1), strict=True))

    def _compared(self, words: Sequence[str], reference: Distributions | None) -> Distributions | None:
        """The reference, if a word reads it. Raises ModelError if it is not there, or is over another vocabulary."""
        needs = [word for word in words if SUMS[word].compares]
        if not needs:
            return None
        if reference is None:
            raise ModelError("model", f"{', '.join(needs)} needs the reference's distributions beside the policy's")
        if reference.vocabulary != self.vocabulary:
            sizes = f"{self.vocabulary} tokens, the reference's {reference.vocabulary}"
            raise ModelError("model", f"{', '.join(needs)} compares one vocabulary with another: the policy's head has {sizes}")
        return reference

    def _plainly(self, words: Sequence[str], reference: Distributions | None) -> Scored:
        """By plain operations on whole logits."""
        log_p = log_probs_of(self.hidden, self.weight.to(self.hidden.dtype), self.bias, self.temperature)
        log_q = None
        if reference is not None:
            log_q = reference.ready().log_probs(slice(0, len(self.targets)))
        return sums_of(log_p, self.targets, words, log_q)


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

    def scored(self, words: Sequence[str] = ()) -> Scored:
        nats = math.log(self.vocabulary)
        known = {LOGP: -nats, "entropy": nats, "log_sum_sq_probs": -nats}
        return {name: torch.full((self.positions,), known[name], device=self.device) for name in (LOGP, *words)}


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


def sums_of(log_p: Tensor, targets: Tensor, words: Sequence[str], log_q: Tensor | None = None) -> Scored:
    """From whole log-probs (N, V) of policy and reference, by plain operations that have every derivative."""
    found = {LOGP: of_targets(log_p, targets)}
    for word in words:
        value = SUMS[word].value(log_p, log_q)
        found[word] = value + (value.clamp(SUMS[word].low, SUMS[word].high) - value).detach()
    return found


class _ChunkedSums(torch.autograd.Function):
    """(N, 1 + words): log-probs and words. Recomputes every chunk in the backward pass, whether the head is trained or not."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        temperature: Tensor | None,
        words: tuple[str, ...],
        reference: Distributions | None,
    ) -> Tensor:
        columns = torch.empty(len(targets), 1 + len(words), dtype=wide(hidden.dtype), device=hidden.device)
        norms = torch.empty(len(targets), dtype=columns.dtype, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            cast, other = weight.to(hidden.dtype), _ready(reference)
            for at in chunks(len(targets), len(weight)):
                log_p = logits_of(hidden[at], cast, bias, part(temperature, at))
                norms[at] = torch.logsumexp(log_p, -1)
                log_p -= norms[at, None]
                columns[at, 0] = log_p.gather(-1, targets[at, None]).squeeze(-1)
                log_q = _of(other, at)
                for column, word in enumerate(words, 1):
                    columns[at, column] = SUMS[word].value(log_p, log_q)
        ctx.save_for_backward(hidden, targets, norms, columns, weight, *there(bias))
        ctx.words, ctx.reference, ctx.temperature = words, reference, temperature
        return _within_bounds(columns, words)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        refuse_a_second_derivative()
        hidden, targets, norms, columns, weight, *rest = ctx.saved_tensors
        bias = next(iter(rest), None)
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros_like(weight) if ctx.needs_input_grad[2] else None
        d_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[3] else None
        temperature = ctx.temperature
        by_logit = cooled(upstream, temperature)
        with torch.autocast(hidden.device.type, enabled=False):
            cast, other = weight.to(hidden.dtype), _ready(ctx.reference)
            for at in chunks(len(targets), len(weight)):
                log_p = logits_of(hidden[at], cast, bias, part(temperature, at)).sub_(norms[at, None])
                slope = _slope(log_p, _of(other, at), targets[at], columns[at], by_logit[at], ctx.words)
                if d_bias is not None:
                    d_bias += slope.sum(0).to(d_bias.dtype)
                slope = slope.to(hidden.dtype)
                if d_hidden is not None:
                    d_hidden[at] = slope @ cast
                if d_weight is not None:
                    d_weight += (slope.T @ hidden[at]).to(weight.dtype)
        return d_hidden, None, d_weight, d_bias, None, None, None


def _ready(reference: Distributions | None) -> Distributions | None:
    return reference.ready() if reference is not None else None


def _of(reference: Distributions | None, at: slice) -> Tensor | None:
    """A chunk of the reference's log-probs, where a word reads them."""
    return reference.log_probs(at) if reference is not None else None


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
