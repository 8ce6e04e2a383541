"""Numbers to formulas: the form of the parameters that has given values.

It is a number, a monomial or an affine form; or one of these behind a map that can be undone (`exp`, `t / (1 + t)`), or over one
parameter seen through such a map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node

FITTED = 1e-6
"""How exact a fitted value is, of 1 or itself: gradients agree to `substitution.CLOSE`, and a value moves some hundred times as far."""
DENOMINATOR, LARGEST = 48, 1000
"""Of a number in a substitution that people write: thirds, sixteenths; a larger one that fits is a coincidence of floats."""
POWER, HALVES = 4, 1e-4
"""The largest power of a parameter in one, and how near twice a power is to a whole number: a logarithm of values loses two more digits."""


@dataclass(frozen=True)
class Map:
    """A function of x that can be undone: its formula, in floats, and the other way round."""

    formula: str
    forth: Callable[[float], float]
    back: Callable[[float], float]


PLAIN = Map("x", float, float)
EXPONENTIAL = Map("exp(x)", math.exp, math.log)
LOGARITHM = Map("log(x)", math.log, math.exp)
ODDS = Map("x / (1 - x)", lambda x: x / (1 - x), lambda y: y / (1 + y))
SHARE = Map("x / (1 + x)", lambda x: x / (1 + x), lambda y: y / (1 - y))
SIGMOID = Map("sigmoid(x)", lambda x: 1 / (1 + math.exp(-x)), lambda y: math.log(y / (1 - y)))
LOG_ODDS = Map("log(x / (1 - x))", SIGMOID.back, SIGMOID.forth)
INVERSE = Map("1 / x", lambda x: 1 / x, lambda y: 1 / y)
SQUARE = Map("x**2", lambda x: x * x, math.sqrt)
ROOT = Map("sqrt(x)", math.sqrt, lambda y: y * y)
TANH = Map("tanh(x)", math.tanh, math.atanh)
COMPLEMENT = Map("1 - x", lambda x: 1 - x, lambda y: 1 - y)
MORE = Map("1 + x", lambda x: 1 + x, lambda y: y - 1)
BEHIND = (PLAIN, EXPONENTIAL, LOGARITHM, SHARE, ODDS, INVERSE, SIGMOID, LOG_ODDS, SQUARE, ROOT, TANH)
THROUGH = (EXPONENTIAL, LOGARITHM, COMPLEMENT, MORE, ODDS, SHARE, SIGMOID)


def recognised(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    """The simplest form that has these values: the first of a fixed order."""
    for seen, mapped in _seen(s, names, rows):
        for behind in BEHIND:
            try:
                inner = _form(s, seen, mapped, [behind.back(v) for v in values])
            except (ValueError, OverflowError, ZeroDivisionError):
                continue
            if inner is not None:
                return s.formula(behind.formula, x=inner)
    return None


def _seen(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]]) -> Iterator[tuple[list[Node], list[list[float]]]]:
    """The parameters as they are, then with one of them seen through a map."""
    yield list(names), [list(row) for row in rows]
    for i, name in enumerate(names):
        for through in THROUGH:
            try:
                yield (
                    [*names[:i], s.formula(through.formula, x=name), *names[i + 1 :]],
                    [[*row[:i], through.forth(row[i]), *row[i + 1 :]] for row in rows],
                )
            except (ValueError, OverflowError, ZeroDivisionError):
                continue


def _form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    for form in (constant_form, monomial_form, affine_form):
        found = form(s, names, rows, values)
        if found is not None:
            return found
    return None


def _rational(x: float) -> Fraction | None:
    near = Fraction(x).limit_denominator(DENOMINATOR)
    if abs(near) >= LARGEST or not _equal(float(near), x):
        return None
    return near


def _equal(a: float, b: float) -> bool:
    return abs(a - b) <= FITTED * max(1.0, abs(b))


def constant_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    """One number for all values of the parameters `names`, which stand in `rows`."""
    if not all(_equal(values[0], v) for v in values):
        return None
    number = _rational(values[0])
    if number is None:
        return None
    return s.number(number)


def monomial_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    """A number times powers of the parameters; row i + 1 differs from the first in parameter i alone."""
    if any(v <= 0 for v in values) or any(x <= 0 for row in rows for x in row):
        return None
    powers = []
    for i in range(len(names)):
        power = math.log(values[i + 1] / values[0]) / math.log(rows[i + 1][i] / rows[0][i])
        if abs(2 * power - round(2 * power)) > HALVES or abs(power) > POWER:
            return None
        powers.append(Fraction(round(2 * power), 2))
    factors = [v / math.prod(x ** float(p) for x, p in zip(row, powers, strict=True)) for row, v in zip(rows, values, strict=True)]
    if max(factors) - min(factors) > FITTED * abs(factors[0]):
        return None
    number = _rational(factors[0])
    if number is None:
        return None
    return _product(s, names, powers, number)


def _product(s: Scalars, names: Sequence[Node], powers: Sequence[Fraction], number: Fraction) -> Node:
    above, below = s.number(number.numerator), s.number(number.denominator)
    for name, power in zip(names, powers, strict=True):
        raised = name
        if abs(power) != 1:
            raised = s.call("pow", name, s.number(abs(power)))
        if power > 0:
            above = s.call("mul", above, raised)
        elif power < 0:
            below = s.call("mul", below, raised)
    return s.call("div", above, below)


def affine_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    """A number plus multiples of the parameters."""
    total, rest = s.number(0), values[0]
    slopes = []
    for i, name in enumerate(names):
        slope = _rational((values[i + 1] - values[0]) / (rows[i + 1][i] - rows[0][i]))
        if slope is None:
            return None
        slopes.append(float(slope))
        rest -= float(slope) * rows[0][i]
        if slope:
            total = s.call("add", total, s.call("mul", s.number(slope), name))
    constant = _rational(rest)
    if constant is None:
        return None
    for row, value in zip(rows, values, strict=True):
        there = float(constant) + math.fsum(a * x for a, x in zip(slopes, row, strict=True))
        if not abs(there - value) < FITTED:
            return None
    return s.call("add", s.number(constant), total)
