"""Least squares within ranges: the values of a few parameters at which residuals vanish, from one start (Levenberg-Marquardt)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Residuals = Callable[[Sequence[float]], list[float]]
"""Relative residuals for values of all parameters; empty where there are none."""

ITERATIONS = 40
ENOUGH = 1e-12  # a sum of some dozen relative residuals is not known better than this in floats
FIRST_DAMPING, LAST_DAMPING = 1e-3, 1e8  # past the last one a step is too short to change anything
LESS, MORE = 10, 8  # the damping is divided or multiplied by: the usual tenfold, and a little less back, so that none is tried twice
FAR, SLOW, PATIENCE = 1e-3, 0.99, 6  # while the error is above FAR, so many steps may fail to lessen it by 1 %
STEP = 1e-6  # of the differences that stand for derivatives: near the root of what a float resolves, times what a residual loses
FLOOR = 1e-7  # damping of a parameter that moves nothing: its square is far below any slope that does


@dataclass(frozen=True)
class Fit:
    """The best values that were found, and the size of their residuals."""

    values: list[float]
    error: float


def fit(residuals: Residuals, start: Sequence[float], free: Sequence[int], inside: Callable[[int, float], float]) -> Fit | None:
    """Moves the `free` parameters from `start`; `inside` puts a value into the range of a parameter.

    None: there is no slope at a place on the way.
    """
    values, rest, damping, stalled = list(start), residuals(start), FIRST_DAMPING, 0
    error = _size(rest)
    for _ in range(ITERATIONS):
        if error < ENOUGH or not math.isfinite(error) or not free or stalled > PATIENCE or damping > LAST_DAMPING:
            break
        columns = [_slope(residuals, values, rest, i, inside) for i in free]
        if not all(columns):
            return None
        trial = list(values)
        for i, step in zip(free, _damped_step(columns, rest, damping), strict=True):
            trial[i] = inside(i, values[i] - step)
        after = residuals(trial)
        if error > FAR and _size(after) > SLOW * error:
            stalled += 1
        else:
            stalled = 0
        if _size(after) < error:
            values, rest, error, damping = trial, after, _size(after), damping / LESS
        else:
            damping *= MORE
    return Fit(values, error)


def _size(rest: Sequence[float]) -> float:
    if not rest:
        return math.inf
    return math.sqrt(math.fsum(r * r for r in rest))


def _slope(
    residuals: Residuals, values: Sequence[float], rest: Sequence[float], i: int, inside: Callable[[int, float], float]
) -> list[float]:
    """Differences of the residuals as one parameter moves, forwards or (at the end of its range) backwards."""
    length = STEP * (1 + abs(values[i]))
    moved = list(values)
    moved[i] = inside(i, values[i] + length)
    if moved[i] == values[i]:
        moved[i] = values[i] - length
    return [(b - a) / (moved[i] - values[i]) for a, b in zip(rest, residuals(moved), strict=False)]


def _damped_step(columns: Sequence[Sequence[float]], rest: Sequence[float], damping: float) -> list[float]:
    """The step s with the least |J s - rest|**2 + damping * |diag(J) s|**2: no step where that is not finite."""
    import numpy as np  # a tenth of a second to load, and most checks fit nothing

    jacobian = np.array(columns).T
    weights = np.sqrt(damping * np.square(jacobian).sum(axis=0) + FLOOR**2)
    above = np.vstack([jacobian, np.diag(weights)])
    if not np.isfinite(above).all():
        return [0.0] * len(columns)
    found = np.linalg.lstsq(above, np.concatenate([rest, np.zeros(len(columns))]), rcond=None)[0]
    return [float(x) for x in found]
