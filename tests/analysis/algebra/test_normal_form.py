"""The normal form has the value of what it is the form of; identities that need it are seen."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from sampled import QUICK, formulas, numbers, value

from halo.analysis.algebra.factors import Generator, OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node


class Reading:
    """Forms evaluated through what their generators stand for."""

    def __init__(self, algebra: Algebra, at: dict[Node, mpf]) -> None:
        self.algebra, self.at = algebra, at

    def value(self, form: sympy.Expr) -> mpf:
        symbols = sorted(form.free_symbols, key=str)
        return mpf(1) * sympy.lambdify(symbols, form, "mpmath")(*[self.of(self.algebra.by_symbol[s]) for s in symbols])

    def of(self, generator: Generator) -> mpf:
        key: Any = generator.key
        match generator.kind:
            case "v":
                return self.at[key]
            case "w":
                return mp.exp(self.value(key[0]) / key[1])
            case "l":
                return mp.log(self.value(key))
            case "r":
                return max(mpf(0), self.value(key))
            case "p":
                return mp.power(*map(self.value, key))
            case "f":
                return getattr(mp, key[0])(self.value(key[1]))
            case _:
                raise AssertionError(f"{generator.kind} is not drawn")


@QUICK
@given(formulas(["x", "y"]), numbers, numbers, st.sampled_from([REALS, Span(Fraction(-5), Fraction(5))]))
def test_the_form_has_the_value_of_the_formula(text: str, x: Fraction, y: Fraction, span: Span) -> None:
    s = Scalars()
    letters = {name: s.variable(name) for name in "xy"}
    algebra = Algebra(dict.fromkeys(letters.values(), span))
    try:
        form = algebra.normal(s.formula(text, **letters))
    except OutOfReach:
        return
    with mp.workdps(60):
        at = {letters["x"]: mpf(x.numerator) / x.denominator, letters["y"]: mpf(y.numerator) / y.denominator}
        found, expected = Reading(algebra, at).value(form), value(text, {"x": x, "y": y})
        assert abs(found - expected) <= mpf(10) ** -40 * (1 + abs(expected))


BOX = {"x": REALS, "y": REALS, "b": POSITIVE, "n": NEGATIVE}


def form_of(text: str) -> tuple[Algebra, sympy.Expr, dict[str, Node]]:
    s = Scalars()
    letters = {name: s.variable(name) for name in BOX}
    algebra = Algebra({letters[name]: span for name, span in BOX.items()})
    return algebra, algebra.normal(s.formula(text, **letters)), letters


@pytest.mark.parametrize("zero", [
    "(x + y)**2 - x**2 - 2*x*y - y**2", "exp(x + y) - exp(x)*exp(y)", "exp(x/2)**2 - exp(x)", "log(sigmoid(x)) + softplus(-x)",
    "tanh(x) - (2*sigmoid(2*x) - 1)", "sigmoid(x) + sigmoid(-x) - 1", "log(b**2) - 2*log(b)", "log(exp(x)/(1 + exp(x))) - logsigmoid(x)",
    "relu(x) - relu(-x) - x", "abs(x) - relu(x) - relu(-x)", "max(x, y) + min(x, y) - x - y", "relu(b*x) - b*relu(x)", "relu(n)",
    "exp(log(b)) - b", "log1mexp(n) - log(1 - exp(n))", "exp(3*log(b)) - b**3", "clip(x, -1, 1) - min(max(x, -1), 1)", "b**x - exp(x*log(b))",
])  # fmt: skip
def test_identities_are_seen(zero: str) -> None:
    algebra, form, _ = form_of(zero)
    assert algebra.is_zero(form)


@pytest.mark.parametrize("other", ["x - y", "exp(x) - exp(y)", "relu(x) - x", "abs(x) - x", "sigmoid(x) - 1/2", "log(b) - b + 1", "x**2 + 1"])
def test_what_is_not_0_is_not_taken_for_0(other: str) -> None:
    algebra, form, _ = form_of(other)
    assert not algebra.is_zero(form)


@pytest.mark.parametrize(
    ("text", "made_of"),
    [("x + y", "xy"), ("exp(x*b)", "xb"), ("log(1 + exp(x))", "x"), ("relu(log(1 + exp(x)) - b)", "xb"), ("atan(x + n)", "xn"), ("exp(x - x)", ""),
     ("where(x > b, y, n)", "xybn"), ("log(b)**2", "b"), ("exp(log(1 + exp(y))*x)", "xy")],
)  # fmt: skip
def test_variables_are_found_inside_generators(text: str, made_of: str) -> None:
    algebra, form, letters = form_of(text)
    assert algebra.variables_in(form) == {letters[name] for name in made_of}


def test_several_scalars_share_their_generators() -> None:
    """exp(x) is the square of exp(x/2) only if both are written in the same one: the common denominator is found afterwards."""
    s = Scalars()
    x = s.variable("x")
    algebra = Algebra({})
    whole, half, third = algebra.normals([s.formula(text, x=x) for text in ("exp(x)", "exp(x/2)", "exp(x/3)")])
    assert whole - half**2 == 0
    assert whole - third**3 == 0
    assert len(whole.free_symbols | half.free_symbols | third.free_symbols) == 1


def test_the_functions_that_have_generators() -> None:
    s = Scalars()
    b, n = s.variable("b"), s.variable("n")
    algebra = Algebra({b: POSITIVE, n: NEGATIVE})
    p, q = (algebra.normal(node) for node in (b, n))
    assert algebra.exp(algebra.log(p)) == p
    assert algebra.log(algebra.exp(p)) == p
    assert algebra.log(p**3) == 3 * algebra.log(p)
    assert (algebra.relu(p), algebra.relu(q), algebra.relu(3 * p)) == (p, 0, 3 * p)
    assert algebra.relu(p + q) - algebra.relu(-p - q) == p + q


def test_a_root_is_told_from_an_exponential_and_generators_are_forgotten() -> None:
    s = Scalars()
    z = s.variable("z")
    algebra = Algebra({z: POSITIVE})
    form = algebra.normal(s.formula("sqrt(1 + z) + exp(z)", z=z))
    kinds = {algebra.is_root(algebra.by_symbol[symbol]) for symbol in form.free_symbols}
    assert kinds == {True, False}
    algebra.restart()
    assert not algebra.by_symbol
    assert not algebra.generators
