"""How much of a win rate is length: the smallest model that says so (`length_controlled_minimal` of arXiv:2404.04475, section 3).

logit p = a + b tanh(d / s) for each comparison: p is 1, 1/2 or 0, d the characters by which our answer is longer, s their deviation. The
win rate at equal length is sigmoid(a). No penalty and no folds, and no difficulty of instructions, which only its own 805 prompts have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
STEPS, FLAT = 40, 1e-6
"""Newton's steps, and what is added to the curvature, which may be 0."""
FARTHEST = 15.0
"""Of a and b: a fit that goes there has no end, since the odds would be three millions to one."""


def controlled_rate(weights: Numbers, values: Numbers) -> Numbers:
    """The win rate at equal length. Values of a prompt: p and d of its comparisons in turn, NaN behind the last.

    NaN where the fit has no finite best value: all is won, or length parts all wins from all losses.
    """
    return 1 / (1 + np.exp(-_fitted(weights, values)[:, 0]))


def length_coefficient(weights: Numbers, values: Numbers) -> Numbers:
    """b: what a far longer answer adds to the log odds of winning. NaN as above."""
    return _fitted(weights, values)[:, 1]


def _fitted(weights: Numbers, values: Numbers) -> Numbers:
    """(B, 2): a and b of every row of weights, by Newton's method on all rows at once."""
    won, longer = values[:, 0::2], values[:, 1::2]
    there = np.isfinite(won)
    spread = float(np.std(longer[there], ddof=1)) if there.sum() > 1 else 0.0
    x = np.tanh(longer[there] / spread) if spread > 0 else np.zeros(int(there.sum()))
    p, row = won[there], np.nonzero(there)[0]
    share = weights[:, row]
    fitted = np.zeros((len(weights), 2))
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(fitted[:, :1] + fitted[:, 1:] * x)))
        gap, bent = share * (p - chance), share * chance * (1 - chance)
        slope = np.stack([gap.sum(1), (gap * x).sum(1)], 1)
        curve = np.stack([bent.sum(1), (bent * x).sum(1), (bent * x * x).sum(1)], 1) + np.array([FLAT, 0, FLAT])
        area = curve[:, 0] * curve[:, 2] - curve[:, 1] ** 2
        step = np.stack([curve[:, 2] * slope[:, 0] - curve[:, 1] * slope[:, 1], curve[:, 0] * slope[:, 1] - curve[:, 1] * slope[:, 0]], 1)
        fitted = np.clip(fitted + np.clip(step / area[:, None], -4, 4), -FARTHEST, FARTHEST)
    endless = (np.abs(fitted) > FARTHEST - 1).any(1)
    fitted[endless] = np.nan
    return fitted
