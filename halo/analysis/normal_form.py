"""Scalars in a normal form for sympy: rational functions of independent generators, each with its range.

Every exponential becomes a power of `exp(monomial / d)`, every logarithm a sum of `log(factor)`, every kink `relu(form)`:
after that an identity between objectives is an identity of rational functions, and a sign is the sign of factors. sympy
only expands, factors and cancels; what is concluded from it is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import comb, lcm
from typing import Any

import sympy
from mpmath import mp
from sympy import Expr, Integer, Poly, Rational, Symbol

from halo.analysis.bernstein import Budget, constant_sign
from halo.analysis.budgets import MAX_BITS, MAX_DEGREE, MAX_SYMBOLS, MAX_TERMS
from halo.analysis.curvature import Box
from halo.analysis.ranges import NONNEGATIVE, POSITIVE, REALS, Span, coarse, monotone_image
from halo.analysis.scalar import is_number
from halo.compiler.graph import Node


class OutOfReach(Exception):
    """The expression is too large, or needs what this algebra does not have."""


class _Finer(Exception):
    """An exponential needs a finer common denominator: start again."""


@dataclass
class Generator:
    """A symbol that sympy sees: `kind` and `key` say what it stands for, `span` where it lies."""

    symbol: Symbol
    kind: str
    key: Any
    span: Span


@dataclass
class Algebra:
    """Normal forms of scalars over one box of variables."""

    box: Box
    generators: dict[object, Generator] = field(default_factory=dict)
    by_symbol: dict[Symbol, Generator] = field(default_factory=dict)
    denominators: dict[Expr, int] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    def normal(self, node: Node) -> Expr:
        """The node as a rational function of generators. Raises OutOfReach."""
        (expression,) = self.normals([node])
        return expression

    def normals(self, nodes: list[Node]) -> list[Expr]:
        """Several nodes over the same generators."""
        for _ in range(6):
            try:
                known: dict[Node, Expr] = {}
                return [self._convert(node, known) for node in nodes]
            except _Finer:
                self.generators.clear()
                self.by_symbol.clear()
        raise OutOfReach("exponents without a common denominator")

    # -- scalars to generators -----------------------------------------------------------------------------------------

    def generator(self, kind: str, key: Any, span: Span) -> Symbol:
        """The symbol for what `key` says, made once."""
        if (kind, key) not in self.generators:
            symbol = Symbol(f"{kind}{len(self.generators)}")
            self.generators[kind, key] = self.by_symbol[symbol] = Generator(symbol, kind, key, span)
        return self.generators[kind, key].symbol

    def _convert(self, node: Node, known: dict[Node, Expr]) -> Expr:
        if node not in known:
            found = self._converted(node, known)
            if found.has(sympy.zoo, sympy.nan) or (found.is_Rational and max(found.p.bit_length(), found.q.bit_length()) > MAX_BITS):
                raise OutOfReach("a division by 0, or a number without end")
            known[node] = found
        return known[node]

    def _converted(self, node: Node, known: dict[Node, Expr]) -> Expr:
        if is_number(node):
            return Rational(node.data.numerator, node.data.denominator)
        if node.op in ("parameter", "input", "reduce"):
            return self.generator("v", node, self.box.get(node, REALS))
        if node.op == "stop":
            return self._convert(node.args[0], known)
        if node.data == "where":
            condition, first, second = node.args
            sides = [self._tidy(self._convert(side, known)) for side in condition.args]
            branches = [self._tidy(self._convert(branch, known)) for branch in (first, second)]
            if self.is_zero(branches[0] - branches[1]):
                return branches[0]
            return self.generator("c", (condition.data, *sides, *branches), self.span(branches[0]).joined(self.span(branches[1])))
        arguments = [self._convert(a, known) for a in node.args]
        return self._applied(node, arguments)

    def _applied(self, node: Node, arguments: list[Expr]) -> Expr:
        a = arguments[0]
        match node.data:
            case "add":
                return a + arguments[1]
            case "sub":
                return a - arguments[1]
            case "mul":
                return a * arguments[1]
            case "div":
                return a / arguments[1]
            case "neg":
                return -a
            case "pow":
                return self._power(a, arguments[1])
            case "exp":
                return self.exp(a)
            case "expm1":
                return self.exp(a) - 1
            case "sigmoid":
                return 1 / (1 + self.exp(-a))
            case "logsigmoid":
                return -self.log(1 + self.exp(-a))
            case "softplus":
                return self.log(1 + self.exp(a))
            case "tanh":
                return 1 - 2 / (1 + self.exp(2 * a))
            case "log":
                return self.log(a)
            case "log1p":
                return self.log(1 + a)
            case "log1mexp":
                return self.log(1 - self.exp(a))
            case "relu":
                return self.relu(a)
            case "abs":
                return 2 * self.relu(a) - a
            case "max":
                return self._largest(arguments)
            case "min":
                return -self._largest([-x for x in arguments])
            case "clip":
                return -self._largest([-self._largest([a, arguments[1]]), -arguments[2]])
            case _:  # atan, asinh, sqrt, sign: atoms
                image = NONNEGATIVE if node.data == "sqrt" else REALS
                return self.generator("f", (node.data, *map(self._tidy, arguments)), image)

    def _largest(self, arguments: list[Expr]) -> Expr:
        result = arguments[0]
        for other in arguments[1:]:
            result = result + self.relu(other - result)
        return result

    def _power(self, base: Expr, exponent: Expr) -> Expr:
        if base.is_Rational and exponent.is_Rational and abs(exponent) * max(base.p.bit_length(), base.q.bit_length()) > MAX_BITS:
            raise OutOfReach("a number without end")
        if exponent.is_Integer and abs(int(exponent)) <= 64:
            return base ** int(exponent)
        if self.span(base).positive:
            return self.exp(exponent * self.log(base))
        return self.generator("p", (self._tidy(base), self._tidy(exponent)), NONNEGATIVE if self.span(base).nonnegative else REALS)

    def exp(self, exponent: Expr) -> Expr:
        """exp as powers of one generator for each monomial of the exponent."""
        result: Expr = Integer(1)
        for term in sympy.Add.make_args(sympy.expand(self._tidy(exponent))):
            coefficient, monomial = term.as_coeff_Mul()
            if coefficient == 0:
                continue
            if not coefficient.is_Rational:
                raise OutOfReach(f"exponent {term}")
            atom = self.by_symbol.get(monomial)
            if atom is not None and atom.kind == "l" and coefficient.is_Integer:
                result *= atom.key ** int(coefficient)
                continue
            d = self.denominators.setdefault(monomial, 1)
            if d % int(coefficient.q):
                self.denominators[monomial] = lcm(d, int(coefficient.q))
                raise _Finer
            if abs(coefficient * d) > MAX_DEGREE:
                raise OutOfReach("exponents too far apart")
            result *= self._exponential(monomial, d) ** int(coefficient * d)
        return result

    def _exponential(self, monomial: Expr, d: int) -> Symbol:
        inner = self.span(monomial) * Span.point(Fraction(1, d))
        image = monotone_image(inner, mp.exp, True, REALS, POSITIVE, lambda x: Fraction(1) if x == 0 else None)
        return self.generator("w", (monomial, d), image)

    def log(self, argument: Expr) -> Expr:
        """log as a sum over the factors of its argument, where each is provably positive."""
        coefficient, factors = self._upright(*self.factored(argument))
        if coefficient <= 0 or any(not self.span_of_factor(base).positive for base, _ in factors):
            whole = self._tidy(argument)
            return self.generator("l", whole, self._log_span(self.span(whole)))
        total: Expr = Integer(0)
        for prime, count in sympy.factorrat(coefficient, limit=10**4).items() if coefficient != 1 else ():
            total += count * self.generator("l", Integer(prime), self._log_span(Span.point(int(prime))))
        for base, count in factors:
            found = self.by_symbol.get(base)
            if found is not None and found.kind == "w":
                monomial, d = found.key
                total += count * monomial / d
            else:
                total += count * self.generator("l", base, self._log_span(self.span_of_factor(base)))
        return total

    def _upright(self, coefficient: Rational, factors: list[tuple[Expr, int]]) -> tuple[Rational, list[tuple[Expr, int]]]:
        """Factors that are provably negative turned round: -(p - 1) is 1 - p."""
        turned = []
        for base, count in factors:
            negative = self.span_of_factor(base).negative
            coefficient = -coefficient if negative and count % 2 else coefficient
            turned.append((sympy.expand(-base) if negative else base, count))
        return coefficient, turned

    def _log_span(self, span: Span) -> Span:
        inside = span.within(POSITIVE)
        if inside is None:
            return REALS
        return monotone_image(inside, mp.log, True, POSITIVE, REALS, lambda x: Fraction(0) if x == 1 else None)

    def relu(self, argument: Expr) -> Expr:
        """max(0, argument): positive factors come out, and of a form and its negative only one is kept."""
        coefficient, factors = self.factored(argument)
        if coefficient == 0:
            return Integer(0)
        outside, inside = sympy.Abs(coefficient), sympy.sign(coefficient)
        for base, count in factors:
            if self.span_of_factor(base).positive:
                outside *= base**count
            else:
                inside *= base**count
        form = sympy.expand(inside)
        span = self.span(form)
        if span.nonnegative:
            return outside * form
        if span.nonpositive:
            return Integer(0)
        if form.could_extract_minus_sign():
            form = sympy.expand(-form)
            positive = self.generator("r", form, _relu_span(-span))
            return outside * (positive - form)
        return outside * self.generator("r", form, _relu_span(span))

    # -- rational functions ----------------------------------------------------------------------------------------------

    def _tidy(self, expression: Expr) -> Expr:
        return sympy.factor(sympy.together(expression)) if _size(expression) < MAX_TERMS else expression

    def factored(self, expression: Expr) -> tuple[Rational, list[tuple[Expr, int]]]:
        """Rational coefficient and factors with their (also negative) powers. Raises OutOfReach past the size limits."""
        numerator, denominator = sympy.fraction(sympy.together(expression))
        total, factors = Rational(1), []
        for part, side in ((numerator, 1), (denominator, -1)):
            if _size(part) > MAX_TERMS:
                raise OutOfReach("too many terms")
            part = part if part.is_Symbol else sympy.expand(part)  # (w + 1) - w has a symbol, and is a number
            if len(part.free_symbols) > MAX_SYMBOLS:
                raise OutOfReach("too many quantities to factor")
            coefficient, found = sympy.factor_list(part) if part.free_symbols else (part, [])
            if not Rational(coefficient).is_Rational:
                raise OutOfReach("a coefficient that is not rational")
            if coefficient == 0 and side < 0:
                raise OutOfReach("a division by 0")
            total *= Rational(coefficient) ** side
            factors += [(base, side * int(count)) for base, count in found]
        return (total, factors) if total != 0 else (total, [])

    def is_zero(self, expression: Expr) -> bool:
        """Whether it vanishes identically; False only means that this was not seen."""
        numerator, denominator = sympy.fraction(sympy.together(expression))
        if _size(numerator) > 50 * MAX_TERMS or _size(denominator) > 50 * MAX_TERMS:
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
            return self._power_span(self.span(expression.base), int(expression.exp))
        return REALS

    def _power_span(self, base: Span, n: int) -> Span:
        inverse = base if n > 0 else base.reciprocal()
        if inverse is None:
            return REALS
        result = inverse
        for _ in range(abs(n) - 1):
            result = result * inverse
        if n % 2 == 0:
            return result.within(NONNEGATIVE) or NONNEGATIVE
        return result

    def span_of_factor(self, base: Expr) -> Span:
        """The range of a polynomial: by intervals, or its sign by `polynomial_sign`."""
        span = self.span(base)
        if span.positive or span.negative or base.is_Symbol:
            return span
        sign = self.polynomial_sign(base)
        limit = {1: POSITIVE, -1: -POSITIVE}.get(sign or 0)
        return span.within(limit) or span if limit else span

    def pretty(self, expression: Expr) -> Expr:
        """The expression in names that people know, for printing only."""
        while True:
            generators = [self.by_symbol[s] for s in expression.free_symbols if s in self.by_symbol]
            if not generators:
                return expression
            expression = expression.subs({g.symbol: _readable(g) for g in generators})

    # -- signs -------------------------------------------------------------------------------------------------------------

    def sign(self, expression: Expr) -> int | None:
        """+1: provably >= 0 wherever it is defined; -1: <= 0; 0: both; None: not decided."""
        if expression == 0:
            return 0
        coefficient, factors = self.factored(expression)
        if coefficient == 0:
            return 0
        total = 1 if coefficient > 0 else -1
        for base, count in factors:
            if count % 2 == 0:
                continue
            span = self.span(base)
            sign = 1 if span.nonnegative else -1 if span.nonpositive else self.polynomial_sign(base, strict=False)
            if sign is None:
                return None
            total *= sign
        return total

    def polynomial_sign(self, polynomial: Expr, strict: bool = True) -> int | None:
        """The sign of a polynomial on the whole box, from coefficients; `strict`: never 0."""
        for symbol in self._logs(polynomial):
            p = self.by_symbol[symbol].key
            for argument, without in ((p, polynomial), *self._reversed(symbol, p, polynomial)):
                signs = {self._cleared_sign(without.subs(symbol, bound), strict) for bound in self._log_bounds(argument)}
                if len(signs) == 1 and None not in signs:
                    return signs.pop()
        return self._box_sign(polynomial, strict)

    def _logs(self, polynomial: Expr) -> list[Symbol]:
        """The logarithms of non-constants in which the polynomial is linear."""
        found = [s for s in polynomial.free_symbols if self.by_symbol[s].kind == "l" and self.by_symbol[s].key.free_symbols]
        return sorted((s for s in found if sympy.degree(polynomial, s) == 1), key=str)

    def _reversed(self, symbol: Symbol, p: Expr, polynomial: Expr) -> list[tuple[Expr, Expr]]:
        """log P = log(P / w**n) + n * exponent: written so where the bare exponent then disappears."""
        found = []
        for w in sorted(p.free_symbols, key=str):
            if self.by_symbol[w].kind == "w":
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

    def _cleared_sign(self, expression: Expr, strict: bool) -> int | None:
        coefficient, factors = self.factored(expression)
        total = 1 if coefficient > 0 else -1 if coefficient < 0 else 0
        for base, count in factors:
            if count % 2 == 0 and not strict:
                continue
            span = self.span(base)
            sign = 1 if span.positive else -1 if span.negative else None
            if sign is None and not strict:
                sign = 1 if span.nonnegative else -1 if span.nonpositive else None
            if sign is None:
                sign = self._box_sign(base, strict)
            if sign is None:
                return None
            total *= sign if count % 2 else 1
        return total

    def _box_sign(self, polynomial: Expr, strict: bool) -> int | None:
        symbols = sorted(polynomial.free_symbols, key=str)
        if not symbols:
            return None
        poly = Poly(polynomial, *symbols)
        if poly.total_degree() > MAX_DEGREE or len(poly.terms()) > MAX_TERMS or len(symbols) > 8:
            return None
        terms = {powers: Fraction(int(c.p), int(c.q)) for powers, c in poly.terms()}
        return constant_sign(terms, [coarse(self.by_symbol[s].span) for s in symbols], strict, self.budget)


def _readable(generator: Generator) -> Expr:
    key: Any = generator.key
    match generator.kind:
        case "v":
            return Symbol(f"{key.slot}.{key.data}" if key.slot else str(key.data), real=True)
        case "w":
            return sympy.exp(key[0] / key[1])
        case "l":
            return sympy.log(key)
        case "r":
            return sympy.Function("relu")(key)
        case "f":
            return getattr(sympy, key[0])(*key[1:])
        case "p":
            return key[0] ** key[1]
        case _:
            return sympy.Function("where")(_COMPARED[key[0]](key[1], key[2], evaluate=False), *key[3:])


_COMPARED = {"lt": sympy.Lt, "le": sympy.Le, "gt": sympy.Gt, "ge": sympy.Ge}


def _relu_span(span: Span) -> Span:
    return span.maximum(Span.point(0))


def _size(expression: Expr) -> int:
    """A bound on the number of terms after expansion, found without expanding."""
    if expression.is_Add:
        return sum(_size(term) for term in expression.args)
    if expression.is_Mul:
        total = 1
        for factor in expression.args:
            total *= _size(factor)
            if total > 10**6:
                return total
        return total
    if expression.is_Pow and expression.exp.is_Integer:
        inner = _size(expression.base)
        n = abs(int(expression.exp))
        return min(10**6, comb(n + min(inner, 1000) - 1, n))
    return 1
