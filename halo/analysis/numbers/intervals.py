"""Enclosures: a fraction where the value is rational, else an interval that surely holds it, rounded outwards.

What intervals can do by themselves stands here. Every other function is enclosed by its definition in other words, or, if it is
monotone, by its values at the ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from mpmath import libmp, mp, mpf

from halo.analysis.numbers.rationals import EXACT_BITS, Nothing, ending, length, rational_value
from halo.objective.formula import Formula, Name, Number, parsed
from halo.objective.vocabulary import FUNCTIONS, LETTERS

HUGE = 1 << 40  # exp of what is larger is not looked at
WHOLE = 10**6  # a larger power is the exponential of a logarithm, which takes no longer for it


class Unknown(Exception):
    """The enclosures are too wide to tell."""


Ends = tuple[Any, Any]
"""libmp's interval: lower and upper end."""

Value = Fraction | Ends


@dataclass(frozen=True)
class Enclosures:
    """Numbers for `values`: fractions, and intervals of `bits`. What has no value, or none that can be told, is the exception."""

    plain: ClassVar[bool] = False
    bits: int

    def number(self, value: Fraction) -> Fraction:
        """A fraction stands for itself."""
        return value

    def lost(self, value: Any) -> bool:
        """Whether it is no value: kept, since it may stand in the branch that is not taken."""
        return isinstance(value, Exception)

    def nothing(self, error: Exception) -> Exception:
        """What stands for a value that there is not."""
        return error

    def either(self, condition: bool, yes: Any, no: Any) -> Any:
        """The branch that is taken."""
        return yes if condition else no

    def function(self, word: str) -> Callable[..., Any]:
        """A function of the language on enclosures. Raises Nothing or Unknown."""
        return lambda *arguments: self.applied(word, arguments)

    def applied(self, word: str, arguments: tuple[Value, ...]) -> Any:
        """One function's value: exactly, where that is possible and not too long."""
        fractions = [a for a in arguments if isinstance(a, Fraction)]
        if len(fractions) == len(arguments):
            value = rational_value(word, fractions)
            if isinstance(value, Fraction) and length(value) > EXACT_BITS:
                return ends(value, self.bits)
            if value is not None:
                return value
        row = FUNCTIONS[word]
        if word in _OWN:
            return _OWN[word](self.bits, *(ends(a, self.bits) for a in arguments))
        if row.definition:
            return self.read(parsed(row.definition), dict(zip(LETTERS, arguments, strict=False)))
        if row.arity != (1, 1) or row.monotone == "none":
            raise Unknown
        return _monotone(word, self.bits, ends(arguments[0], self.bits))

    def read(self, formula: Formula, letters: Mapping[str, Value]) -> Any:
        """A formula of the given letters."""
        if isinstance(formula, Number):
            return formula.value
        if isinstance(formula, Name):
            return letters[formula.name]
        if formula.function == "where":
            condition, yes, no = formula.arguments
            return self.read(yes if self.read(condition, letters) else no, letters)
        return self.applied(formula.function, tuple(self.read(a, letters) for a in formula.arguments))


def ends(value: Value, bits: int) -> Ends:
    """An interval around the value."""
    if not isinstance(value, Fraction):
        return value
    low, high = (libmp.from_rational(value.numerator, value.denominator, bits, way) for way in ("f", "c"))
    return low, high


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
        if _less(a, low):
            low = a
        if _less(b, high):
            high = b
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
        if exponent[1] == 1 and abs(exponent[0]) <= WHOLE:
            return _whole_power(bits, x, int(exponent[0]))
        if exponent[1] != 1 and _less(x[1], libmp.fzero):
            raise Nothing
    if _less(x[1], libmp.fzero):  # a whole power may be among them, or is it, and is past what is multiplied out
        raise Unknown
    if x == (libmp.fzero, libmp.fzero) and _less(libmp.fzero, y[0]):
        return x
    return _exponential(bits, libmp.mpi_mul(y, _log(bits, x), bits))


def _whole_power(bits: int, x: Ends, n: int) -> Ends:
    if n < 0:
        return _divided(bits, ONE, libmp.mpi_pow_int(x, -n, bits))
    return libmp.mpi_pow_int(x, n, bits)  # type: ignore[no-any-return]


def _sign(bits: int, x: Ends) -> Fraction:
    if _less(libmp.fzero, x[0]):
        return Fraction(1)
    if _less(x[1], libmp.fzero):
        return Fraction(-1)
    raise Unknown


def _monotone(word: str, bits: int, x: Ends) -> Ends:
    """The image under a monotone function: its values at the ends, in more bits than asked for, padded."""
    row = FUNCTIONS[word]
    _within_domain(word, x)
    with mp.workprec(bits + 30):  # a function of mpmath loses a few bits; the pad below is far wider
        low, high = sorted(row.exact(mp, mp.make_mpf(end)) for end in x)
        pad = mpf(2) ** -bits
        return (low - abs(low) * pad - pad)._mpf_, (high + abs(high) * pad + pad)._mpf_


def _within_domain(word: str, x: Ends) -> None:
    """Raises Nothing for what lies outside of the domain of a function, and Unknown for what may."""
    low, high = (ending(end) for end in FUNCTIONS[word].domain)
    if isinstance(low, Fraction):
        _must_exceed(x, low)
    if isinstance(high, Fraction):
        _must_exceed(_minus(0, x), -high)


def _must_exceed(x: Ends, bound: Fraction) -> None:
    limit = libmp.from_rational(bound.numerator, bound.denominator, 300)  # exact: ends of domains are whole numbers
    if _less(x[1], limit):
        raise Nothing
    if _most(x[0], limit):
        raise Unknown


_OWN: dict[str, Callable[..., Any]] = {
    "add": lambda bits, x, y: libmp.mpi_add(x, y, bits), "sub": lambda bits, x, y: libmp.mpi_sub(x, y, bits),
    "mul": lambda bits, x, y: libmp.mpi_mul(x, y, bits), "div": _divided, "neg": _minus, "pow": _raised,
    "lt": lambda bits, x, y: _below(x, y), "gt": lambda bits, x, y: _below(y, x),
    "le": lambda bits, x, y: not _below(y, x), "ge": lambda bits, x, y: not _below(x, y),
    "min": _smallest, "max": _largest, "sign": _sign, "sqrt": _sqrt, "exp": _exponential, "log": _log,
}  # fmt: skip
