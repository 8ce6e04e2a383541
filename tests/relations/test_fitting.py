"""Least squares within ranges: exact where it can be, inside where it may not leave, and silent where there is no slope."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from halo.relations.fitting import fit


def anywhere(i: int, value: float) -> float:
    return value


def test_two_parameters_of_a_curve_are_found() -> None:
    points = [0.1 * n for n in range(12)]
    target = [1.7 * math.exp(-0.6 * t) for t in points]

    def residuals(values: Sequence[float]) -> list[float]:
        return [values[0] * math.exp(-values[1] * t) - y for t, y in zip(points, target, strict=True)]

    found = fit(residuals, [1.0, 0.1], [0, 1], anywhere)
    assert found is not None
    assert found.error < 1e-11
    assert found.values == pytest.approx([1.7, 0.6], abs=1e-9)


def test_a_pinned_parameter_stays() -> None:
    found = fit(lambda values: [values[0] + values[1] - 3, values[0] - 1], [0.0, 2.0], [0], anywhere)
    assert found is not None
    assert found.values == pytest.approx([1.0, 2.0])


def test_a_range_is_not_left() -> None:
    found = fit(lambda values: [values[0] - 5], [0.5], [0], lambda i, value: min(max(value, 0.0), 1.0))
    assert found is not None
    assert found.values == [1.0]
    assert found.error == pytest.approx(4.0)


def test_parameters_that_cannot_be_told_apart_still_fit() -> None:
    """Only their sum counts: the normal equations are singular."""
    found = fit(lambda values: [values[0] + values[1] - 3, 2 * values[0] + 2 * values[1] - 6], [0.0, 0.0], [0, 1], anywhere)
    assert found is not None
    assert found.error < 1e-11


def test_a_parameter_without_effect_is_left_alone() -> None:
    found = fit(lambda values: [values[0] - 2.0], [0.0, 7.0], [0, 1], anywhere)
    assert found is not None
    assert found.values == pytest.approx([2.0, 7.0])


def test_where_there_are_no_residuals_nothing_is_found() -> None:
    nothing = fit(lambda values: [], [1.0], [0], anywhere)
    assert nothing is not None
    assert nothing.error == math.inf
    assert fit(lambda values: [values[0]] if values[0] == 1.0 else [], [1.0], [0], anywhere) is None
