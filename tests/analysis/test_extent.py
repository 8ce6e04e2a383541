"""Where z can be: its ends, whether it comes near them, and what a function of it does there; held against numbers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import inf

import pytest
from mpmath import mp, mpf

from halo.analysis.defined import doubts
from halo.analysis.ends.extent import Extent
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node


def extent(value: str, argument: str, ranges: Mapping[str, Span], known: Span = REALS) -> Extent:
    """Of v(z) with z a formula of a, b and the parameter beta, in these ranges."""
    s = Scalars()
    z, letters = s.variable("z"), {name: s.variable(name) for name in "ab"}
    beta = s.make(op="parameter", data="beta")
    box: dict[Node, Span] = {letters[name]: span for name, span in ranges.items() if name in letters}
    box[beta] = ranges.get("beta", POSITIVE)
    return Extent(s, s.formula(value, z=z, beta=beta), z, (s.formula(argument, **letters, beta=beta),), box, {beta: [Fraction(1, 2)]}, {}, known)


@pytest.mark.parametrize(
    ("argument", "ranges", "span", "reached"),
    [
        ("a", {"a": NEGATIVE}, (-inf, 0), (True, True)),
        ("clip(a, -1, 1) - clip(b, -1, 1)", {"a": REALS, "b": REALS}, (-2, 2), (True, True)),
        ("a - a * a", {"a": Span(Fraction(0), Fraction(1))}, (-1, 1), (False, False)),  # it lies in [0, 1/4]: the range is not exact
        ("beta * a", {"a": NEGATIVE}, (-inf, 0), (True, False)),  # with a parameter in it nothing is said of a finite end
        ("a - b", {"a": NEGATIVE, "b": NEGATIVE}, (-inf, inf), (True, True)),
    ],
)
def test_ends_and_whether_they_are_reached(argument: str, ranges: dict[str, Span], span: tuple[float, float], reached: tuple[bool, bool]) -> None:
    found = extent("z", argument, ranges)
    assert (found.span.low, found.span.high) == span
    assert (found.end(-1), found.end(1)) == span
    assert (found.reached(-1), found.reached(1)) == reached


def test_an_end_may_belong_to_the_range() -> None:
    closed, opened = (extent("z", text, {"a": NEGATIVE}) for text in ("clip(a, -1, 1)", "a"))
    assert (closed.closed(-1), closed.closed(1), opened.closed(1)) == (True, False, False)
    assert (closed.place(-1), opened.place(-1), opened.place(1)) == ("z = -1", "-oo", "z = 0")
    assert opened.closure[opened.z] == Span(-inf, Fraction(0))
    assert opened.box[opened.z] == NEGATIVE


def test_what_is_known_beside_narrows_it() -> None:
    assert extent("z", "a - b", {"a": REALS, "b": REALS}, NEGATIVE).span == NEGATIVE


def test_a_slope_ends_as_numbers_say() -> None:
    """v = z - log(1 - exp(z)) below 0: its slope grows without end towards 0, and tends to 1 far out."""
    found = extent("z - log1mexp(z)", "a", {"a": NEGATIVE})
    near, far = found.tail(found.slope, 1), found.tail(found.slope, -1)
    assert near is not None
    assert far is not None
    assert (str(near.limit), str(far.limit)) == ("oo", "1")
    with mp.workdps(30):
        assert 1 + mp.exp(mpf("-1e-6")) / (1 - mp.exp(mpf("-1e-6"))) > 10**5


def test_a_pole_counts_only_where_z_passes_through_it() -> None:
    reaching, short = extent("1/(exp(z) - 2)", "a", {"a": REALS}), extent("1/(exp(z) - 2)", "a", {"a": NEGATIVE})
    found = reaching.pole(reaching.value)
    assert found is not None
    low, high = map(float, found.place)
    assert low < 0.6931471805599453 < high
    assert short.pole(short.value) is None


def test_samples_are_at_single_values_of_the_parameters() -> None:
    found = extent("beta * z", "a", {"a": REALS})
    (first, *_) = found.samples
    assert set(first.fixed.values()) == {Fraction(1, 2)}
    assert first.said() == " at beta = 1/2"
    assert found.said() == ""
    assert next(dict(point) for point in found.points(found.value)) == first.fixed
    assert found.points(first.s.call("mul", found.value, first.s.variable("a"))) == []


def test_what_may_have_no_value_is_named() -> None:
    s = Scalars()
    z = s.variable("z")
    bad = s.formula("1 / (z - 1)", z=z)
    assert list(doubts(s, s.call("add", bad, s.formula("1 / (1 + exp(z))", z=z)), {z: REALS})) == [bad]
    assert list(doubts(s, bad, {z: NEGATIVE})) == []
