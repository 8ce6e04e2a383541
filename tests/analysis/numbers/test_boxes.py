"""Enclosures over many boxes at once: the value at any numbers inside the boxes lies between the ends of that box."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent import COMPARED, applied, knows, valued
from mpmath import mp
from sampled import QUICK, many, numbers

from halo.analysis.numbers.boxes import BOXES, Ends, Told
from halo.analysis.scalar import Scalars
from halo.analysis.values import Program
from halo.objective.formula import parse
from halo.objective.functions import FUNCTIONS

F = Fraction
WORDS = sorted(filter(knows, set(FUNCTIONS) - {"where", *COMPARED}))
widths = st.sampled_from([F(0), F(1, 10**6), F(1, 3), F(3), F(400)])
PARTS = (F(0), F(1, 7), F(1))


def boxes(sides: list[tuple[Fraction, Fraction]]) -> Ends:
    """One argument in several boxes, ends rounded outwards."""
    ends = [(BOXES.number(low).low, BOXES.number(high).high) for low, high in sides]
    return Ends(np.array([low for low, _ in ends]), np.array([high for _, high in ends]))


@pytest.mark.parametrize("word", WORDS)
@settings(QUICK, max_examples=20)  # of each of two dozen words, in three boxes
@given(st.data())
def test_a_word_encloses_its_values_in_every_box(word: str, data: st.DataObject) -> None:
    least, most = FUNCTIONS[word].arity
    count = data.draw(st.integers(least, min(most, 3)))
    sides = [[(low := data.draw(numbers), low + data.draw(widths)) for _ in range(3)] for _ in range(count)]
    parts = [data.draw(st.sampled_from(PARTS)) for _ in range(count)]
    found = BOXES.function(word)(*map(boxes, sides))
    low, high = (np.broadcast_to(end, 3) for end in found)
    for k in range(3):
        inside = [side[k][0] + (side[k][1] - side[k][0]) * part for side, part in zip(sides, parts, strict=True)]
        with mp.workdps(60):
            try:
                there = applied(word, [many(x) for x in inside])
            except (ZeroDivisionError, ValueError):
                continue
            if isinstance(there, mp.mpc) or not mp.isfinite(there):
                continue
            assert low[k] <= there <= high[k], (inside, low[k], high[k])


TEXTS = ["where(x < y, x * y, x - y)", "x**3 - y**2", "(x + 1)**-1", "abs(x) / (1 + exp(-30 * y))", "sqrt(y) * x", "y**x", "where(x <= 0, 1, log(x))",
         "where(x > y, 1, 2) + where(x >= 1, x, y)"]  # fmt: skip


@pytest.mark.parametrize("written", TEXTS)
def test_a_formula_encloses_its_values_in_every_box(written: str) -> None:
    """Boxes on either side of what is compared, and on both; a branch that is not taken may be anything."""
    s = Scalars()
    x, y = s.variable("x"), s.variable("y")
    program = Program([s.formula(written, x=x, y=y)], [x, y], BOXES)
    sides = [(F(low, 2), F(low, 2) + width) for low in range(-4, 5) for width in (F(0), F(1, 2), F(4))]
    pairs = [(a, b) for a in sides for b in sides]
    (found,) = program([boxes([a for a, _ in pairs]), boxes([b for _, b in pairs])])
    low, high = (np.broadcast_to(end, len(pairs)) for end in found)
    for k, (a, b) in enumerate(pairs):
        for part in PARTS:
            point = {"x": a[0] + (a[1] - a[0]) * part, "y": b[0] + (b[1] - b[0]) * (1 - part)}
            try:
                value = valued(parse(written), {name: many(x) for name, x in point.items()})
            except (ZeroDivisionError, ValueError):
                continue
            assert isinstance(value, mp.mpc) or not mp.isfinite(value) or low[k] <= value <= high[k], (point, value)


def test_what_cannot_be_told_may_be_anything() -> None:
    nothing = BOXES.nothing(ZeroDivisionError())
    assert (nothing.low, nothing.high) == (-np.inf, np.inf)
    assert not BOXES.lost(nothing)
    third = BOXES.number(F(1, 3))
    assert F(float(third.low)) < F(1, 3) < F(float(third.high))
    assert BOXES.number(F(10) ** 400) == nothing
    one, two = BOXES.number(F(1)), BOXES.number(F(2))
    assert BOXES.either(Told(np.False_, np.True_), one, two) == Ends(1.0, 2.0)
    assert BOXES.either(Told(np.True_, np.True_), one, two) == one
    assert BOXES.either(nothing, one, two) == Ends(1.0, 2.0)  # type: ignore[arg-type]
    assert BOXES.read(parse("x + 1"), {"x": one}).high == pytest.approx(2, abs=1e-14)
