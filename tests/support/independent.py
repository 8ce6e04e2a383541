"""The tests' own evaluator of single formulas, the only one: it reads texts, and knows nothing of graphs or vocabularies.

`valued` is a formula's value on the numbers of an `Arithmetic`: mpmath's, floats by the thousand, exact fractions, sympy's
expressions. A whole file on a batch is `reader`'s.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

from halo.objective.formula import Formula, Name, Number

COMPARED: dict[str, Callable[[Any, Any], Any]] = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}


class Arithmetic:
    """What formulas are valued on: the numbers of an mpmath context. Others override what their numbers do otherwise.

    A word that is not a method here is the function of that name of `m`.
    """

    def __init__(self, m: Any = mp) -> None:
        self.m = m

    def number(self, value: Fraction) -> Any:
        return self.m.mpf(value.numerator) / value.denominator

    def alike(self, xs: list[Any]) -> list[Any]:
        """The arguments of one function, brought to one kind of number."""
        return xs

    def where(self, word: str, left: Any, right: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        return yes() if COMPARED[word](left, right) else no()

    def smallest(self, *xs: Any) -> Any:
        return min(xs)

    def quotient(self, x: Any, y: Any) -> Any:
        return x / y

    def power(self, x: Any, y: Any) -> Any:
        return x**y  # 0**0 is 1, as in torch

    def softplus(self, x: Any) -> Any:
        return self.log(1 + self.exp(x))

    def __getattr__(self, word: str) -> Any:
        return getattr(self.m, word)


MANY_DIGITS = Arithmetic()


def valued(formula: Formula, at: Mapping[str, Any], m: Any = MANY_DIGITS) -> Any:
    """The value of a formula of element-wise words, for values of its names."""
    if isinstance(formula, Number):
        return m.number(formula.value)
    if isinstance(formula, Name):
        return at[formula.name]
    if formula.function == "where":
        condition, yes, no = formula.arguments
        left, right = (valued(side, at, m) for side in condition.arguments)  # type: ignore[union-attr]
        return m.where(condition.function, left, right, lambda: valued(yes, at, m), lambda: valued(no, at, m))  # type: ignore[union-attr]
    return applied(formula.function, [valued(a, at, m) for a in formula.arguments], m)


def applied(word: str, arguments: Sequence[Any], m: Any = MANY_DIGITS) -> Any:
    """One word's value, each word written out as a textbook does."""
    x, *rest = m.alike(list(arguments))
    match word:
        case "add":
            return x + rest[0]
        case "sub":
            return x - rest[0]
        case "mul":
            return x * rest[0]
        case "div":
            return m.quotient(x, rest[0])
        case "pow":
            return m.power(x, rest[0])
        case "neg":
            return -x
        case "min":
            return m.smallest(x, *rest)
        case "max":
            return -m.smallest(-x, *(-y for y in rest))
        case "clip":
            return m.smallest(-m.smallest(-x, -rest[0]), rest[1])
        case "relu":
            return -m.smallest(-x, m.number(Fraction(0)))
        case "abs":
            return -m.smallest(x, -x)
        case "log1p":
            return m.log(1 + x)
        case "log1mexp":
            return m.log(1 - m.exp(x))
        case "expm1":
            return m.exp(x) - 1
        case "sigmoid":
            return 1 / (1 + m.exp(-x))
        case "logsigmoid":
            return -m.softplus(-x)
        case "softsign":
            return m.quotient(x, 1 - m.smallest(x, -x))
        case _:
            return getattr(m, word)(x, *rest)


def knows(word: str) -> bool:
    """Whether a word is written out here, or is a function of mpmath's. Of a new word that is neither, the tests of single words are left out."""
    try:
        applied(word, [mpf(1) / 2] * 3)
    except AttributeError:
        return False
    except TypeError:  # mpmath has it, and it takes fewer
        return True
    return True
