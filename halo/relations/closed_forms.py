"""Numbers to formulas: the constant, monomial or affine form of the parameters that has given values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node


def _rational(x: float) -> Fraction | None:
    near = Fraction(x).limit_denominator(48)
    return near if abs(float(near) - x) <= 1e-6 * max(1.0, abs(x)) and abs(near) < 1000 else None


def constant_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    same = all(abs(v - values[0]) <= 1e-6 * max(1.0, abs(v)) for v in values)
    number = _rational(values[0]) if same else None
    return None if number is None else s.number(number)


def monomial_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    if any(v <= 0 for v in values) or any(x <= 0 for row in rows for x in row):
        return None
    powers = []
    for i in range(len(names)):
        power = math.log(values[i + 1] / values[0]) / math.log(rows[i + 1][i] / rows[0][i])
        if abs(2 * power - round(2 * power)) > 1e-4 or abs(power) > 4:
            return None
        powers.append(Fraction(round(2 * power), 2))
    factors = [v / math.prod(x ** float(p) for x, p in zip(row, powers, strict=True)) for row, v in zip(rows, values, strict=True)]
    number = _rational(factors[0]) if max(factors) - min(factors) <= 1e-6 * abs(factors[0]) else None
    return None if number is None else _product(s, names, powers, number)


def _product(s: Scalars, names: Sequence[Node], powers: Sequence[Fraction], number: Fraction) -> Node:
    above, below = s.number(number.numerator), s.number(number.denominator)
    for name, power in zip(names, powers, strict=True):
        raised = s.call("pow", name, s.number(abs(power))) if abs(power) != 1 else name
        if power > 0:
            above = s.call("mul", above, raised)
        elif power < 0:
            below = s.call("mul", below, raised)
    return s.call("div", above, below)


def affine_form(s: Scalars, names: Sequence[Node], rows: Sequence[Sequence[float]], values: Sequence[float]) -> Node | None:
    total, rest = s.number(0), values[0]
    slopes = []
    for i, name in enumerate(names):
        slope = _rational((values[i + 1] - values[0]) / (rows[i + 1][i] - rows[0][i]))
        if slope is None:
            return None
        slopes.append(float(slope))
        rest -= float(slope) * rows[0][i]
        total = s.call("add", total, s.call("mul", s.number(slope), name)) if slope else total
    constant = _rational(rest)
    if constant is None:
        return None
    sure = all(abs(float(constant) + math.fsum(a * x for a, x in zip(slopes, row, strict=True)) - v) < 1e-6 for row, v in zip(rows, values, strict=True))
    return s.call("add", s.number(constant), total) if sure else None
