"""Covers of the parameters by boxes: what some values explain is never excluded, what none explain is."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK

from halo.analysis.ranges import POSITIVE, Span
from halo.analysis.scalar import Scalars
from halo.analysis.values import sure_value
from halo.relations.differences.pieces import Cover

F = Fraction
SLOPES = {
    "logistic": "b / (1 + exp(b * h - c))",
    "exponential": "b * exp(c - b * h)",
    "savage": "b * (1 / (1 + exp(b * h)))**2 * (1 / (1 + exp(-b * h))) / (1 + c)",
    "square": "b * (1 + c - b * h) / c",
    "smoothed": "b * (1 / (1 + exp(b * h)) - c) / (1 - 2 * c)",
    "hinge": "where(b * h < c, b, 0)",
    "mixed": "b * (c / (1 + exp(b * h)) + exp(-b * h))",
}
"""Gradients by the difference h of two scores, with b > 0 and c in (0, 1/2)."""
ONE = F(1)
PLACES = [F(h) for h in (-4, -2, -1, 0, 1, 3)] + [F(1, 2), F(-5, 3)]


def covered(mine: str, other: str, b: Fraction, c: Fraction, factor: Fraction = ONE) -> list[int] | None:
    """Which gradients leave the other no values of b and c that make it a multiple of mine at these."""
    s = Scalars()
    own, wanted = [s.variable(name) for name in "bc"], [s.variable(name) for name in "BC"]
    box = {wanted[0]: POSITIVE, wanted[1]: Span(F(0), F(1, 2), True, True)}
    left, right = [], []
    with mp.workdps(60):
        for h in PLACES:
            value = sure_value(s.formula(SLOPES[mine], b=own[0], c=own[1], h=s.number(h)), {own[0]: b, own[1]: c})
            assert value is not None
            left.append(value * mpf(factor.numerator) / factor.denominator)
            right.append(s.formula(SLOPES[other], b=wanted[0], c=wanted[1], h=s.number(h)))
    known = [k for k, x in enumerate(left) if x == 0 or 1e-12 < abs(x) < 1e12]
    return Cover(s, box, wanted, [left[k] for k in known], [right[k] for k in known]).excluding()


@pytest.mark.parametrize("form", sorted(SLOPES))
@settings(QUICK, max_examples=20)  # of each form
@given(st.data())
def test_what_some_values_explain_is_not_excluded(form: str, data: st.DataObject) -> None:
    b = data.draw(st.fractions(F(1, 1000), F(50)) | st.sampled_from([F(1), F(1, 1024), F(1023)]))  # ends of boxes among them
    c = data.draw(st.fractions(F(1, 1000), F(499, 1000)) | st.sampled_from([F(1, 4), F(3, 8)]))
    factor = data.draw(st.fractions(F(1, 100), F(100)))
    assert covered(form, form, b, c, factor) is None


DIFFERENT = [("logistic", "exponential"), ("exponential", "logistic"), ("savage", "logistic"), ("logistic", "savage"), ("hinge", "logistic"),
             ("square", "savage"), ("savage", "square"), ("exponential", "savage")]  # fmt: skip


@pytest.mark.parametrize(("mine", "other"), DIFFERENT)
def test_what_no_values_explain_is_excluded(mine: str, other: str) -> None:
    used = covered(mine, other, F(7, 10), F(1, 10))
    assert used is not None
    assert len(used) >= 1


def test_a_factor_must_be_positive() -> None:
    assert covered("logistic", "logistic", F(1), F(1, 4), F(-1)) is not None
