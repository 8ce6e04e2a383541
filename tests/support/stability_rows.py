"""Proves the rows of the stability table, each from exp and log alone: nothing that the table does is used here.

A row is true if, wherever its left side is a real number (and its `positive` letters are > 0), the right side is the
same number. The proof has three parts.

1. Both sides are brought to min and max of smooth expressions: exp passes inside (it rises), a minus too (min becomes
   max). Smooth expressions are sorted into classes of equal ones by 2; an identity of min and max over the classes then
   holds for all numbers if it holds for every weak order of as many, and those are few enough to try.
2. Two smooth expressions are equal up to a constant if all partial derivatives of their difference vanish: with every
   word written out in exp and log these are rational in the letters and their exponentials, and cancel decides them.
3. The constants, and the domains, are settled by points: a grid with both signs of every letter, near and far, at 120
   digits. The domain of a left side here is cut by signs of letters only, so that the grid meets every piece of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
from independent import Arithmetic, applied, valued
from mpmath import mp

from halo.compiler.stability import Row
from halo.objective.formula import Call, Formula, Name, Number, parse


class Symbolic(Arithmetic):
    """sympy's expressions. Every smooth word is written out in these two: nothing else of sympy's is reached."""

    def __init__(self) -> None:
        self.exp, self.log = sympy.exp, sympy.log

    def __getattr__(self, word: str) -> Any:
        raise NotImplementedError(f"{word} is not written out in exp and log")


SYMBOLIC = Symbolic()

POINTS = (-11, -2.375, -0.3125, 0.4375, 1.625, 7)
DIGITS, AGREE = 120, 50
SWAPPED = {"min": "max", "max": "min"}


def refutation(row: Row) -> str | None:
    """Why the row is not proved; None if it is."""
    left, right = parse(row.pattern), parse(row.replacement)
    unknown = sorted(letters(right) - letters(left))
    if unknown:
        return f"{', '.join(unknown)} stands on the right only"
    return _differing_point(row, left, right) or _differing_form(row, left, right)


def letters(formula: Formula) -> set[str]:
    """The letters of one side."""
    if isinstance(formula, Call):
        return set().union(*map(letters, formula.arguments))
    return {formula.name} if isinstance(formula, Name) else set()


# -- points ------------------------------------------------------------------------------------------------------------


def points(row: Row) -> Iterator[dict[str, Any]]:
    """The grid: both signs of every letter, but only positive ones where the row asks for that."""
    names = sorted(letters(parse(row.pattern)))
    choices = [[p for p in POINTS if p > 0 or name not in row.positive] for name in names]
    return (dict(zip(names, point, strict=True)) for point in itertools.product(*choices))


def real_value(formula: Formula, at: Mapping[str, Any], m: Any) -> Any:
    """The value in mpmath, or None where it is no real number."""
    try:
        value = valued(formula, {name: m.mpf(x) for name, x in at.items()}, Real(m))
    except (ArithmeticError, ValueError, TypeError):  # TypeError: complex numbers have no order
        return None
    return None if isinstance(value, m.mpc) or not m.isfinite(value) else value


class Real(Arithmetic):
    """An mpmath context's numbers as long as they are real."""

    def alike(self, xs: list[Any]) -> list[Any]:
        if any(isinstance(x, self.m.mpc) for x in xs):
            raise ValueError("not real")
        return xs


def _differing_point(row: Row, left: Formula, right: Formula) -> str | None:
    m = mp.clone()
    m.dps = DIGITS
    met = 0
    for at in points(row):
        before = real_value(left, at, m)
        if before is None:
            continue
        met += 1
        after = real_value(right, at, m)
        if after is None or abs(before - after) > m.mpf(10) ** -AGREE * max(1, abs(before)):
            shown = "undefined" if after is None else m.nstr(after, 12)
            return f"at {at} the left side is {m.nstr(before, 12)}, the right side {shown}"
    return None if met else "the left side is defined nowhere on the grid"


