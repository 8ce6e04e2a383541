"""Enclosures over many boxes at once: arrays of lower and of upper ends, floats rounded outwards.

Far coarser than `intervals`, and thousands of times as fast: it is for questions that are split into thousands of boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np

from halo.objective.formula import Formula, Name, Number, parsed
from halo.objective.vocabulary import FUNCTIONS, LETTERS

LOST_DIGITS = 2.0**-48
"""Relative: 16 units in the last place, where the libraries' exponentials and logarithms stay within 4."""
LARGEST = np.finfo(np.float64).max


class Ends(NamedTuple):
    """The lower and the upper end of an enclosure in each box. Without a bound they are infinite."""

    low: Any
    high: Any


class Told(NamedTuple):
    """A comparison in each box: whether it surely holds, and whether it may."""

    surely: Any
    maybe: Any


REALS = Ends(np.float64(-np.inf), np.float64(np.inf))


class Boxes:
    """Numbers for `values`. What has no value, or none that can be told, may be anything."""

    plain: ClassVar[bool] = False

    def number(self, value: Fraction) -> Ends:
        """A fraction as the floats around it."""
        try:
            near = np.float64(float(value))
        except OverflowError:
            return REALS
        if Fraction(float(near)) == value:
            return Ends(near, near)
        return Ends(np.nextafter(near, -np.inf), np.nextafter(near, np.inf))

    def lost(self, value: Any) -> bool:
        """Nothing is: what may be anything may stand in the branch that is not taken."""
        return False

    def nothing(self, error: Exception) -> Ends:
        """What stands for a value that there is not."""
        return REALS

    def either(self, condition: Told, yes: Ends, no: Ends) -> Ends:
        """The one branch, the other, or both together."""
        if not isinstance(condition, Told):  # it could not be told
            condition = Told(np.False_, np.True_)
        both = Ends(np.minimum(yes.low, no.low), np.maximum(yes.high, no.high))
        ends = [np.where(condition.surely, y, np.where(condition.maybe, b, n)) for y, b, n in zip(yes, both, no, strict=True)]
        return Ends(*ends)

    def function(self, word: str) -> Callable[..., Any]:
        """A function of the language; of one that is not among these and has no definition nothing is known."""
        own, row = _OWN.get(word), FUNCTIONS[word]
        if own is not None:
            return own
        if not row.definition:
            return lambda *arguments: REALS
        formula = parsed(row.definition)
        return lambda *arguments: self.read(formula, dict(zip(LETTERS, arguments, strict=False)))

    def read(self, formula: Formula, letters: Mapping[str, Ends]) -> Any:
        """A formula of the given letters."""
        if isinstance(formula, Number):
            return self.number(formula.value)
        if isinstance(formula, Name):
            return letters[formula.name]
        arguments = [self.read(a, letters) for a in formula.arguments]
        if formula.function == "where":
            return self.either(*arguments)
        return self.function(formula.function)(*arguments)


BOXES = Boxes()


def _outwards(low: Any, high: Any) -> Ends:
    """Ends moved past what rounding may have lost. What is no number may be any."""
    with np.errstate(invalid="ignore", over="ignore"):
        low = np.nextafter(low - np.abs(low) * LOST_DIGITS, -np.inf)
        high = np.nextafter(high + np.abs(high) * LOST_DIGITS, np.inf)
    low = np.minimum(np.where(np.isnan(low), -np.inf, low), LARGEST)
    high = np.maximum(np.where(np.isnan(high), np.inf, high), -LARGEST)
    return Ends(low, high)


def _rising(function: Callable[[Any], Any]) -> Callable[[Ends], Ends]:
    def applied(x: Ends) -> Ends:
        with np.errstate(all="ignore"):
            return _outwards(function(x.low), function(x.high))

    return applied


def _add(x: Ends, y: Ends) -> Ends:
    return _outwards(x.low + y.low, x.high + y.high)


def _minus(x: Ends) -> Ends:
    return Ends(-x.high, -x.low)


def _sub(x: Ends, y: Ends) -> Ends:
    return _add(x, _minus(y))


