"""Floats, to search fast: infinity past the largest, nan where there is no value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from mpmath import fp

from halo.objective.vocabulary import FUNCTIONS


class Doubles:
    """Numbers for `values`, and for the `exact` forms of the vocabulary the functions of mpmath on floats."""

    plain: ClassVar[bool] = True
    mpf = float

    def number(self, value: Any) -> float:
        """The nearest float."""
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    def lost(self, value: Any) -> bool:
        """Whether it is no number."""
        return bool(value != value)

    def nothing(self, error: Exception) -> float:
        """What stands for a value that there is not."""
        return math.nan

    def either(self, condition: bool, yes: Any, no: Any) -> Any:
        """The branch that is taken."""
        return yes if condition else no

    def function(self, word: str) -> Callable[..., Any]:
        """A function of the language on floats."""
        exact = FUNCTIONS[word].exact

        def applied(*arguments: Any) -> Any:
            return _real(exact(self, *arguments))

        return applied

    def __getattr__(self, name: str) -> Any:
        """A function as `math` has it, or else mpmath; looked up once."""
        found = getattr(math, name, None) or getattr(fp, name)
        if callable(found):
            found = _to_the_ends(name, found)
        setattr(self, name, found)
        return found

    @staticmethod
    def sign(x: float) -> float:
        """-1, 0 or 1."""
        return float((x > 0) - (x < 0))

    @staticmethod
    def power(x: float, y: float) -> float:
        """x**y; nan where it is not real, or past the largest float."""
        try:
            return float(_real(x**y))
        except (OverflowError, ZeroDivisionError):
            return math.nan


def _real(result: Any) -> Any:
    """The result, where it is a real number: torch does not go on in complex ones."""
    if isinstance(result, complex):
        return math.nan
    return result


def _to_the_ends(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the limits that its row declares: at an end of its domain, and past the largest float."""
    row = FUNCTIONS.get(name)
    if row is None or row.arity != (1, 1) or row.monotone == "none":
        return function
    at_low, at_high = (float(end) for end in row.range)
    if row.monotone == "down":
        at_low, at_high = at_high, at_low
    low, high = (float(end) for end in row.domain)

    def bounded(x: float) -> Any:
        try:
            return function(x)
        except OverflowError:
            return at_high if x > 0 else at_low
        except ValueError:
            return {low: at_low, high: at_high}.get(x, math.nan)

    return bounded


DOUBLES = Doubles()
