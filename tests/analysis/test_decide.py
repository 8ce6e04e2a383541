"""The decision procedure against what can be decided otherwise: polynomials by their derivative's real roots, broken lines by their slopes."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sampled import QUICK, numbers

from halo.analysis.composition import CONCAVE, UP
from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED, Question, explained
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.analysis.verdict import Finding, Verdict

F = Fraction
X = sympy.Symbol("x", real=True)


def asked(text: str, region: Span, **box: Span) -> tuple[Verdict, Verdict]:
    s = Scalars()
    letters = {name: s.variable(name) for name in ("x", *box)}
    question = Question(s, s.formula(text, **letters), letters["x"], {letters[name]: span for name, span in box.items()}, region)
    return question.monotone(), question.concave()


# -- polynomials -----------------------------------------------------------------------------------------------------------


def least(poly: sympy.Poly, low: int, high: int) -> sympy.Expr:
    """The smallest value on [low, high]: at an end, or at a real root of the derivative."""
    slope = poly.diff(X)
    turning = [r for r in slope.real_roots() if low < r < high] if slope.degree() > 0 else []
    return (
        min(poly.eval(x) for x in (low, high, *turning))
        if not turning
        else min((poly.as_expr().subs(X, x) for x in (low, high, *turning)), key=sympy.N)
    )


@QUICK
@given(st.lists(st.integers(-4, 4), min_size=2, max_size=5), st.integers(-2, 1), st.integers(1, 3))
def test_polynomials(rising: list[int], low: int, width: int) -> None:
    text = " + ".join(f"({c})*x**{power}" if power else f"({c})" for power, c in enumerate(rising))
    poly = sympy.Poly(rising[::-1], X)
    slope = poly.diff(X)
    monotone, concave = asked(text, Span(F(low), F(low + width)))
    for verdict, derivative in ((monotone, slope), (concave, -slope.diff(X))):
        smallest = sympy.N(least(derivative, low, low + width), 30)
        assert verdict.outcome != PROVED or smallest >= -1e-20
        assert verdict.outcome != REFUTED or smallest < 0
        if smallest > 1e-9:
            assert verdict.outcome == PROVED, "strictly so on a closed range: cutting it converges"


# -- broken lines ----------------------------------------------------------------------------------------------------------

steps = st.sampled_from([F(n, 2) for n in range(-4, 5)])
breaks = st.lists(st.tuples(steps, st.sampled_from([F(n, 3) for n in (-5, -2, 0, 1, 4)])), max_size=3, unique_by=lambda pair: pair[1])


def slopes_of(first: Fraction, kinks: list[tuple[Fraction, Fraction]], spelling: str) -> list[Fraction]:
    """The slope left of all kinks, and after each: relu(x - t) adds 1 there, abs(x - t) goes from -1 to 1, min(x, t) from 1 to 0."""
    before, change = {"relu": (0, 1), "abs": (-1, 2), "min": (1, -1)}[spelling]
    found = [first + sum(c * before for c, _ in kinks)]
    for c, _ in sorted(kinks, key=lambda pair: pair[1]):
        found.append(found[-1] + c * change)
    return found


@pytest.mark.parametrize("spelling", ["relu", "abs", "min"])
def test_broken_lines(spelling: str) -> None:
    outcomes = Counter[str]()

    @QUICK
    @given(steps, breaks)
    def run(first: Fraction, kinks: list[tuple[Fraction, Fraction]]) -> None:
        bend = {"relu": "relu(x - ({}))", "abs": "abs(x - ({}))", "min": "min(x, {})"}[spelling]
        text = f"({first})*x" + "".join(f" + ({c})*{bend.format(t)}" for c, t in kinks)
        slopes = slopes_of(first, kinks, spelling)
        monotone, concave = asked(text, REALS)
        for verdict, so in ((monotone, min(slopes) >= 0), (concave, all(a >= b for a, b in pairwise(slopes)))):
            outcomes[verdict.outcome] += 1
            assert verdict.outcome != (REFUTED if so else PROVED), (text, slopes, verdict)

    run()
    assert outcomes[UNDECIDED] <= outcomes.total() * 0.1, outcomes


@QUICK
@given(numbers, numbers, st.sampled_from(["<", "<=", ">", ">="]))
def test_a_jump_falls_or_rises(t: Fraction, jump: Fraction, word: str) -> None:
    """A line of slope 1 that is moved by `jump` beyond t."""
    low, high = ("x", f"x + ({jump})") if word in "<=" else (f"x + ({jump})", "x")
    monotone, concave = asked(f"where(x {word} ({t}), {low}, {high})", REALS)
    assert monotone.outcome == (PROVED if jump >= 0 else REFUTED)
    assert concave.outcome == (PROVED if jump == 0 else REFUTED)


# -- with parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "region", "outcomes"),
    [
        ("b*x", REALS, (PROVED, PROVED)), ("-b*x", REALS, (REFUTED, PROVED)), ("x**2 - b*x", REALS, (REFUTED, REFUTED)), ("-x**2 + b*x", REALS, (REFUTED, PROVED)),
        ("exp(b*x)", REALS, (PROVED, REFUTED)), ("-exp(-b*x)", REALS, (PROVED, PROVED)), ("log(1 + b*x)", POSITIVE, (PROVED, PROVED)),
        ("x**3", POSITIVE, (PROVED, REFUTED)), ("x**3", Span(F(-5), F(0)), (PROVED, PROVED)), ("x - b", Span.point(2), (PROVED, PROVED)),
    ],
)  # fmt: skip
def test_verdicts_that_calculus_gives(text: str, region: Span, outcomes: tuple[str, str]) -> None:
    monotone, concave = asked(text, region, b=POSITIVE)
    assert (monotone.outcome, concave.outcome) == outcomes


def test_a_witness_is_in_the_region_and_the_box() -> None:
    monotone, concave = asked("b*x**2 - x", Span(F(1, 3), F(2)), b=Span(F(1, 8), F(1, 4)))
    assert monotone.outcome == concave.outcome == REFUTED
    for verdict, names in ((monotone, ("from", "to")), (concave, ("left", "middle", "right"))):
        places = [F(verdict.witness[name]) for name in names]
        assert places == sorted(places)
        assert all(F(1, 3) <= x <= F(2) for x in places)
        assert F(1, 8) <= F(verdict.witness["b"]) <= F(1, 4)


def test_what_is_not_defined_everywhere_is_not_proved() -> None:
    assert asked("log(x)", REALS)[0].outcome != PROVED
    assert [verdict.outcome for verdict in asked("where(x > 1, log(x), x - 1)", REALS)] == [
        PROVED,
        PROVED,
    ]  # the other branch hides where it is not


def test_a_proof_by_composition_names_every_part() -> None:
    s = Scalars()
    x = s.variable("x")
    node, box = s.formula("-exp(-x) + min(x, 2)", x=x), {x: REALS}
    assert Calculus(box, x).shape(node).trend == UP
    assert list(explained(node, box, x, UP))[-1] == "-exp(-x) + min(x, 2): up, in (-inf, 2)"
    assert [line.split(": ")[0] for line in explained(node, box, x, CONCAVE)] == [
        "-x", "exp(-x)", "-exp(-x)", "min(x, 2)", "-exp(-x) + min(x, 2)",
    ]  # fmt: skip


# -- verdicts --------------------------------------------------------------------------------------------------------------


def test_a_finding_takes_over_what_the_verdict_says() -> None:
    verdict = Verdict(REFUTED, "it falls", ("one step",), {"from": "0"})
    finding = Finding.of("monotone", verdict, scope="core", value="down")
    assert (finding.check, finding.verdict, finding.reason, finding.scope, finding.value) == (
        "monotone",
        REFUTED,
        "it falls",
        "core",
        "down",
    )
    assert (finding.witness, finding.steps) == ({"from": "0"}, ("one step",))
    assert Finding.of("monotone", verdict, reason="because").reason == "because"
    assert [Verdict(outcome, "").proved for outcome in (PROVED, REFUTED, UNDECIDED)] == [True, False, False]
