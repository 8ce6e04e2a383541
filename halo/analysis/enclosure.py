"""The value of a scalar at an exact point, enclosed: a fraction where it is rational, else an interval that holds it.

Two precisions that agree prove nothing (`(exp(300) + x) - exp(300)` is 0 in 60 and in 90 digits), and at a threshold
rounding picks the branch of a `where`. Intervals do neither: they widen, and a comparison that they do not settle is said
to be unknown. A value that is too wide is computed again with more digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isqrt
from typing import Any

from mpmath import libmp, mp, mpf

from halo.analysis.scalar import topological_scalar
from halo.compiler.graph import Node

PRECISIONS = (260, 1_000, 3_000)
"""Bits, tried in turn."""

EXACT_BITS = 2_000  # a longer fraction goes on as an interval
HUGE = 1 << 40  # exp of what is larger is not looked at


class Nothing(Exception):
    """There is no (finite, real) value here."""


class Unknown(Exception):
    """The enclosures are too wide to tell."""


Ends = tuple[Any, Any]
"""libmp's interval: lower and upper end."""

Value = Fraction | Ends


def enclosed(node: Node, point: Mapping[Node, Fraction], bits: int) -> Value:
    """The value, or an interval that surely holds it. Raises Nothing or Unknown."""
    found: dict[Node, Value | Exception | bool] = {}
    for inner in topological_scalar(node):
        try:
            found[inner] = point[inner] if inner in point else _value(inner, found, bits)
        except (Nothing, Unknown) as none:  # kept: it may stand in the branch that is not taken
            found[inner] = none
    result = found[node]
    if isinstance(result, Exception):
        raise result
    assert not isinstance(result, bool)
    return result


def middle(node: Node, point: Mapping[Node, Fraction]) -> mpf | None:
    """The value to more than 40 digits (of 1 + itself), or None: it has none, or that many were not reached."""
    for bits in PRECISIONS:
        try:
            value = enclosed(node, point, bits)
        except Nothing:
            return None
        except Unknown:
            continue
        with mp.workdps(90):
            if isinstance(value, Fraction):
                return mpf(value.numerator) / value.denominator
            low, high = (mp.make_mpf(end) for end in value)
            if mp.isfinite(low) and mp.isfinite(high) and high - low <= mpf(10) ** -40 * (1 + abs(low)):
                return (low + high) / 2
    return None


def nowhere(node: Node, point: Mapping[Node, Fraction]) -> bool:
    """Whether the scalar surely has no value at the point."""
    for bits in PRECISIONS:
        try:
            enclosed(node, point, bits)
        except Nothing:
            return True
        except Unknown:
            continue
        return False
    return False


def _value(node: Node, found: Mapping[Node, Any], bits: int) -> Any:
    if node.op == "number":
        return node.data
    if node.op not in ("stop", "apply"):
        raise KeyError(f"no value for {node.data}")
    if node.data == "where":
        return _sound(found[node.args[1 if _sound(found[node.args[0]]) else 2]])
    arguments = [_sound(found[a]) for a in node.args]
    if node.op == "stop":
        return arguments[0]
    exact = _EXACT.get(node.data)
    if exact is not None and all(isinstance(a, Fraction) for a in arguments):
        value = exact(*arguments)
        if value is not None:
            return value if isinstance(value, bool) or _length(value) <= EXACT_BITS else _ends(value, bits)
    return _ROUNDED[node.data](bits, *(_ends(a, bits) for a in arguments))


