"""Kinks: their thresholds solved by hand, their branches against values on both sides, their jumps against the gap."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, many, numbers, value

from halo.analysis.kinks import branches_of, jumps, meets, settled, switch, switches_along, switching_at, threshold
from halo.analysis.ranges import POSITIVE, REALS
from halo.analysis.scalar import Scalars, topological_scalar
from halo.analysis.values import sure_value
from halo.compiler.graph import Node

F = Fraction


def read(text: str, s: Scalars) -> tuple[Node, dict[str, Node]]:
    letters = {name: s.variable(name) for name in "xyb"}
    return s.formula(text, **letters), letters


def at(node: Node, letters: dict[str, Node], **given_to: Fraction) -> mpf | None:
    return sure_value(node, {letters[name]: x for name, x in given_to.items()})


def same(one: mpf | None, other: mpf | Fraction) -> bool:
    """To 40 digits: one of the two was computed with more than the other."""
    there = many(other) if isinstance(other, Fraction) else other
    return one is not None and abs(one - there) <= mpf(10) ** -40 * (1 + abs(there))


slopes = st.sampled_from([F(n, 3) for n in (-9, -4, -1, 1, 2, 6)])


@QUICK
@given(slopes, numbers, numbers)
def test_a_threshold_is_where_the_difference_is_0(slope: Fraction, origin: Fraction, right: Fraction) -> None:
    s = Scalars()
    node, letters = read(f"where(({slope})*x + ({origin}) > ({right}), x, 0)", s)
    found = threshold(s, *switch(s, node), letters["x"], {})
    assert found is not None
    with mp.workdps(60):
        assert same(at(found[0], letters), (right - origin) / slope)
    assert found[1] is (slope > 0)


@pytest.mark.parametrize(("left", "right", "there", "rising"), [
    ("b*x", "1", "1/b", True), ("-b*x", "y", "-y/b", False), ("x - y", "b", "b + y", True), ("2*x - x", "3", "3", True), ("x/b", "-y", "-y*b", True),
])  # fmt: skip
def test_a_threshold_that_depends_on_the_rest(left: str, right: str, there: str, rising: bool) -> None:
    s = Scalars()
    a, letters = read(left, s)
    found = threshold(s, a, read(right, s)[0], letters["x"], {letters["b"]: POSITIVE})
    assert found is not None
    for y, b in ((F(2), F(3)), (F(-1, 2), F(1, 7))):
        with mp.workdps(60):
            assert same(at(found[0], letters, y=y, b=b), value(there, {"y": y, "b": b}))
    assert found[1] is rising


@pytest.mark.parametrize("left", ["x**2", "y*x", "exp(x)", "y", "abs(x)", "x*x*b", "(b - 1)*x"])
def test_no_threshold_is_given_where_it_is_not_affine_or_may_not_move(left: str) -> None:
    s = Scalars()
    node, letters = read(left, s)
    assert threshold(s, node, s.number(1), letters["x"], {letters["b"]: POSITIVE}) is None


@pytest.mark.parametrize(
    ("text", "there"),
    [("relu(2*x - 3)", F(3, 2)), ("abs(1 - x)", F(1)), ("min(x, 5)", F(5)), ("max(4, -x)", F(-4)), ("sign(x)", F(0)), ("clip(x, -1, 2)", F(-1)),
     ("where(3*x < 1, x, 2)", F(1, 3))],
)  # fmt: skip
def test_both_branches_of_a_kink_have_its_value_on_their_side(text: str, there: Fraction) -> None:
    s = Scalars()
    node, letters = read(text, s)
    pair = switch(s, node)
    solved = threshold(s, *pair, letters["x"], {})
    assert solved is not None
    with mp.workdps(60):
        assert same(at(solved[0], letters), there)
    low, high = branches_of(s, node, pair)
    left, right = (low, high) if solved[1] else (high, low)
    for side, branch in ((-1, left), (1, right)):
        for step in (F(1, 1000), F(1), F(50)):
            x = there + side * step
            with mp.workdps(60):
                assert same(at(branch, letters, x=x), value(text, {"x": x}))
    found = switching_at(s, node, letters["x"], {})
    assert found is not None
    assert at(found, letters) == at(solved[0], letters)


def test_of_more_than_two_the_first_two_switch_first() -> None:
    s = Scalars()
    node, letters = read("max(x, y, b)", s)
    low, high = branches_of(s, node, switch(s, node))
    assert {low, high} == {s.formula("max(y, b)", **letters), s.formula("max(x, b)", **letters)}


@pytest.mark.parametrize(
    ("text", "kinks"),
    [("relu(x)", ["relu(x)"]), ("relu(abs(x) - 1)", ["abs(x)"]), ("relu(y)", []), ("exp(relu(x)) + min(x, y)", ["relu(x)", "min(x, y)"]),
     ("where(x > 1, relu(x), y)", ["where(x > 1, relu(x), y)", "relu(x)"]), ("where(y > 1, relu(x), y)", ["relu(x)"]), ("x*x", [])],
)  # fmt: skip
def test_the_innermost_kink_along_x_switches(text: str, kinks: list[str]) -> None:
    s = Scalars()
    node, letters = read(text, s)
    found = {inner for inner in topological_scalar(node) if switches_along(inner, letters["x"])}
    assert found == {s.formula(kink, **letters) for kink in kinks}


def test_what_does_not_switch_has_no_place() -> None:
    s = Scalars()
    node, letters = read("exp(x) + relu(y)", s)
    assert switching_at(s, node, letters["x"], {}) is None
    assert switching_at(s, read("relu(x**3 - 1)", s)[0], letters["x"], {}) is None


@pytest.mark.parametrize(
    "text",
    ["relu(x)", "abs(x - 3)", "max(x, 1, -x)", "clip(x, -1, 2)", "sign(2*x - 1)*x", "where(x > 3, x, -x) + relu(-x)", "min(x**2, 5)"],
)
@pytest.mark.parametrize("side", [-1, 1])
def test_what_has_settled_has_the_value_far_out(text: str, side: int) -> None:
    s = Scalars()
    node, letters = read(text, s)
    found = settled(s, node, letters["x"], {letters["x"]: REALS}, side)
    assert not any(switches_along(inner, letters["x"]) for inner in (found, *found.args))
    for x in (F(10**5), F(10**7) + F(1, 3)):
        with mp.workdps(60):
            assert same(at(found, letters, x=side * x), value(text, {"x": side * x}))


def test_what_never_settles_is_left_as_it_is() -> None:
    s = Scalars()
    node, letters = read("max(x, y*x)", s)
    assert settled(s, node, letters["x"], {}, 1) is node


@QUICK
@given(st.sampled_from(["lt", "le", "gt", "ge"]), numbers, slopes, slopes, numbers, numbers)
def test_branches_meet_where_their_values_do(word: str, t: Fraction, a: Fraction, b: Fraction, c: Fraction, d: Fraction) -> None:
    """Two affine branches: the gap at the threshold is a number that anyone can work out."""
    s = Scalars()
    x = s.variable("x")
    yes, no = (s.formula(f"({slope})*x + ({origin})", x=x) for slope, origin in ((a, c), (b, d)))
    condition = s.apply(word, x, s.number(t))
    node = s.call("where", condition, yes, no)
    gap = (a * t + c) - (b * t + d)
    if node.data == "where":
        assert meets(s, node, (x, s.number(t)), x, {}) == (gap == 0)
    assert jumps(s, node, lambda v: v is x, {}) == (gap != 0)


@pytest.mark.parametrize(("text", "moved", "jumping"), [
    ("sign(x)", "x", True), ("sign(x)", "y", False), ("relu(x) + abs(x)", "x", False), ("where(x > y, 1, 0)", "y", True), ("where(b > 1, x, y)", "x", False),
    ("where(x > 1, x, 1)", "x", False), ("where(x > 1, x - 1, y*(x - 1))", "x", False), ("exp(where(x > 0, x, 1))", "x", True),
])  # fmt: skip
def test_jumps(text: str, moved: str, jumping: bool) -> None:
    s = Scalars()
    node, letters = read(text, s)
    assert jumps(s, node, lambda v: v is letters[moved], {letters["b"]: POSITIVE}) is jumping
