"""Limits at infinity against far values, computed in high precision by the test's own evaluator."""

from __future__ import annotations

import random

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from independent import valued
from mpmath import mp, mpf
from sampled import QUICK
from value_functions import BOX, KNOWN, random_text

from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.ends.far import Far, Lead, Z
from halo.analysis.ends.limits import limit, tail
from halo.analysis.ranges import POSITIVE
from halo.analysis.scalar import Scalars
from halo.objective.formula import parse

PLACES = ({"b": "2", "e": "1/8", "a": "1/3"}, {"b": "1/8", "e": "3/8", "a": "9/10"})


def agrees(text: str, side: int, claimed: sympy.Expr) -> bool:
    """Whether the values at 2,000 and 20,000 fit the claim, at two places of the parameters."""
    with mp.workdps(60):
        for place in PLACES:
            at = {name: mpf(sympy.Rational(value).p) / sympy.Rational(value).q for name, value in place.items()}
            near, far = (valued(parse(text), {**at, "z": mpf(side) * z}) for z in (2000, 20000))
            plain = claimed.replace(sympy.Function("relu"), lambda x: sympy.Max(0, x))
            expected = plain.subs({s: sympy.Rational(place[str(s)]) for s in claimed.free_symbols})
            if expected in (sympy.oo, -sympy.oo):
                sign = 1 if expected == sympy.oo else -1
                if not sign * far > sign * near > 4:
                    return False
            elif abs(far - mpf(str(sympy.N(expected, 40)))) > mpf("0.01") * (1 + abs(far)):
                return False
    return True


def asked(text: str, side: int) -> sympy.Expr | None:
    s = Scalars()
    letters = {name: s.make(op="parameter", data=name) for name in BOX} | {"z": s.variable("z")}
    return limit(s, s.formula(text, **letters), letters["z"], {letters[name]: span for name, span in BOX.items()}, side)


@pytest.mark.parametrize("text", KNOWN)
def test_limits_of_known_value_functions(text: str) -> None:
    found = {side: asked(text, side) for side in (-1, 1)}
    assert all(claimed is None or agrees(text, side, claimed) for side, claimed in found.items()), found


def test_limits_of_random_expressions() -> None:
    rng, found = random.Random(7), 0
    for _ in range(300):
        text, side = random_text(rng, 3), rng.choice([-1, 1])
        claimed = asked(text, side)
        if claimed is not None:
            found += 1
            assert agrees(text, side, claimed), (text, side, claimed)
    assert found > 200


@pytest.mark.parametrize(("text", "side", "claimed"), [
    ("(z**2 + 1)/(2*z**2 - z)", 1, "1/2"), ("log(1 + 3*exp(z)) - z", 1, "log(3)"), ("exp(z)*log(1 + exp(-z))", 1, "1"),
    ("z*exp(-z)", 1, "0"), ("z**3*exp(z)", -1, "0"), ("(1 + b*exp(z))/(exp(z) - z)", 1, "b"), ("relu(z)/abs(z)", -1, "0"),
    ("exp(2*z)/(1 + exp(z))**2", 1, "1"), ("(softplus(z) - z)*exp(z)", 1, "1"), ("exp(-b*z)", 1, "0"),
])  # fmt: skip
def test_limits_with_a_closed_form(text: str, side: int, claimed: str) -> None:
    assert str(asked(text, side)) == claimed


def test_no_limit_is_guessed() -> None:
    assert asked("(1 - 2*e)*e*z", 1) is None  # 0 at e = 0, +oo above
    assert asked("exp(z)*exp(-b*z)", 1) is None  # depends on whether b > 1
    assert asked("exp(z)*(log(1 + exp(-z)) - exp(-z))", 1) is None  # leading terms cancel


# -- against what is known of leading terms, and against sympy ----------------------------------------------------------------

whole = st.integers(-4, 4)