def _sound(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def _length(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _ends(value: Value, bits: int) -> Ends:
    if not isinstance(value, Fraction):
        return value
    low, high = (libmp.from_rational(value.numerator, value.denominator, bits, way) for way in ("f", "c"))
    return low, high


# -- on fractions: the value, or None where it is not rational -----------------------------------------------------------


def _quotient(x: Fraction, y: Fraction) -> Fraction:
    if y == 0:
        raise Nothing
    return x / y


def _power(x: Fraction, y: Fraction) -> Fraction | None:
    if x == 0 and y < 0:
        raise Nothing
    if x in (0, 1) or y == 0:
        return Fraction(1) if x == 1 or y == 0 else Fraction(0)
    if y.denominator == 1 and abs(y) * _length(x) <= 4 * EXACT_BITS:
        return x ** int(y)
    if x < 0 and y.denominator != 1:
        raise Nothing
    return None


def _root(x: Fraction) -> Fraction | None:
    if x < 0:
        raise Nothing
    root = Fraction(isqrt(x.numerator), isqrt(x.denominator))
    return root if root * root == x else None


def _logarithm(x: Fraction) -> Fraction | None:
    if x <= 0:
        raise Nothing
    return Fraction(0) if x == 1 else None


def _at_zero(value: Fraction) -> Callable[[Fraction], Fraction | None]:
    return lambda x: value if x == 0 else None


_EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": _quotient, "pow": _power,
    "neg": lambda x: -x, "min": lambda *xs: min(xs), "max": lambda *xs: max(xs), "abs": abs,
    "clip": lambda x, low, high: min(max(x, low), high), "relu": lambda x: max(x, Fraction(0)),
    "sign": lambda x: Fraction((x > 0) - (x < 0)), "sqrt": _root,
    "lt": lambda x, y: x < y, "le": lambda x, y: x <= y, "gt": lambda x, y: x > y, "ge": lambda x, y: x >= y,
    "log": _logarithm, "log1p": lambda x: _logarithm(1 + x), "exp": _at_zero(Fraction(1)), "expm1": _at_zero(Fraction(0)),
    "sigmoid": _at_zero(Fraction(1, 2)), "tanh": _at_zero(Fraction(0)), "atan": _at_zero(Fraction(0)), "asinh": _at_zero(Fraction(0)),
}  # fmt: skip


# -- on intervals, rounded outwards ----------------------------------------------------------------------------------------

ONE = (libmp.fone, libmp.fone)
_less, _most = libmp.mpf_lt, libmp.mpf_le


def _below(x: Ends, y: Ends) -> bool:
    """x < y for all; Unknown where only some are."""
    if _less(x[1], y[0]):
        return True
    if _most(y[1], x[0]):
        return False
    raise Unknown


def _smallest(bits: int, *xs: Ends) -> Ends:
    low, high = xs[0]
    for a, b in xs[1:]:
        low, high = (a if _less(a, low) else low), (b if _less(b, high) else high)
    return low, high


def _largest(bits: int, *xs: Ends) -> Ends:
    return _minus(bits, _smallest(bits, *(_minus(bits, x) for x in xs)))


def _minus(bits: int, x: Ends) -> Ends:
    return libmp.mpf_neg(x[1]), libmp.mpf_neg(x[0])


def _divided(bits: int, x: Ends, y: Ends) -> Ends:
    if not (_less(libmp.fzero, y[0]) or _less(y[1], libmp.fzero)):
        if y == (libmp.fzero, libmp.fzero):
            raise Nothing
        raise Unknown
    return libmp.mpi_div(x, y, bits)  # type: ignore[no-any-return]


def _exponential(bits: int, x: Ends) -> Ends:
    if any(end[2] + end[3] > HUGE.bit_length() for end in x):
        if _less(x[1], libmp.from_int(-HUGE)):
            return libmp.fzero, libmp.from_man_exp(1, -HUGE)
        raise Unknown
    return libmp.mpi_exp(x, bits)  # type: ignore[no-any-return]


def _log(bits: int, x: Ends) -> Ends:
    if not _less(libmp.fzero, x[1]):
        raise Nothing
    if not _less(libmp.fzero, x[0]):
        raise Unknown
    return libmp.mpi_log(x, bits)  # type: ignore[no-any-return]


def _sqrt(bits: int, x: Ends) -> Ends:
    if _less(x[1], libmp.fzero):
        raise Nothing
    if _less(x[0], libmp.fzero):
        raise Unknown
    return libmp.mpi_sqrt(x, bits)  # type: ignore[no-any-return]


def _raised(bits: int, x: Ends, y: Ends) -> Ends:
    if y[0] == y[1]:
        exponent = libmp.to_rational(y[0])
        if exponent[1] == 1 and abs(exponent[0]) <= 10**6:
            whole = int(exponent[0])
            return libmp.mpi_pow_int(x, whole, bits) if whole >= 0 else _divided(bits, ONE, libmp.mpi_pow_int(x, -whole, bits))
    if _less(x[1], libmp.fzero):
        raise Nothing if y[0] == y[1] else Unknown
    return _exponential(bits, libmp.mpi_mul(y, _log(bits, x), bits))


def _sign(bits: int, x: Ends) -> Fraction:
    if _less(libmp.fzero, x[0]):
        return Fraction(1)
    if _less(x[1], libmp.fzero):
        return Fraction(-1)
    raise Unknown


def _sigmoid(bits: int, x: Ends) -> Ends:
    return _divided(bits, ONE, libmp.mpi_add(ONE, _exponential(bits, _minus(bits, x)), bits))


def _softplus(bits: int, x: Ends) -> Ends:
    return _log(bits, libmp.mpi_add(ONE, _exponential(bits, x), bits))


def _tanh(bits: int, x: Ends) -> Ends:
    twice = libmp.mpi_add(x, x, bits)
    return libmp.mpi_sub(libmp.mpi_mul((libmp.ftwo, libmp.ftwo), _sigmoid(bits, twice), bits), ONE, bits)  # type: ignore[no-any-return]


def _rising(function: Callable[[mpf], mpf]) -> Callable[[int, Ends], Ends]:
    """An increasing function that has no interval form: its ends in more bits than asked for, padded."""

    def image(bits: int, x: Ends) -> Ends:
        with mp.workprec(bits + 30):
            low, high = (function(mp.make_mpf(end)) for end in x)
            pad = mpf(2) ** -bits
            return (low - abs(low) * pad - pad)._mpf_, (high + abs(high) * pad + pad)._mpf_

    return image


_ROUNDED: dict[str, Callable[..., Any]] = {
    "add": lambda bits, x, y: libmp.mpi_add(x, y, bits), "sub": lambda bits, x, y: libmp.mpi_sub(x, y, bits),
    "mul": lambda bits, x, y: libmp.mpi_mul(x, y, bits), "div": _divided, "neg": _minus, "pow": _raised,
    "lt": lambda bits, x, y: _below(x, y), "gt": lambda bits, x, y: _below(y, x),
    "le": lambda bits, x, y: not _below(y, x), "ge": lambda bits, x, y: not _below(x, y),
    "min": _smallest, "max": _largest, "clip": lambda bits, x, low, high: _smallest(bits, _largest(bits, x, low), high),
    "relu": lambda bits, x: _largest(bits, x, (libmp.fzero, libmp.fzero)), "abs": lambda bits, x: _largest(bits, x, _minus(bits, x)),
    "sign": _sign, "sqrt": _sqrt, "exp": _exponential, "log": _log, "sigmoid": _sigmoid, "softplus": _softplus, "tanh": _tanh,
    "expm1": lambda bits, x: libmp.mpi_sub(_exponential(bits, x), ONE, bits),
    "log1p": lambda bits, x: _log(bits, libmp.mpi_add(ONE, x, bits)),
    "log1mexp": lambda bits, x: _log(bits, libmp.mpi_sub(ONE, _exponential(bits, x), bits)),
    "logsigmoid": lambda bits, x: _minus(bits, _softplus(bits, _minus(bits, x))),
    "atan": _rising(mp.atan), "asinh": _rising(mp.asinh),
}  # fmt: skip
