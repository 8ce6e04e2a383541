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


def least_squares(columns: Sequence[Sequence[float]], rest: Sequence[float], damping: float) -> list[float] | None:
    """The damped least-squares step: (J'J + damping * diag) step = J'r."""
    n = len(columns)
    matrix = [[math.fsum(a * b for a, b in zip(p, q, strict=True)) for q in columns] for p in columns]
    right = [math.fsum(a * b for a, b in zip(p, rest, strict=True)) for p in columns]
    for i in range(n):
        matrix[i][i] += damping * matrix[i][i] + 1e-14
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(matrix[k][i]))
        matrix[i], matrix[pivot], right[i], right[pivot] = matrix[pivot], matrix[i], right[pivot], right[i]
        if not matrix[i][i] or not math.isfinite(matrix[i][i]):
            return None
        for k in range(i + 1, n):
            factor = matrix[k][i] / matrix[i][i]
            right[k] -= factor * right[i]
            matrix[k] = [a - factor * b for a, b in zip(matrix[k], matrix[i], strict=True)]
    step = [0.0] * n
    for i in reversed(range(n)):
        step[i] = (right[i] - math.fsum(matrix[i][k] * step[k] for k in range(i + 1, n))) / matrix[i][i]
    return step
