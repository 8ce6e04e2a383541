"""A number of several prompts and its 95 % interval, by a bootstrap over prompts.

Prompts are drawn, never rows: the answers to one prompt are alike, and rows would make an interval too narrow. So are the turns of one
conversation, which is drawn as a whole (`units`). The interval is that of
percentiles, expanded (Hesterberg, 2015, "What teachers should know about the bootstrap", section 3.3): the percentiles of n draws are too
narrow by sqrt((n - 1) / n) and by the normal's quantile in place of Student's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import mpmath
import numpy as np
from numpy.typing import NDArray

from halo.statistics.combining import mean

Numbers = NDArray[np.float64]
Statistic = Callable[[Numbers, Numbers], Numbers]
"""Weights (B, n) of prompts and their values (n, k) -> B numbers."""
LEVEL = 0.95
DRAWS = 2000
"""Of the bootstrap: at 2,000 an end of the interval moves by about a fiftieth of its width when they are drawn again."""
ROUNDING = 1e-12
"""Relative: by how much means of equal numbers differ in float64."""
AT_ONCE = 4_000_000
"""Weights that are held in memory at once."""


@dataclass(frozen=True)
class Estimate:
    """A number of n prompts, or units of several, and its 95 % interval, which is None of fewer than two or where the number is none."""

    value: float
    low: float | None
    high: float | None
    n: int


def estimate(
    values: Sequence[Sequence[float]],
    statistic: Statistic = mean,
    bounds: tuple[float, float] | None = None,
    units: Sequence[Hashable] = (),
    shares: Sequence[float] = (),
    seed: int = 0,
) -> Estimate:
    """Of each prompt's values, all of one length.

    bounds  what the number cannot leave, as a share cannot leave 0 and 1
    units   of each row what is drawn; left out: every row by itself
    shares  what each row counts within its unit; left out: 1
    """
    table = np.asarray(values, dtype=np.float64)
    return _estimated(lambda weights: statistic(weights, table), _numbered(units, len(table)), shares, bounds, seed)


def difference(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    statistic: Statistic = mean,
    bounds: tuple[float, float] | None = None,
    units: Sequence[Hashable] = (),
    shares: Sequence[float] = (),
    seed: int = 0,
) -> Estimate:
    """Of ours less theirs on the same prompts in the same order: each draw takes the same prompts of both."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    unit = _numbered(units, len(one))
    return _estimated(lambda weights: statistic(weights, one) - statistic(weights, other), unit, shares, bounds, seed)


def _numbered(units: Sequence[Hashable], rows: int) -> NDArray[np.int64]:
    """Of each row the number of its unit."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(unit, len(known)) for unit in (units or range(rows))], dtype=np.int64)


def _estimated(
    number: Callable[[Numbers], Numbers],
    unit: NDArray[np.int64],
    shares: Sequence[float],
    bounds: tuple[float, float] | None,
    seed: int,
) -> Estimate:
    """Of a function of the rows' weights."""
    size, share = int(unit.max()) + 1, np.asarray(shares or np.ones(len(unit)), dtype=np.float64)
    value = float(number(share[None, :])[0])
    if size < 2 or not math.isfinite(value):
        return Estimate(value, None, None, size)
    drawn = np.concatenate([number(weights[:, unit] * share) for weights in _weights(size, seed)])
    return _with_ends(value, drawn, size, bounds)


def _with_ends(value: float, drawn: Numbers, size: int, bounds: tuple[float, float] | None) -> Estimate:
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) == 0:
        return Estimate(value, None, None, size)
    if bounds is not None and np.ptp(drawn) <= ROUNDING * max(1.0, abs(value)):
        return Estimate(value, *_unseen(value, size, bounds), size)
    tail = _tail(size)
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    return Estimate(value, low, high, size)


def _unseen(value: float, size: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Where all prompts agree no draw differs; but prompts that do not may be as common as q = 1 - 0.025^(1/n) and stay unseen
    (Clopper and Pearson, 1934), and what these have in their place may be anything within the bounds.
    """
    q = 1 - ((1 - LEVEL) / 2) ** (1 / size)
    return value - (value - bounds[0]) * q, value + (bounds[1] - value) * q


def _weights(size: int, seed: int) -> list[Numbers]:
    """How often each prompt is drawn, in parts that fit into memory. The same for every measure of as many prompts."""
    generator, shares = np.random.default_rng(seed), np.full(size, 1 / size)
    part = max(1, AT_ONCE // size)
    counts = [min(part, DRAWS - start) for start in range(0, DRAWS, part)]
    return [generator.multinomial(size, shares, size=count).astype(np.float64) for count in counts]


@cache
def _tail(size: int) -> float:
    """The share of draws beyond each end."""
    return NormalDist().cdf(-math.sqrt(size / (size - 1)) * _student((1 + LEVEL) / 2, size - 1))


def _student(share: float, freedom: int) -> float:
    """The quantile of Student's distribution."""

    def beyond(t: mpmath.mpf) -> mpmath.mpf:
        return mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + t * t), regularized=True) / 2 - (1 - share)

    return float(mpmath.findroot(beyond, (1.5, 200), solver="anderson", tol=1e-12))
