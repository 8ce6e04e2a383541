"""The limit of a scalar at infinity, by its leading term in one exponential scale.

With T = exp(q Z) and Z -> +oo, a normal form is a rational function of T, Z and logarithms; T beats every power of Z, and
log P = log(leading term of P) + d small with small -> 0 and d -> 1. What needs a second scale, or a cancellation of leading
terms that is not seen, has no answer here: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import sympy
from sympy import Expr, Integer, Poly, Symbol

from halo.analysis.algebra.factors import Generator, OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Box
from halo.analysis.kinks import settled
from halo.analysis.ranges import REALS
from halo.analysis.scalar import Scalars
from halo.compiler.graph import Node

T, Z = Symbol("T", positive=True), Symbol("Z", positive=True)


@dataclass
class Lead:
    """coefficient * T**t * Z**z, the term that the others are small beside."""

    coefficient: Expr
    t: int
    z: int
    sign: int


def limit(s: Scalars, node: Node, x: Node, box: Box, side: int) -> Expr | None:
    """The limit as x tends to +oo (side 1) or -oo, for every value of the rest: an expression, +-oo, or None if not found."""
    box = {**box, x: REALS}
    algebra = Algebra(box)
    try:
        form = algebra.normal(settled(s, node, x, box, side))
        far = Far(algebra, x, side)
        lead = far.lead(far.seen(form))
    except OutOfReach:
        return None
    if lead is None or (lead.t, lead.z) < (0, 0):
        return Integer(0)
    if (lead.t, lead.z) > (0, 0):
        return lead.sign * sympy.oo
    return algebra.pretty(sympy.factor(lead.coefficient))


@dataclass
class Far:
    """Normal forms of one algebra seen from far out along x."""

    algebra: Algebra
    x: Node
    side: int
    scale: Expr | None = None
    near_one: list[Symbol] = field(default_factory=list)

    @cached_property
    def symbol(self) -> Symbol:
        """x as the algebra names it."""
        return self.algebra.generator("v", self.x, REALS)

    def seen(self, form: Expr) -> Expr:
        """The form in T, Z and what does not move. Raises OutOfReach."""
        moving = [s for s in sorted(form.free_symbols, key=str) if self._moves(s)]
        return form.subs({s: self._far(self.algebra.by_symbol[s]) for s in moving})

    def _moves(self, expression: Expr) -> bool:
        return self.x in self.algebra.variables_in(expression)

    def _far(self, generator: Generator) -> Expr:
        if generator.symbol == self.symbol:
            return self.side * Z
        if generator.kind == "w":
            return self._exponential(*generator.key)
        if generator.kind == "l":
            return self._logarithm(generator.key)
        raise OutOfReach(f"no limit of {generator.kind}")

    def _exponential(self, monomial: Expr, d: int) -> Expr:
        factor = sympy.cancel(monomial / self.symbol) / d
        if self._moves(factor):
            raise OutOfReach("an exponent that is not linear")
        sign = self._sign(factor)
        if self.scale is None:
            self.scale = sign * factor
        power = sympy.cancel(sign * factor / self.scale)
        if not power.is_Integer:
            raise OutOfReach("two exponential scales")
        return T ** (int(power) * sign * self.side)

    def _logarithm(self, base: Expr) -> Expr:
        far = self.seen(base)
        lead = self.lead(far)
        if lead is None or lead.z:
            raise OutOfReach("the logarithm of a power")
        near_one = Symbol(f"near_one{len(self.near_one)}", positive=True)
        self.near_one.append(near_one)
        small = sympy.cancel(sympy.together(far / (lead.coefficient * T**lead.t))) - 1
        return self.algebra.log(lead.coefficient) + lead.t * (self.scale or 0) * Z + near_one * small

    def lead(self, expression: Expr) -> Lead | None:
        """The leading term, or None for 0. Raises OutOfReach where its coefficient is not shown to be different from 0."""
        numerator, denominator = sympy.fraction(sympy.cancel(sympy.together(expression)))
        if numerator == 0:
            return None
        above, below = self._leading(numerator), self._leading(denominator)
        coefficient = above.coefficient / below.coefficient
        return Lead(coefficient, above.t - below.t, above.z - below.z, above.sign * below.sign)

    def _leading(self, polynomial: Expr) -> Lead:
        (t, z), coefficient = max(Poly(polynomial, T, Z).terms(), key=lambda term: tuple(term[0]))
        there = sympy.expand(coefficient.subs(dict.fromkeys(self.near_one, 1)))
        return Lead(there, t, z, self._sign(there))

    def _sign(self, expression: Expr) -> int:
        sign = self.algebra.sign(expression, strict=True)
        if not sign:
            raise OutOfReach("a leading coefficient that may vanish")
        return sign
