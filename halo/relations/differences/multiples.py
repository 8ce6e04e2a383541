"""Simple numbers by which gradients are multiples of others at every choice of parameters, as far as floats see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from mpmath import mpf

from halo.analysis.ranges import Span

SIX_DIGITS = 1e-12  # of a square
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


def unlike(left: Sequence[float], rows: Sequence[Sequence[float]], sizes: Sequence[int]) -> list[int]:
    """By number, of gradients that are the same multiple of each other on the left and in every row, the smallest. Nine digits tell."""
    found: dict[tuple[float, ...], int] = {}
    for i, x in enumerate(left):
        column = [x, *(row[i] for row in rows)]
        size = max(map(abs, column[1:]), default=0.0)
        key: tuple[float, ...] = (float(i),)
        if len(rows) >= 4 and 0 < size < math.inf:
            scale = math.copysign(size, next(y for y in column[1:] if abs(y) == size))
            key = tuple(float(f"{y / scale:.9g}") for y in column)
        if key not in found or sizes[i] < sizes[found[key]]:
            found[key] = i
    return sorted(found.values())


def dependent(columns: Sequence[Sequence[float]]) -> Iterator[tuple[int, int, int]]:
    """Three columns of which the first is a sum of multiples of the others, as far as six digits tell; by number."""
    import numpy as np  # a tenth of a second to load, and most pairs are told apart before

    matrix = np.array(columns, dtype=float)
    if matrix.ndim < 2 or matrix.shape[1] < 4:
        return
    sizes = np.sqrt((matrix**2).sum(axis=1))
    used = np.flatnonzero((sizes > 0) & (sizes < math.inf))
    g = (matrix[used] / sizes[used, None]) @ (matrix[used] / sizes[used, None]).T
    for i in range(len(used)):
        rest = used[i + 1 :]
        bc, ab, ac = g[i + 1 :, i + 1 :], g[i, i + 1 :, None], g[None, i, i + 1 :]
        with np.errstate(all="ignore"):
            left_over = 1 - (ab**2 + ac**2 - 2 * ab * ac * bc) / (1 - bc**2)
        for j, k in np.argwhere(np.triu(left_over < SIX_DIGITS, 1)):
            yield int(used[i]), int(rest[j]), int(rest[k])


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
