"""Simple numbers by which gradients are multiples of others at every choice of parameters, as far as floats see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from mpmath import mpf

from halo.analysis.ranges import Span

SIMPLE = 16
"""The largest denominator in a relation of three gradients."""


def multiple(a: Sequence[float], b: Sequence[float]) -> Fraction | None:
    """The simple number with a = x * b in every row."""
    bb = math.fsum(q * q for q in b)
    if len(a) < 4 or not 0 < bb < math.inf:
        return None
    x = math.fsum(p * q for p, q in zip(a, b, strict=True)) / bb
    if not math.isfinite(x):
        return None
    near = Fraction(x).limit_denominator(SIMPLE)
    rest = max(abs(p - float(near) * q) for p, q in zip(a, b, strict=True))
    if not near or not rest <= 1e-9 * math.sqrt(bb):  # nine digits agree
        return None
    return near


def dependence(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> tuple[Fraction, Fraction] | None:
    """Simple numbers with a = x * b + y * c in every row, neither of them 0."""
    bb, bc, cc = (math.fsum(p * q for p, q in zip(u, v, strict=True)) for u, v in ((b, b), (b, c), (c, c)))
    ab, ac, aa = (math.fsum(p * q for p, q in zip(a, v, strict=True)) for v in (b, c, a))
    det = bb * cc - bc * bc
    if len(a) < 4 or not math.isfinite(det) or det <= 1e-9 * bb * cc:  # b and c all but parallel: x and y could be anything
        return None
    x, y = (Fraction(w).limit_denominator(SIMPLE) for w in ((ab * cc - ac * bc) / det, (ac * bb - ab * bc) / det))
    rest = math.fsum((p - float(x) * q - float(y) * r) ** 2 for p, q, r in zip(a, b, c, strict=True))
    if not x or not y or not rest <= 1e-18 * aa:  # squares: nine digits agree
        return None
    return x, y


def around(value: mpf) -> Span:
    """A range that surely holds a number that is right to 40 digits: short ends keep the algebra cheap, and 25 digits are plenty."""
    sign, mantissa, exponent, _ = value._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    if sign:
        exact = -exact
    near, pad = exact.limit_denominator(10**30), (1 + abs(exact)) * Fraction(1, 10**25)
    return Span(near - pad, near + pad)


def gap_of(a: float, b: float) -> float:
    """How far apart, of what both are together."""
    size = abs(a) + abs(b)
    if not 0 < size < math.inf:
        return 0.0
    return (a - b) / size
