"""Points to try: inside the box, enough of them, always the same; along a line, exactly where a curve falls, sags or switches."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, product
from math import inf, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import QUICK, spans, value

from halo.analysis.points import COUNTED, GRID, Line, at_kink, candidates, points, switches, walk
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node

F = Fraction


def line(text: str, span: Span = REALS, **fixed: Fraction) -> Line:
    s = Scalars()
    letters = {name: s.variable(name) for name in ("x", *fixed)}
    return Line(s.formula(text, **letters), letters["x"], {letters[name]: at for name, at in fixed.items()}, span)


def read(text: str) -> tuple[Node, dict[str, Node]]:
    s = Scalars()
    letters = {name: s.variable(name) for name in "xy"}
    return s.formula(text, **letters), letters


# -- candidates and points -------------------------------------------------------------------------------------------------


@QUICK
@given(spans, st.lists(st.sampled_from(GRID), max_size=3))
def test_candidates_are_of_the_range(span: Span, first: list[Fraction]) -> None:
    found = candidates(span, first)
    assert found
    assert all(x in span for x in found)
    assert len(set(found)) == len(found)
    wanted = list(dict.fromkeys(x for x in first if x in span))
    assert found[: len(wanted)] == wanted
    ends = [end for end, is_open in ((span.low, span.low_open), (span.high, span.high_open)) if not is_open]
    assert set(ends) <= set(found)


@QUICK
@given(st.lists(spans, min_size=1, max_size=5), st.sampled_from([1, 7, 64]))
def test_points_lie_in_the_box(box: list[Span], limit: int) -> None:
    s = Scalars()
    names = [s.variable(f"v{i}") for i in range(len(box))]
    inside = dict(zip(names, box, strict=True))
    found = points(inside, names, limit)
    assert all(set(point) == set(names) and all(x in inside[v] for v, x in point.items()) for point in found)
    assert len({tuple(point.values()) for point in found}) == len(found) <= limit
    everything = prod(len(candidates(span)) for span in box)
    if everything <= limit:
        assert [tuple(point.values()) for point in found] == list(product(*map(candidates, box)))
    else:
        assert len(found) >= min(limit, everything) // 2
    assert found == points(inside, names, limit)


def test_every_candidate_is_met_by_itself() -> None:
    """Propositions fail where one coordinate alone stands at an end."""
    s = Scalars()
    names = [s.variable(f"v{i}") for i in range(4)]
    spans = dict.fromkeys(names, Span(F(0), F(1)))
    found = points(spans, names, 300)
    base = found[0]
    for name in names:
        for x in candidates(spans[name]):
            assert {**base, name: x} in found


@pytest.mark.parametrize("word", COUNTED)
def test_what_is_counted_is_whole(word: str) -> None:
    s = Scalars()
    length = s.make(op="input", data=word, slot="chosen", axes=("example",))
    found = points({length: Span(F(1), inf)}, [length])
    assert len(found) >= 3
    assert all(point[length].denominator == 1 for point in found)


def test_points_that_are_asked_for_come_first() -> None:
    s = Scalars()
    x, y = s.variable("x"), s.variable("y")
    assert points({x: POSITIVE}, [x, y], first={x: [F(7, 3)], y: [F(-9)]})[0] == {x: F(7, 3), y: F(-9)}


def test_the_walk_is_the_ansi_generator() -> None:
    """The standard's example of `rand` with seed 1 gives these, from the bits 16 to 30."""
    assert [(n >> 8) % 32_768 for n in islice(walk(1), 5)] == [16838, 5758, 10113, 17515, 31051]


def test_the_grid_is_symmetric() -> None:
    assert sorted(set(GRID)) == GRID
    assert [-x for x in reversed(GRID)] == GRID


# -- kinks -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kinks"),
    [("relu(2*x - 1)", [F(1, 2)]), ("abs(x)", [F(0)]), ("max(x, 1) + min(x, 3)", [F(1), F(3)]), ("clip(x, -1, 2)", [F(-1), F(2)]),
     ("where(x > 5, x, 0)", [F(5)]), ("sign(x + 1)", [F(-1)]), ("exp(x)", [])],
)  # fmt: skip
def test_where_a_scalar_kinks(text: str, kinks: Sequence[Fraction]) -> None:
    node, letters = read(text)
    assert [at for at in sorted({*kinks, F(1, 3), F(-7)}) if at_kink(node, {letters["x"]: at})] == list(kinks)
    assert len(switches(node, letters["x"])) == len(kinks)
    assert switches(node, letters["y"]) == []


def test_only_what_moves_along_x_switches() -> None:
    node, letters = read("relu(y) + max(x, y)")
    assert switches(node, letters["x"]) == [(letters["x"], letters["y"])]
    assert len(switches(node, letters["y"])) == 2


# -- lines -----------------------------------------------------------------------------------------------------------------


def test_a_line_looks_at_its_kinks_and_beside_them() -> None:
    found = line("relu(7*x - 3) + y", y=F(2)).places
    assert F(3, 7) in found
    assert any(0 < x - F(3, 7) < F(1, 1000) for x in found)
    assert any(0 < F(3, 7) - x < F(1, 1000) for x in found)
    assert found == sorted(found)
    assert set(GRID) <= set(found)


def test_a_line_stays_in_its_range() -> None:
    span = Span(F(0), F(1), True, False)
    assert all(x in span for x in line("abs(x - 1/3)", span).places)


@pytest.mark.parametrize("text", ["-x", "x**3 - x", "where(x > 1, x - 1, x)", "abs(x)", "sign(-x)", "-relu(x - 11)", "x - 2*relu(x - 1/7)"])
def test_a_fall_is_one(text: str) -> None:
    found = list(line(text).falls())
    assert found
    for a, b in found:
        assert a < b
        assert value(text, {"x": a}) > value(text, {"x": b})


@pytest.mark.parametrize("text", ["2", "x", "relu(x)", "min(x, 1)", "where(x > 0, x + 1, x)", "clip(x, -2, 2)", "sign(x)"])
def test_what_does_not_fall_has_no_fall(text: str) -> None:
    assert list(line(text).falls()) == []


@pytest.mark.parametrize("text", ["x**2", "abs(x)", "relu(x - 1/7)", "max(x, 3)", "exp(x)", "where(x > 1, x, 1)"])
def test_a_sag_is_one(text: str) -> None:
    found = list(line(text).sags())
    assert found
    for a, c, b in found:
        assert a < c < b
        chord = value(text, {"x": a}) + (value(text, {"x": b}) - value(text, {"x": a})) * (c - a).numerator * (b - a).denominator / (
            (c - a).denominator * (b - a).numerator
        )
        assert value(text, {"x": c}) < chord


@pytest.mark.parametrize("text", ["x", "-x**2", "min(x, 1)", "-abs(x - 3)", "3 - relu(x)"])
def test_what_is_concave_has_no_sag(text: str) -> None:
    assert list(line(text).sags()) == []
