"""The few torch helpers that generated code calls. Each is exact where the obvious spelling is not.

Shapes: values, masks and weights broadcast against each other; `dims` are the dimensions taken away (None: all of them).
A reduction of nothing is 0 (logsumexp: -inf); no gradient reaches what a mask leaves out. What has the weight w counts as if it
stood there w times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Dims = int | tuple[int, ...] | None


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) with a gradient that is right to the last digits on both sides.

    torch's own slope is s (1 - s), which is 0 once s rounds to 1; of 1 - sigmoid(-x) it is right there. Both are plain
    operations, so that every transform of torch.func and torch.compile takes them.
    """
    return torch.where(x > 0, 1 - torch.sigmoid(-x), torch.sigmoid(x))


def expm1(x: Tensor) -> Tensor:
    """exp(x) - 1, value and gradient right to the last digits.

    torch's own slope is expm1(x) + 1, which has lost its digits for x far below 0; below -1 nothing cancels in exp(x) - 1.
    """
    low = x < -1
    return torch.where(low, torch.exp(torch.where(low, x, -1.0)) - 1, torch.expm1(x))


def tanh(x: Tensor) -> Tensor:
    """tanh with a gradient that does not round to 0 too early."""
    return torch.tanh(x.detach()) + (2 * sigmoid(2 * x) - (2 * sigmoid(2 * x)).detach())


def sqrt(x: Tensor) -> Tensor:
    """The square root. No gradient passes where its slope is infinite (0) or there is no root: 0 times infinity would be nan."""
    above = x > 0
    return torch.where(above, torch.sqrt(torch.where(above, x, 1.0)), torch.sqrt(x.detach()))


def power(x: Tensor, y: Tensor | float) -> Tensor:
    """x**y. No gradient passes where the slope is infinite (0 to a power below 1) or there is no value."""
    value = (x**y).detach()
    without = value.isnan() | ((x == 0) & (y < 1))
    return torch.where(without, value, torch.where(without, 1.0, x) ** y)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, exact for x near 0 and for x far below.

    A probability that rounds to 1 (x = 0, where the true value is -inf) is read as the nearest one below it.
    """
    x = torch.clamp(x, max=-torch.finfo(x.dtype).tiny)
    near = x > -0.6931471805599453
    close = torch.log(-torch.expm1(torch.where(near, x, -1.0)))
    far = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, close, far)


def minimum(*values: Tensor | float) -> Tensor:
    """Element-wise minimum of tensors and numbers."""
    return _extreme(torch.minimum, min, "max", values)


def maximum(*values: Tensor | float) -> Tensor:
    """Element-wise maximum of tensors and numbers."""
    return _extreme(torch.maximum, max, "min", values)


def _extreme(pairwise: Any, plain: Any, clamp: str, values: tuple[Tensor | float, ...]) -> Tensor:
    tensors = [value for value in values if isinstance(value, Tensor)]
    numbers = [value for value in values if not isinstance(value, Tensor)]
    result = tensors[0]
    for tensor in tensors[1:]:
        result = pairwise(result, tensor)
    if not numbers:
        return result
    return torch.clamp(result, **{clamp: plain(numbers)})


def clip(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """min(max(x, low), high); no gradient outside."""
    return minimum(maximum(x, low), high)


def where(condition: Tensor, yes: Tensor | float, no: Tensor | float) -> Tensor:
    """`yes` where the condition holds, else `no`."""
    return torch.where(condition, yes, no)


def only(mask: Tensor, x: Tensor) -> Tensor:
    """x where the mask holds and 0 elsewhere, with no gradient there: what is not an item cannot overflow."""
    return torch.where(mask, x, 0.0)


def pick(x: Tensor, index_B: Tensor) -> Tensor:
    """x[b, index[b]]: the completion of each list that `index_B` names."""
    return x[torch.arange(x.shape[0], device=x.device), index_B]


def count(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """How many there are, as a number of x's type."""
    dtype = torch.get_default_dtype()
    if x.is_floating_point():
        dtype = x.dtype
    there = torch.ones_like(x, dtype=dtype)
    if weights is not None:
        there = there * weights
    if mask is not None:
        there = there * mask.to(dtype)
    return _sum(there, dims)


def one_if_none(number: Tensor) -> Tensor:
    """A count as a denominator. Weights may add up to less than 1, so it is not the larger of it and 1."""
    return torch.where(number > 0, number, 1.0)


