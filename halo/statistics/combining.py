"""What several prompts make together: weights (B, n) of prompts and their values (n, k) -> B numbers. None of them is a loop over draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def mean(weights: Numbers, values: Numbers) -> Numbers:
    """The mean over prompts of the only value."""
    found: Numbers = weights @ values[:, 0] / weights.sum(1)
    return found


def ratio(weights: Numbers, values: Numbers) -> Numbers:
    """The sum of the first value over that of the second: of all tokens, of all comparisons. NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = (weights @ values[:, 0]) / (weights @ values[:, 1])
    return found


def exp_ratio(weights: Numbers, values: Numbers) -> Numbers:
    """e to the `ratio`: a perplexity over all tokens, of nats and tokens."""
    found: Numbers = np.exp(ratio(weights, values))
    return found