# -- forms -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Extreme:
    """The min or max of smaller forms; a form is this or a sympy expression."""

    way: str
    parts: tuple[Any, ...]


def _form(formula: Formula) -> Any:
    """One side as min and max of smooth expressions."""
    if isinstance(formula, Number):
        return sympy.Rational(formula.value.numerator, formula.value.denominator)
    if isinstance(formula, Name):
        return sympy.Symbol(formula.name, real=True)
    parts = tuple(_form(a) for a in formula.arguments)
    if formula.function in SWAPPED:
        return _Extreme(formula.function, parts)
    if formula.function == "clip":
        return _Extreme("min", (_Extreme("max", parts[:2]), parts[2]))
    if any(isinstance(part, _Extreme) for part in parts):
        return _inside(formula.function, *parts)
    return applied(formula.function, parts, SYMBOLIC)


def _inside(word: str, form: Any) -> Any:
    """exp or minus of a min or max, passed down to its parts."""
    if not isinstance(form, _Extreme):
        return applied(word, [form], SYMBOLIC)
    if word not in ("exp", "neg"):
        raise NotImplementedError(f"{word} of a min or max")
    way = form.way if word == "exp" else SWAPPED[form.way]
    return _Extreme(way, tuple(_inside(word, part) for part in form.parts))


def _leaves(form: Any) -> list[Any]:
    return [leaf for part in form.parts for leaf in _leaves(part)] if isinstance(form, _Extreme) else [form]


def _differing_form(row: Row, left: Formula, right: Formula) -> str | None:
    before, after = _form(left), _form(right)
    classes: list[Any] = []
    of: dict[Any, int] = {}
    for leaf in [*_leaves(before), *_leaves(after)]:
        known = next((i for i, other in enumerate(classes) if _same(leaf, other, row)), None)
        of[leaf] = len(classes) if known is None else known
        classes += [leaf] if known is None else []
    if not isinstance(before, _Extreme) and not isinstance(after, _Extreme):
        return None if len(classes) == 1 else f"the derivatives of {before} and {after} differ"
    for order in itertools.product(range(len(classes)), repeat=len(classes)):
        if _ordered(before, of, order) != _ordered(after, of, order):
            return f"the sides pick different parts of {classes} when these are ordered as {order}"
    return None


def _ordered(form: Any, of: Mapping[Any, int], order: Sequence[int]) -> int:
    """What a form comes to when its classes are the numbers of `order`."""
    if not isinstance(form, _Extreme):
        return order[of[form]]
    parts = [_ordered(part, of, order) for part in form.parts]
    return min(parts) if form.way == "min" else max(parts)


def _same(one: Any, other: Any, row: Row) -> bool:
    """Whether two smooth expressions are equal: all derivatives of the difference vanish, and it does where it is real."""
    if one == other:
        return True
    difference = one - other
    if not all(_vanishes(sympy.diff(difference, letter)) for letter in difference.free_symbols):
        return False
    named = ({sympy.Symbol(name, real=True): sympy.Rational(value) for name, value in at.items()} for at in points(row))
    constants = (sympy.N(difference.subs(at), DIGITS) for at in named)
    constant = next((value for value in constants if value.is_real), None)
    return constant is not None and bool(abs(constant) < sympy.Float(10) ** -AGREE)


def _vanishes(derivative: Any) -> bool:
    """Whether an expression rational in letters and their exponentials is 0: each exp(x) becomes a letter of its own."""
    whole = sympy.expand_power_exp(sympy.together(derivative))
    exponentials = {x: sympy.Dummy(f"e_{x}", positive=True) for x in whole.free_symbols}
    whole = whole.replace(sympy.exp, lambda power: _as_power(power, exponentials))
    return bool(sympy.cancel(sympy.together(whole)) == 0)


def _as_power(power: Any, exponentials: Mapping[Any, Any]) -> Any:
    """exp(k x) as e_x**k, or left alone."""
    count, letter = power.as_coeff_Mul()
    return exponentials[letter] ** count if letter in exponentials and count.is_Integer else sympy.exp(power)
