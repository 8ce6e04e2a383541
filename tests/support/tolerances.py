"""How far apart two computations of one number may lie, each tolerance a count of roundings, so that no processor decides it.

Processors add in other orders: with AVX-512 sixteen partial sums of float32, with AVX2 eight, with neither four, and each thread its own.
A number that n additions and products lead to is off by at most n roundings, each of half an eps, of what its terms add up to in size
(Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Wherever both sides can, they compute in float64 (see double.py).
"""

from __future__ import annotations

import torch


def roundings(count: int, dtype: torch.dtype) -> float:
    """So many roundings of one number, in proportion to it."""
    return count * torch.finfo(dtype).eps / 2


RUN = roundings(10_000, torch.float64)
"""1e-12: losses and gradients of the embedded policy, after a few steps too. A log-prob is at the end of about 3,000 additions: of 128 or
256 numbers in each of 15 products, of 20 tokens and 104 logits; the way back has as many."""

SINGLE = roundings(500, torch.float32)
"""3e-5: the same where float32 is what is tested. The bound of 10,000 roundings would say little; roundings are as good as random, so they
add up to the root of their number, which they pass five times less than once in a million (Higham and Mary, 2019)."""

ADAM = 1e-3 * RUN / 1e-8
"""1e-7: weights after AdamW at a rate of 1e-3, whose step is the rate times gradient / (|gradient| + 1e-8): a gradient that is 0 but for
rounding, of others of size 1, steps up to that far. The loss feels nothing of it, its slope there being that gradient."""

KEPT = roundings(10, torch.float32)
"""6e-7: losses with reference log-probs that are computed ahead, or by another program, and kept in float32: each of some ten nats is
rounded once, and beta times a sum of them moves a loss of about 1."""

LOGGED = roundings(4, torch.float32)
"""2e-7: numbers that are computed in float64 and added up in float32 for a log, on both sides, over at most two parts."""


def assert_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Every element differs by at most `tolerance` of the largest: what is off in a sum is off in proportion to its largest terms."""
    assert found.shape == expected.shape
    apart, size = (found - expected).abs().max().item(), expected.abs().max().item()
    assert size > 0, "nothing is compared: all expected numbers are 0"
    assert apart <= tolerance * size, f"{apart:.3g} apart, which is {apart / size:.3g} of the largest number; the tolerance is {tolerance:.3g}"
