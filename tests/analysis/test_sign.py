"""The sign of a scalar on a box, by ranges, by algebra and in cases at its kinks, against samples."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, formulas, members, spans, value

from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.analysis.sign import sign_in_cases, sign_of

BOX = {"x": REALS, "b": POSITIVE, "n": NEGATIVE, "m": NONNEGATIVE, "u": Span(Fraction(0), Fraction(1), True, True)}


@QUICK
@given(st.data(), formulas(["x", "y"], depth=2), st.booleans())
def test_no_sample_contradicts_a_sign(data: st.DataObject, text: str, strict: bool) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in "xy"}
    box = {node: data.draw(spans) for node in letters.values()}
    node = s.formula(text, **letters)
    found = [sign_of(node, box, strict), None if strict else sign_in_cases(s, node, box)]
    for _ in range(3):
        at = {name: data.draw(members(box[letter])) for name, letter in letters.items()}
        with mp.workdps(60):
            there = value(text, at)
        slack = mpf(10) ** -40
        for sign in found:
            assert sign is None or sign * there >= -slack
            assert sign != 0 or abs(there) <= slack
            assert not (strict and sign) or there != 0


@pytest.mark.parametrize(
    ("text", "weak", "strict"),
    [("exp(x)", 1, 1), ("exp(x) - x - 1", None, None), ("x**2 - 2*x + 1", 1, None), ("softplus(x) - relu(x)", None, None), ("log(sigmoid(x))", -1, -1),
     ("sigmoid(x) + sigmoid(-x) - 1", 0, 0), ("m*exp(x)", 1, None), ("u*log(u)", -1, -1), ("b*n*exp(x)", -1, -1), ("b + x**2", 1, 1),
     ("exp(x) + exp(-x) - 2", 1, None), ("log1p(b) - b", -1, -1)],
)  # fmt: skip
def test_signs(text: str, weak: int | None, strict: int | None) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in BOX}
    box = {letters[name]: span for name, span in BOX.items()}
    node = s.formula(text, **letters)
    assert (sign_of(node, box), sign_of(node, box, strict=True)) == (weak, strict)


@pytest.mark.parametrize(("text", "cases"), [
    ("where(x > 0, exp(x) - 1, 1 - exp(x))", 1), ("relu(x)*(x + 1)", 1), ("sign(x)*x", 1), ("abs(x) - x", 1), ("min(x, 0)*b", -1),
    ("where(x > 1, x - 1, x)", None),
])  # fmt: skip
def test_signs_in_cases(text: str, cases: int | None) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in BOX}
    box = {letters[name]: span for name, span in BOX.items()}
    assert sign_in_cases(s, s.formula(text, **letters), box) == cases