def _mul(x: Ends, y: Ends) -> Ends:
    """0 times an end that is not reached is 0."""
    with np.errstate(all="ignore"):
        corners = [np.nan_to_num(a * b, nan=0.0, posinf=np.inf, neginf=-np.inf) for a in x for b in y]
    ends = _outwards(reduce(np.minimum, corners), reduce(np.maximum, corners))
    one_sign = ((x.low >= 0) & (y.low >= 0)) | ((x.high <= 0) & (y.high <= 0))
    return Ends(np.where(one_sign, np.maximum(ends.low, 0.0), ends.low), ends.high)


def _div(x: Ends, y: Ends) -> Ends:
    """Anything, where the divisor may be 0."""
    sure = (y.low > 0) | (y.high < 0)
    with np.errstate(all="ignore"):
        inverse = _outwards(1 / y.high, 1 / y.low)
    low = np.where(y.low > 0, np.maximum(inverse.low, 0.0), inverse.low)
    high = np.where(y.high < 0, np.minimum(inverse.high, 0.0), inverse.high)
    inverse = Ends(low, high)
    found = _mul(x, inverse)
    return Ends(np.where(sure, found.low, -np.inf), np.where(sure, found.high, np.inf))


def _exp(x: Ends) -> Ends:
    found = _rising(np.exp)(x)
    return Ends(np.maximum(found.low, 0.0), found.high)


def _log(x: Ends) -> Ends:
    """Of what may be negative there is no lower bound."""
    found = _rising(np.log)(Ends(np.maximum(x.low, 0.0), np.maximum(x.high, 0.0)))
    return Ends(np.where(x.low > 0, found.low, -np.inf), np.where(x.high > 0, found.high, np.inf))


def _sqrt(x: Ends) -> Ends:
    found = _rising(np.sqrt)(Ends(np.maximum(x.low, 0.0), np.maximum(x.high, 0.0)))
    return Ends(np.maximum(found.low, 0.0), found.high)


def _abs(x: Ends) -> Ends:
    inside = (x.low < 0) & (x.high > 0)
    sizes = np.abs(x.low), np.abs(x.high)
    return Ends(np.where(inside, 0.0, np.minimum(*sizes)), np.maximum(*sizes))


def _pow(x: Ends, y: Ends) -> Ends:
    whole = np.ndim(y.low) == 0 and y.low == y.high and float(y.low).is_integer() and abs(y.low) <= 64
    if not whole:
        found = _exp(_mul(y, _log(x)))
        return Ends(np.where(x.low >= 0, found.low, -np.inf), np.where(x.low >= 0, found.high, np.inf))
    n = int(y.low)
    if n < 0:
        return _div(BOXES.number(Fraction(1)), _pow(x, BOXES.number(Fraction(-n))))
    base = x if n % 2 else _abs(x)
    with np.errstate(all="ignore"):
        found = _outwards(np.power(base.low, n), np.power(base.high, n))
    return Ends(np.where(base.low >= 0, np.maximum(found.low, 0.0), found.low), found.high)


def _smallest(*xs: Ends) -> Ends:
    return Ends(reduce(np.minimum, [x.low for x in xs]), reduce(np.minimum, [x.high for x in xs]))


def _largest(*xs: Ends) -> Ends:
    return Ends(reduce(np.maximum, [x.low for x in xs]), reduce(np.maximum, [x.high for x in xs]))


def _less(x: Ends, y: Ends) -> Told:
    return Told(x.high < y.low, x.low < y.high)


def _most(x: Ends, y: Ends) -> Told:
    return Told(x.high <= y.low, x.low <= y.high)


_OWN: dict[str, Callable[..., Any]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _minus, "pow": _pow, "abs": _abs, "sqrt": _sqrt,
    "exp": _exp, "log": _log, "atan": _rising(np.arctan), "min": _smallest, "max": _largest, "sign": _rising(np.sign),
    "lt": _less, "le": _most, "gt": lambda x, y: _less(y, x), "ge": lambda x, y: _most(y, x),
}  # fmt: skip
