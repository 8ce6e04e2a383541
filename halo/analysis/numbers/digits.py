"""Numbers with as many digits as an mpmath context has; nan where there is no real value."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar

from mpmath import mp

from halo.objective.vocabulary import FUNCTIONS


class Digits:
    """Numbers for `values`, in the precision that the context `m` has when they are computed."""

    plain: ClassVar[bool] = False

    def __init__(self, m: Any = mp) -> None:
        self.m = m

    def number(self, value: Any) -> Any:
        """An int, float, Fraction or mpf in this precision."""
        if isinstance(value, Fraction):
            return self.m.mpf(value.numerator) / value.denominator
        return self.m.mpf(value)

    def lost(self, value: Any) -> bool:
        """Whether it is no number."""
        return bool(value != value)

    def nothing(self, error: Exception) -> Any:
        """What stands for a value that there is not."""
        return self.m.nan

    def either(self, condition: bool, yes: Any, no: Any) -> Any:
        """The branch that is taken."""
        return yes if condition else no

    def function(self, word: str) -> Callable[..., Any]:
        """A function of the language. Where mpmath goes on in complex numbers, torch does not: there is no value."""
        exact, m = FUNCTIONS[word].exact, self.m

        def applied(*arguments: Any) -> Any:
            result = exact(m, *arguments)
            if isinstance(result, m.mpc):
                return m.nan
            return result

        return applied