@QUICK
@given(st.lists(whole, min_size=1, max_size=4).filter(any), st.lists(whole, min_size=1, max_size=4).filter(any), st.sampled_from([-1, 1]))
def test_a_rational_function_goes_where_its_leading_terms_go(top: list[int], bottom: list[int], side: int) -> None:
    (n, a), (m, b) = (max((power, c) for power, c in enumerate(rising) if c) for rising in (top, bottom))
    spelled = ["+".join(f"({c})*z**{power}" if power else f"({c})" for power, c in enumerate(rising)) for rising in (top, bottom)]
    claimed = asked(f"({spelled[0]})/({spelled[1]})", side)
    expected = 0 if n < m else sympy.Rational(a, b) if n == m else sympy.oo * a * b * side ** (n - m)
    assert claimed == expected


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("text", [
    "exp(z)/(1 + exp(z))", "log(1 + exp(z)) - z", "z*exp(-z)", "(exp(2*z) - 3*z)/(2*exp(2*z) + exp(z))", "exp(-z) + 1/z", "log(2 + exp(-z))",
    "(z**2 - exp(z))/(1 + z)", "exp(z)*log(1 + exp(-z))", "z - log(1 + exp(z))", "exp(3*z)/(exp(z) + z)**2",
])  # fmt: skip
def test_sympy_has_the_same_limit(text: str, side: int) -> None:
    """sympy's Gruntz algorithm is another method altogether."""
    z = sympy.Symbol("z", real=True)
    claimed = asked(text, side)
    assert claimed is None or claimed == sympy.limit(sympy.sympify(text, {"z": z}), z, side * sympy.oo)


def test_a_form_seen_from_far_out() -> None:
    s = Scalars()
    b, x = s.make(op="parameter", data="b"), s.variable("x")
    algebra = Algebra({b: POSITIVE})
    form = algebra.normal(s.formula("3*b*exp(2*x)*x - x**5", b=b, x=x))
    far = Far(algebra, x, 1)
    lead = far.lead(far.seen(form))
    assert lead is not None
    assert isinstance(lead, Lead)
    powers = dict(lead.monomial)
    assert powers.pop(Z) == 1
    ((scale, power),) = powers.items()
    assert power * far.exponents[scale][0] == 2  # exp(2 x), whatever the scale
    assert far.exponents[scale][1] == ((Z, 1),)
    assert (lead.grows, lead.sign) == (1, 1)
    assert lead.coefficient == 3 * algebra.generator("v", b, POSITIVE)
    assert far.lead(far.seen(algebra.normal(s.number(0)))) is None


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("text", "below", "above"), [
    ("z/sqrt(1 + z**2)", "-1", "1"), ("atan(z)", "-pi/2", "pi/2"), ("erf(z)", "-1", "1"), ("(1 - erf(z))*exp(z**2)*z", "-oo", "1/sqrt(pi)"),
    ("exp(-b*exp(-z))*exp(-z)", "0", "0"), ("sigmoid(z)*sigmoid(b*z)", "0", "1"), ("sqrt(1 + z**2) - z", "oo", "0"), ("softsign(z)", "-1", "1"),
    ("asinh(z) - log(abs(z))", "-oo", "log(2)"), ("log(atan(exp(z)))", "-oo", "log(pi/2)"), ("abs(z)**a/z", "0", "0"), ("atan(z - b)*z", "oo", "oo"),
    ("exp(exp(z))*exp(-z**3)", "oo", "oo"), ("z**2*exp(-b*z**2)", "0", "0"), ("(atan(1 + 1/z) - atan(1))*z", "1/2", "1/2"), ("exp(z/3)*exp(-z/2)", "oo", "0"),
    ("sqrt(abs(z)) - sqrt(abs(z) + 1)", "0", "0"), ("1 - (1 + z**2)**(1/4)", "-oo", "-oo"), ("where(z**3 > z, 1, 2)", "2", "1"), ("erf(exp(z))", "0", "1"),
])  # fmt: skip
def test_limits_in_several_scales(text: str, side: int, below: str, above: str) -> None:
    assert str(asked(text, side)) == (above if side > 0 else below)


@pytest.mark.parametrize(("text", "limit", "sign"), [
    ("1/(1 - exp(z))", "oo", 1), ("z - log1mexp(z)", "oo", 1), ("-sqrt(-z)", "0", -1), ("1/(2*sqrt(-z))", "oo", 1), ("log(-z)*z", "0", 1), ("exp(z)", "1", 1),
    ("(exp(z) - 1)/z", "1", 1), ("z/z**2", "-oo", -1), ("b + z", "b", 1), ("log(-z) + 1/z", "-oo", -1),
])  # fmt: skip
def test_limits_at_a_finite_end(text: str, limit: str, sign: int) -> None:
    """At 0, from below."""
    s = Scalars()
    z, b = s.variable("z"), s.make(op="parameter", data="b")
    found = tail(s, s.formula(text, z=z, b=b), z, {b: POSITIVE}, 1, s.number(0))
    assert found is not None
    assert (str(found.limit), found.sign) == (limit, sign)


def test_what_two_parameters_decide_has_no_limit() -> None:
    assert asked("exp(b*z)/(exp(b*z) + exp(a*z))", 1) is None
    assert asked("z*(atan(z) - atan(z + 1))", 1) is None  # leading terms cancel
    assert asked("log(log(z))", 1) is None
