"""A scalar seen from far out: its generators in scales, and its leading term.

Seen from far out every generator of the algebra is made of scales, S = exp(c M): Z itself is exp(L) with L = log Z, and M is a
monomial in smaller scales, so that exp(z), exp(z**2) and exp(exp(z)) are scales as well as z**b. A product of scales is larger
than another if the exponents of their quotient, at the largest M, add up to a positive number. Whatever is left beside leading
terms is `near * small` with small -> 0 and near -> 1. What needs a comparison that ranges do not settle, or a cancellation of
leading terms that is not seen, has no answer here: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import sympy
from sympy import Expr, Integer, Poly, Rational, Symbol

from halo.analysis.algebra.factors import Generator, OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.budgets import MAX_FAR_TERMS, MAX_SCALES
from halo.analysis.curvature import image
from halo.analysis.ranges import Span
from halo.compiler.graph import Node

L, Z = Symbol("L", positive=True), Symbol("Z", positive=True)
HALF_PI = Span(Fraction("1.5707963267948966"), Fraction("1.5707963267948967"), True, True)
ROOT_PI = Span(Fraction("1.7724538509055160"), Fraction("1.7724538509055161"), True, True)
SPLITS = 8
"""Terms of an exponent that do not vanish far out."""

Monomial = tuple[tuple[Symbol, int], ...]
"""Scales and their powers, by name."""


@dataclass(frozen=True)
class Lead:
    """The term that the others are small beside: its coefficient, of which the sign is known, and its scales.

    `grows` is 1 if it tends to infinity, -1 if it tends to 0, and 0 if it is the coefficient.
    """

    coefficient: Expr
    monomial: Monomial
    sign: int
    grows: int


@dataclass(frozen=True)
class Tail:
    """How a scalar ends: its limit, and the sign that it has near the end for good (0 if it is 0 there), where these are known.

    `finite`: whatever it does, it does not grow without end.
    """

    limit: Expr | None
    sign: int | None
    finite: bool


class Far:
    """Normal forms of one algebra seen from far out along x."""

    def __init__(self, algebra: Algebra, x: Node, side: int) -> None:
        self.algebra, self.x, self.side = algebra, x, side
        self.exponents: dict[Symbol, tuple[Expr, Monomial]] = {Z: (Integer(1), ((L, 1),))}
        self.near_one: list[Symbol] = []
        self.known: dict[Symbol, Expr] = {}

    # -- generators in scales -----------------------------------------------------------------------------------------------

    def seen(self, form: Expr) -> Expr:
        """The form in scales and what does not move. Raises OutOfReach."""
        moving = [s for s in sorted(form.free_symbols, key=str) if self._moves(s)]
        for symbol in moving:
            if symbol not in self.known:
                self.known[symbol] = self._far(self.algebra.by_symbol[symbol])
        return form.subs({s: self.known[s] for s in moving}, simultaneous=True)

    def _moves(self, expression: Expr) -> bool:
        return self.x in self.algebra.variables_in(expression)

    def _far(self, generator: Generator) -> Expr:
        key = generator.key
        match generator.kind:
            case "v":
                return self.side * Z
            case "w":
                return self.exp(self.seen(key[0]) / key[1])
            case "l":
                return self.log(self.seen(key))
            case "r":
                inner = self.seen(key)
                return inner if self._side_of(inner) > 0 else Integer(0)
            case "c":
                return self.seen(key[3] if self._holds(key[0], self.seen(key[1] - key[2])) else key[4])
            case "p":
                return self.exp(self.seen(key[1]) * self.log(self.seen(key[0])))
        return self._function(key[0], self.seen(key[1]))

    def _side_of(self, expression: Expr) -> int:
        lead = self.lead(expression)
        return 0 if lead is None else lead.sign

    def _holds(self, word: str, difference: Expr) -> bool:
        side = self._side_of(difference)
        if side == 0:
            return word in ("le", "ge")
        return (side > 0) == (word in ("gt", "ge"))

    def _function(self, word: str, inner: Expr) -> Expr:
        if word == "sqrt":
            return self.exp(self.log(inner) / 2)
        lead = self.lead(inner)
        if word == "sign":
            return Integer(0 if lead is None else lead.sign)
        if word not in ("atan", "asinh", "erf"):
            raise OutOfReach(f"no limit of {word}")
        if lead is None:
            return Integer(0)
        if lead.grows > 0:
            return lead.sign * self._at_infinity(word, lead.sign * inner)
        root_pi = self.algebra.generator("f", ("sqrt", sympy.pi), ROOT_PI)
        if lead.grows < 0:
            return self._near() * inner * (2 / root_pi if word == "erf" else 1)
        return self._beside(word, lead.coefficient, inner, root_pi)

    def _at_infinity(self, word: str, inner: Expr) -> Expr:
        """Of an argument that tends to +oo."""
        if word == "atan":
            return self.algebra.generator("f", ("atan", sympy.oo), HALF_PI) - self._near() / inner
        if word == "asinh":
            return self.log(2 * inner) + self._near() / (4 * inner**2)
        root_pi = self.algebra.generator("f", ("sqrt", sympy.pi), ROOT_PI)
        return 1 - self._near() * self.exp(-(inner**2)) / (inner * root_pi)

    def _beside(self, word: str, value: Expr, inner: Expr, root_pi: Expr) -> Expr:
        """Of an argument that tends to a number: the value there, and the slope there times the rest."""
        there = self.algebra.generator("f", (word, value), image(word, self.algebra.span(value)))
        small = inner - value
        if sympy.expand(small) == 0:
            return there
        if word == "erf":
            slope = 2 * self.algebra.exp(-(value**2)) / root_pi
        else:
            slope = self.algebra.exp(self.algebra.log(1 + value**2) * Rational(-1, 1 if word == "atan" else 2))
        return there + self._near() * slope * small

    def _near(self) -> Symbol:
        """What tends to 1."""
        self.near_one.append(Symbol(f"near_one{len(self.near_one)}", positive=True))
        return self.near_one[-1]

    def exp(self, exponent: Expr) -> Expr:
        """exp of a sum of terms that grow, a number, and what vanishes."""
        still, exponent = sympy.expand(exponent).as_independent(*self.exponents, L, *self.near_one, as_Add=True)
        result: Expr = self.algebra.exp(still)
        for _ in range(SPLITS):
            lead = self.lead(exponent)
            if lead is None:
                return result
            if lead.grows < 0:
                return result * (1 + self._near() * exponent)
            if lead.grows == 0:
                result *= self.algebra.exp(lead.coefficient)
            else:
                result *= self._scale(lead)
            exponent = sympy.expand(sympy.cancel(sympy.together(exponent - lead.coefficient * _product(lead.monomial))))
        raise OutOfReach("an exponent of too many terms")

    def _scale(self, lead: Lead) -> Expr:
        """exp(c M), where M grows: a power of a scale that is known, or a scale of its own."""
        for symbol, (coefficient, monomial) in self.exponents.items():
            if monomial == lead.monomial:
                power = sympy.cancel(lead.coefficient / coefficient)
                if power.is_Integer:
                    return symbol ** int(power)
        if len(self.exponents) >= MAX_SCALES:
            raise OutOfReach("too many scales")
        symbol = Symbol(f"scale{len(self.exponents)}", positive=True)
        self.exponents[symbol] = (lead.sign * lead.coefficient, lead.monomial)
        return symbol**lead.sign

    def log(self, inner: Expr) -> Expr:
        """log of the leading term, and what is beside it."""
        lead = self.lead(inner)
        if lead is None or lead.sign < 0:
            raise OutOfReach("the logarithm of what is not positive")
        total = self.algebra.log(lead.coefficient)
        for symbol, power in lead.monomial:
            if symbol == L:
                raise OutOfReach("the logarithm of a logarithm")
            coefficient, monomial = self.exponents[symbol]
            total += power * coefficient * _product(monomial)
        small = sympy.cancel(sympy.together(inner / (lead.coefficient * _product(lead.monomial)))) - 1
        if sympy.expand(small) == 0:
            return total
        return total + self._near() * small

    # -- what it comes to ---------------------------------------------------------------------------------------------------

    def tail(self, expression: Expr) -> Tail:
        """How it ends, by its leading term; where that is not known, whether all terms vanish, or none grows. Raises OutOfReach."""
        try:
            lead = self.lead(expression)
        except OutOfReach:
            order = self._order(expression)
            return Tail(Integer(0) if order < 0 else None, None, True)
        if lead is None:
            return Tail(Integer(0), 0, True)
        if lead.grows < 0:
            return Tail(Integer(0), lead.sign, True)
        if lead.grows > 0:
            return Tail(lead.sign * sympy.oo, lead.sign, False)
        return Tail(self.algebra.pretty(sympy.factor(lead.coefficient)), lead.sign, True)

    def _order(self, expression: Expr) -> int:
        """-1 if every term of the numerator is small beside the denominator, 0 if none is large beside it. Raises OutOfReach."""
        numerator, denominator = sympy.fraction(sympy.cancel(sympy.together(expression)))
        below, scales = self._leading(denominator), [*self.exponents, L]
        terms = Poly(numerator, *scales).monoms()
        orders = {self._compared(_quotient(_monomial(dict(zip(scales, powers, strict=True))), below.monomial)) for powers in terms}
        if 1 in orders:
            raise OutOfReach("a term that grows, whose coefficient may vanish")
        return max(orders)

    # -- leading terms ------------------------------------------------------------------------------------------------------

    def lead(self, expression: Expr) -> Lead | None:
        """The leading term, or None for 0. Raises OutOfReach where its coefficient is not shown to be different from 0."""
        numerator, denominator = sympy.fraction(sympy.cancel(sympy.together(expression)))
        if numerator == 0:
            return None
        above, below = self._leading(numerator), self._leading(denominator)
        powers = dict(above.monomial)
        for symbol, power in below.monomial:
            powers[symbol] = powers.get(symbol, 0) - power
        monomial = _monomial(powers)
        return Lead(above.coefficient / below.coefficient, monomial, above.sign * below.sign, self._compared(monomial))

    def _leading(self, polynomial: Expr) -> Lead:
        scales = [*self.exponents, L]
        terms = Poly(polynomial, *scales).terms()
        if len(terms) > MAX_FAR_TERMS:
            raise OutOfReach("too many terms")
        largest: list[tuple[Monomial, Expr]] = []
        for powers, coefficient in terms:
            term = (_monomial(dict(zip(scales, powers, strict=True))), coefficient)
            order = 1 if not largest else self._compared(_quotient(term[0], largest[0][0]))
            if order > 0:
                largest = [term]
            elif order == 0:
                largest.append(term)
        total = sympy.expand(sum(coefficient for _, coefficient in largest).subs(dict.fromkeys(self.near_one, 1)))
        return Lead(total, largest[0][0], self._sign(total), 0)

    def _compared(self, monomial: Monomial) -> int:
        """1 if the product of scales tends to infinity, -1 if it tends to 0, 0 if it is 1. Raises OutOfReach."""
        left = monomial
        while left:
            if left[0][0] == L and len(left) == 1:
                return 1 if left[0][1] > 0 else -1
            top = self._largest_exponent(left)
            own = [(symbol, power) for symbol, power in left if symbol != L and self.exponents[symbol][1] == top]
            total = sympy.cancel(sum(power * self.exponents[symbol][0] for symbol, power in own))
            if total != 0:
                return self._sign(total)
            left = tuple(pair for pair in left if pair not in own)
        return 0

    def _largest_exponent(self, monomial: Monomial) -> Monomial:
        """The M of exp(c M) that grows fastest; that of L is smaller than all others."""
        found: Monomial = ()
        for symbol, _ in monomial:
            if symbol == L:
                continue
            own = self.exponents[symbol][1]
            if not found or self._compared(_quotient(own, found)) > 0:
                found = own
        return found

    def _sign(self, expression: Expr) -> int:
        sign = self.algebra.sign(expression, strict=True)
        if not sign:
            raise OutOfReach("a leading coefficient that may vanish")
        return sign


def _monomial(powers: dict[Symbol, int]) -> Monomial:
    return tuple(sorted(((symbol, power) for symbol, power in powers.items() if power), key=str))


def _quotient(above: Monomial, below: Monomial) -> Monomial:
    powers = dict(above)
    for symbol, power in below:
        powers[symbol] = powers.get(symbol, 0) - power
    return _monomial(powers)


def _product(monomial: Monomial) -> Expr:
    return sympy.Mul(*(symbol**power for symbol, power in monomial))