def total(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Sum over what the mask holds."""
    if weights is not None:
        x = x * weights
    if mask is not None:
        x = torch.where(mask, x, 0.0)
    return _sum(x, dims)


def mean(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Sum divided by count; 0 where there is nothing."""
    return total(x, mask, dims, weights) / one_if_none(count(x, mask, dims, weights))


def std(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Standard deviation with n - 1; 0 for fewer than two."""
    number = count(x, mask, dims, weights)
    centre = total(x, mask, dims, weights) / one_if_none(number)
    for dim in sorted(_as_tuple(dims, x, mask), reverse=True):  # from the last: earlier negative positions stay right
        centre = centre.unsqueeze(dim)
    squares = total((x - centre) ** 2, mask, dims, weights)
    several = (number > 1) & (squares > 0)
    return torch.where(several, torch.sqrt(torch.where(several, squares, 1.0) / torch.where(several, number - 1, 1.0)), 0.0)


def moments(x: Tensor, mask: Tensor | None, weights: Tensor | None = None) -> Tensor:
    """(3,) float64, detached: how many there are, their mean, and the sum of squares around it. Those of nothing are 0."""
    x = x.detach().double()
    if weights is not None:
        weights = weights.detach().double()
    number = count(x, mask, None, weights)
    centre = total(x, mask, None, weights) / one_if_none(number)
    return torch.stack([number, centre, total((x - centre) ** 2, mask, None, weights)])


def largest(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Maximum over what the mask holds; 0 where there is nothing."""
    return _extremum(x, _there(mask, weights), dims, torch.amax, float("-inf"))


def smallest(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Minimum over what the mask holds; 0 where there is nothing."""
    return _extremum(x, _there(mask, weights), dims, torch.amin, float("inf"))


def logsumexp(x: Tensor, mask: Tensor | None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """log of the sum of exponentials; -inf where there is nothing, with no gradient (torch's own would be nan)."""
    if weights is not None:
        x, mask = x + torch.log(one_if_none(weights)), _there(mask, weights)
    over = _as_tuple(dims, x, mask)
    if mask is None:
        return torch.logsumexp(x, over)
    there = torch.amax(mask, dim=over, keepdim=True)
    shown = torch.where(mask, x, torch.where(there, float("-inf"), 0.0).to(x.dtype))
    return torch.where(there.squeeze(over), torch.logsumexp(shown, over), float("-inf"))


def rank(x_BK: Tensor, present_BK: Tensor) -> Tensor:
    """1 for the highest of each list, 2 for the next; the earlier of equal ones ranks higher. No gradient."""
    own, other = x_BK[:, :, None], x_BK[:, None, :]
    earlier = torch.ones(x_BK.shape[1], x_BK.shape[1], dtype=torch.bool, device=x_BK.device).tril(-1)
    higher = ((other > own) | ((other == own) & earlier)) & present_BK[:, None, :]
    return 1 + higher.sum(-1).to(x_BK.dtype)


def sort(x_B: Tensor) -> Tensor:
    """The numbers of the batch in rising order; equal ones stay in their order, and each keeps its gradient."""
    return torch.sort(x_B, stable=True).values


def any(mask: Tensor, _: None, dims: Dims = None, weights: Tensor | None = None) -> Tensor:
    """Whether the mask holds anywhere along `dims`."""
    if weights is not None:
        mask = mask & (weights > 0)
    return torch.amax(mask, dim=_as_tuple(dims, mask, None))


def _there(mask: Tensor | None, weights: Tensor | None) -> Tensor | None:
    """The mask without what stands there no times."""
    if weights is None:
        return mask
    if mask is None:
        return weights > 0
    return mask & (weights > 0)


def _extremum(x: Tensor, mask: Tensor | None, dims: Dims, function: Any, nothing: float) -> Tensor:
    dims = _as_tuple(dims, x, mask)
    if mask is None:
        whole: Tensor = function(x, dim=dims)
        return whole
    result: Tensor = function(torch.where(mask, x, nothing), dim=dims)
    return torch.where(torch.isinf(result), 0.0, result)


def _sum(x: Tensor, dims: Dims) -> Tensor:
    if dims is None:
        return x.sum()
    return x.sum(dim=dims)


def _as_tuple(dims: Dims, x: Tensor, mask: Tensor | None) -> tuple[int, ...]:
    if isinstance(dims, tuple):
        return dims
    if dims is not None:
        return (dims,)
    size = x.ndim
    if mask is not None:
        size = max(size, mask.ndim)
    return tuple(range(-size, 0))
