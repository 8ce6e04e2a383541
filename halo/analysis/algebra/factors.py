"""Rational functions of independent generators: factored, with the range and the sign of each factor.

sympy only expands, factors and cancels; what is concluded from it is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import comb, prod
from typing import Any

import sympy
from sympy import Expr, Poly, Rational, Symbol

from halo.analysis.algebra.bernstein import Budget, constant_sign
from halo.analysis.budgets import MAX_DEGREE, MAX_EXPANDED, MAX_SIDES, MAX_SYMBOLS, MAX_TERMS
from halo.analysis.curvature import Box
from halo.analysis.ranges import NEGATIVE, POSITIVE, REALS, Span, coarse
from halo.compiler.graph import Node

ENDLESS = 10**6
"""A number of terms past all limits: counting goes no further."""


class OutOfReach(Exception):
    """The expression is too large, or needs what this algebra does not have."""


@dataclass
class Generator:
    """A symbol that sympy sees: `kind` and `key` say what it stands for, `span` where it lies."""

    symbol: Symbol
    kind: str
    key: Any
    span: Span


@dataclass
class Factors:
    """Rational functions over the generators of one box of variables."""

    box: Box
    generators: dict[object, Generator] = field(default_factory=dict)
    by_symbol: dict[Symbol, Generator] = field(default_factory=dict)
    denominators: dict[Expr, int] = field(default_factory=dict)
    positive: set[Expr] = field(default_factory=set)
    budget: Budget = field(default_factory=Budget)

    def generator(self, kind: str, key: Any, span: Span) -> Symbol:
        """The symbol for what `key` says, made once."""
        if (kind, key) not in self.generators:
            symbol = Symbol(f"{kind}{len(self.generators)}")
            self.generators[kind, key] = self.by_symbol[symbol] = Generator(symbol, kind, key, span)
        return self.generators[kind, key].symbol

    def _tidy(self, expression: Expr) -> Expr:
        if _size(expression) >= MAX_TERMS:
            return expression
        return _tidied(expression)

    def factored(self, expression: Expr) -> tuple[Rational, list[tuple[Expr, int]]]:
        """Rational coefficient and factors with their (also negative) powers. Raises OutOfReach past the size limits."""
        numerator, denominator = sympy.fraction(sympy.together(expression))
        top, above = _factor_list(numerator)
        bottom, below = _factor_list(denominator)
        if bottom == 0:
            raise OutOfReach("a division by 0")
        if top == 0:
            return Rational(0), []
        return top / bottom, [*above, *((base, -count) for base, count in below)]

    def is_zero(self, expression: Expr) -> bool:
        """Whether it vanishes identically; False only means that this was not seen."""
        numerator, denominator = sympy.fraction(sympy.together(expression))
        if _size(numerator) > MAX_EXPANDED or _size(denominator) > MAX_EXPANDED:
            return False
        return bool(sympy.expand(numerator) == 0 and sympy.expand(denominator) != 0)

    def span(self, expression: Expr) -> Span:
        """The range of a rational function, by interval arithmetic."""
        if expression.is_Rational:
            return Span.point(Fraction(int(expression.p), int(expression.q)))
        if expression.is_Symbol:
            return self.by_symbol[expression].span
        if expression.is_Add:
            total = Span.point(0)
            for term in expression.args:
                total = total + self.span(term)
            return total
        if expression.is_Mul:
            total = Span.point(1)
            for factor in expression.args:
                total = total * self.span(factor)
            return total
        if expression.is_Pow and expression.exp.is_Integer:
            base, n = self.span(expression.base), int(expression.exp)
            inverse = base if n > 0 else base.reciprocal()
            if inverse is not None:
                return inverse.power(abs(n))
        return REALS

    def span_of_factor(self, base: Expr) -> Span:
        """The range of a polynomial: by intervals, or its sign by `polynomial_sign`."""
        span = self.span(base)
        if base in self.positive:
            return span.within(POSITIVE) or span
        if base.is_Symbol or span.sign(strict=True) is not None:
            return span
        sign = self.polynomial_sign(base, strict=True)
        if sign is None:
            return span
        return span.within(POSITIVE if sign > 0 else NEGATIVE) or span

    def variables_in(self, expression: Expr) -> set[Node]:
        """The variables of the box that the expression is made of, also those inside exponentials, logarithms and kinks."""
        found, seen, pending = set[Node](), set[Symbol](), list(expression.free_symbols)
        while pending:
            symbol = pending.pop()
            if symbol in seen or symbol not in self.by_symbol:
                continue
            seen.add(symbol)
            generator = self.by_symbol[symbol]
            if generator.kind == "v":
                found.add(generator.key)
            else:
                keys = generator.key if isinstance(generator.key, tuple) else (generator.key,)
                pending += [s for key in keys if isinstance(key, Expr) for s in key.free_symbols]
        return found

    def pretty(self, expression: Expr) -> Expr:
        """The expression in names that people know, for printing only."""
        while True:
            generators = [self.by_symbol[s] for s in expression.free_symbols if s in self.by_symbol]
            if not generators:
                return expression
            expression = expression.subs({g.symbol: _readable(g) for g in generators})

    # -- signs -------------------------------------------------------------------------------------------------------------

    def sign(self, expression: Expr, strict: bool = False, most: int | None = None) -> int | None:
        """The sign of a product of factors, wherever it is defined: +1 (>= 0), -1 (<= 0), 0 (it is 0), or None (not decided).

        `strict`: it is also nowhere 0. Of polynomials of more than `most` coefficients only the ranges are looked at.
        """

        def of_factor(base: Expr) -> int | None:
            found = self.span(base).sign(strict)
            if found is not None or (most is not None and _coefficients(base) > most):
                return found
            if base.is_Symbol and self.by_symbol[base].kind != "l":  # of a bare variable the range is all that is known
                return None
            return self.polynomial_sign(base, strict)

        return self._sign_of_product(expression, strict, of_factor)

    def _sign_of_product(self, expression: Expr, strict: bool, of_factor: Callable[[Expr], int | None]) -> int | None:
        coefficient, factors = self.factored(expression)
        if coefficient == 0:
            return 0
        total = 1 if coefficient > 0 else -1
        for base, count in factors:
            even = count % 2 == 0
            if even and not strict:
                continue
            sign = of_factor(base)
            if sign is None:
                return None
            if not even:
                total *= sign
        return total

    def polynomial_sign(self, polynomial: Expr, strict: bool) -> int | None:
        """The sign of a polynomial on the whole box, from coefficients and bounds of its logarithms; `strict`: never 0."""
        if polynomial in self.positive:
            return 1
        for symbol in self._square_roots(polynomial):
            found = self._sign_beside_root(polynomial, symbol, strict)
            if found is not None:
                return found
        for symbol in self._logs(polynomial):
            p = self.by_symbol[symbol].key
            for argument, without in ((p, polynomial), *self._reversed(symbol, p, polynomial)):
                signs = {self._without_logs(without.subs(symbol, bound), strict) for bound in self._log_bounds(argument)}
                if len(signs) == 1 and None not in signs:
                    return signs.pop()
        return self._box_sign(polynomial, strict)

    def is_root(self, generator: Generator) -> bool:
        """Whether it is a root of something: exp(log(P) / d)."""
        if generator.kind != "w" or not generator.key[0].is_Symbol:
            return False
        return self.by_symbol[generator.key[0]].kind == "l"

    def _square_roots(self, polynomial: Expr) -> list[Symbol]:
        """The square roots in which the polynomial is linear."""
        found = [s for s in polynomial.free_symbols if self.is_root(self.by_symbol[s]) and self.by_symbol[s].key[1] == 2]
        return sorted((s for s in found if sympy.degree(polynomial, s) == 1), key=str)

    def _sign_beside_root(self, polynomial: Expr, root: Symbol, strict: bool) -> int | None:
        """Of a + b sqrt(P): that of b where b**2 P >= a**2, that of a where it is the other way round."""
        b, a = Poly(polynomial, root).all_coeffs()
        larger = self.sign(sympy.expand(b**2 * self.by_symbol[self.by_symbol[root].key[0]].key - a**2), strict)
        if larger not in (-1, 1):
            return None
        return self.sign(b if larger > 0 else a, strict)

    def _logs(self, polynomial: Expr) -> list[Symbol]:
        """The logarithms of non-constants in which the polynomial is linear."""
        found = [s for s in polynomial.free_symbols if self.by_symbol[s].kind == "l" and self.by_symbol[s].key.free_symbols]
        return sorted((s for s in found if sympy.degree(polynomial, s) == 1), key=str)

    def _reversed(self, symbol: Symbol, p: Expr, polynomial: Expr) -> list[tuple[Expr, Expr]]:
        """log P = log(P / w**n) + n * exponent: written so where the bare exponent then disappears."""
        found = []
        for w in sorted(p.free_symbols, key=str):
            if self.by_symbol[w].kind == "w" and p.is_polynomial(w):
                n, (monomial, d) = sympy.degree(p, w), self.by_symbol[w].key
                without = sympy.expand(polynomial.subs(symbol, symbol + n * monomial / d))
                if not without.free_symbols & monomial.free_symbols:
                    found.append((sympy.expand(p / w**n), without))
        return found

    def _log_bounds(self, p: Expr) -> tuple[Expr, Expr]:
        """Rational functions below and above log P; a polynomial linear in it is settled by both ends."""
        if self.span(p).low >= 1:
            return 2 * (p - 1) / (p + 1), (p**2 - 1) / (2 * p)
        return 1 - 1 / p, p - 1

    def _without_logs(self, expression: Expr, strict: bool) -> int | None:
        """The sign of a product in which a logarithm was replaced by a bound; those that are left are not looked into."""

        def of_factor(base: Expr) -> int | None:
            found = self.span(base).sign(strict)
            if found is None:
                return self._box_sign(base, strict)
            return found

        return self._sign_of_product(expression, strict, of_factor)

    def _box_sign(self, polynomial: Expr, strict: bool) -> int | None:
        symbols = sorted(polynomial.free_symbols, key=str)
        if not symbols:
            return None
        poly = Poly(polynomial, *symbols)
        if poly.total_degree() > MAX_DEGREE or len(poly.terms()) > MAX_TERMS or len(symbols) > MAX_SIDES:
            return None
        terms = {powers: Fraction(int(c.p), int(c.q)) for powers, c in poly.terms()}
        return constant_sign(terms, [coarse(self.by_symbol[s].span) for s in symbols], strict, self.budget)


def _factor_list(part: Expr) -> tuple[Rational, list[tuple[Expr, int]]]:
    """A numerator or denominator: its rational coefficient, and its factors with their powers."""
    if _size(part) > MAX_TERMS:
        raise OutOfReach("too many terms")
    if not part.is_Symbol:
        part = sympy.expand(part)  # (w + 1) - w has a symbol, and is a number
    if len(part.free_symbols) > MAX_SYMBOLS:
        raise OutOfReach("too many quantities to factor")
    coefficient, found = _factored(part)
    if not Rational(coefficient).is_Rational:
        raise OutOfReach("a coefficient that is not rational")
    return Rational(coefficient), [(base, int(count)) for base, count in found]


# the sign of a slope is asked again with every box that it is split into, and factoring is what that costs


@lru_cache(maxsize=2048)
def _factored(polynomial: Expr) -> tuple[Expr, list[tuple[Expr, int]]]:
    if not polynomial.free_symbols:
        return polynomial, []
    found: tuple[Expr, list[tuple[Expr, int]]] = sympy.factor_list(polynomial)
    return found


@lru_cache(maxsize=2048)
def _tidied(expression: Expr) -> Expr:
    return sympy.factor(sympy.together(expression))


def _coefficients(polynomial: Expr) -> int:
    """How many coefficients a bound on the polynomial looks at."""
    return prod(int(degree) + 1 for degree in Poly(polynomial, *sorted(polynomial.free_symbols, key=str)).degree_list())


def _readable(generator: Generator) -> Expr:
    key: Any = generator.key
    match generator.kind:
        case "v":
            return Symbol(f"{key.slot}.{key.data}".removeprefix("."), real=True)
        case "w":
            return sympy.exp(key[0] / key[1])
        case "l":
            return sympy.log(key)
        case "r":
            return sympy.Function("relu")(key)
        case "f":
            return getattr(sympy, key[0], sympy.Function(key[0]))(*key[1:])
        case "p":
            return key[0] ** key[1]
        case _:
            return sympy.Function("where")(_COMPARED[key[0]](key[1], key[2], evaluate=False), *key[3:])


_COMPARED = {"lt": sympy.Lt, "le": sympy.Le, "gt": sympy.Gt, "ge": sympy.Ge}


def _size(expression: Expr) -> int:
    """A bound on the number of terms after expansion, found without expanding."""
    if expression.is_Add:
        return sum(_size(term) for term in expression.args)
    if expression.is_Mul:
        total = 1
        for factor in expression.args:
            total *= _size(factor)
            if total > ENDLESS:
                return total
        return total
    if expression.is_Pow and expression.exp.is_Integer:
        inner = _size(expression.base)
        n = abs(int(expression.exp))
        return min(ENDLESS, comb(n + min(inner, 1000) - 1, n))  # more terms than 1,000 are past every limit already
    return 1
