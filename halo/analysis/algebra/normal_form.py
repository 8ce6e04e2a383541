"""Scalars in a normal form for sympy: rational functions of independent generators, each with its range.

Every exponential becomes a power of `exp(monomial / d)`, every logarithm a sum of `log(factor)`, every kink `relu(form)`:
after that an identity between objectives is an identity of rational functions, and a sign is the sign of factors. sympy
only expands, factors and cancels; what is concluded from it is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import sympy
from mpmath import mp
from sympy import Expr, Integer, Rational, Symbol

from halo.analysis.algebra.factors import Factors, OutOfReach
from halo.analysis.budgets import MAX_BITS, MAX_DEGREE, MAX_POWER
from halo.analysis.curvature import Calculus, declared, image
from halo.analysis.ranges import NONNEGATIVE, POSITIVE, REALS, Span, monotone_image
from halo.analysis.scalar import is_number
from halo.compiler.graph import Node
from halo.objective.formula import Formula, Name, Number, parsed
from halo.objective.vocabulary import FUNCTIONS, LETTERS

LARGEST_PRIME = 10**4
"""Up to which a number is divided out: log(6) is log(2) + log(3), and what is left over has a logarithm of its own."""


class Finer(Exception):
    """An exponential needs a finer common denominator: start again."""


@dataclass
class Algebra(Factors):
    """Normal forms of scalars over one box of variables."""

    def normal(self, node: Node) -> Expr:
        """The node as a rational function of generators. Raises OutOfReach."""
        (expression,) = self.normals([node])
        return expression

    def normals(self, nodes: list[Node]) -> list[Expr]:
        """Several nodes over the same generators."""
        for _ in range(6):  # each round makes a denominator finer; objectives need one or two
            try:
                known: dict[Node, Expr] = {}
                return [self._reduced(self._convert(node, known)) for node in nodes]
            except Finer:
                self.restart()
        raise OutOfReach("exponents without a common denominator")

    def restart(self) -> None:
        """Forgets the generators, whose exponentials turned out too coarse; the denominators that are known stay."""
        self.generators.clear()
        self.by_symbol.clear()

    def _reduced(self, form: Expr) -> Expr:
        """The form in which no root stands in a power that is none: r**2 is P where r is the square root of P."""
        roots = [
            (g.symbol, self.by_symbol[g.key[0]].key, g.key[1]) for g in map(self.by_symbol.get, form.free_symbols) if g and self.is_root(g)
        ]
        if not roots:
            return form
        sides = list(sympy.fraction(sympy.together(form)))
        for root, of, degree in sorted(roots, key=str):
            for i, side in enumerate(sides):
                terms = sympy.Poly(side, root).terms()
                sides[i] = sum((c * of ** (n // degree) * root ** (n % degree) for (n,), c in terms), Integer(0))
        return sides[0] / sides[1]

    # -- scalars to generators -----------------------------------------------------------------------------------------

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
        if node.data in ("sqrt", "log", "pow") and Calculus(self.box).span(node.args[0]).positive:
            self._remember_positive(arguments[0])
        return self._applied(node.data, arguments)

    def _remember_positive(self, argument: Expr) -> None:
        """What rules say of a formula, b + (z - t)**2 > 0, is lost once it is multiplied out."""
        if self.span(argument).positive:
            return
        coefficient, factors = self.factored(argument)
        if coefficient > 0 and len(factors) == 1 and factors[0][1] == 1:
            self.positive.add(factors[0][0])

    def _applied(self, word: str, arguments: list[Expr]) -> Expr:
        """A function of normal forms: what the algebra has generators for, else by its definition, else an atom."""
        a = arguments[0]
        match word:
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
            case "log":
                return self.log(a)
            case "sqrt" if self._is_positive(a):
                return self.exp(self.log(a) / 2)
            case "relu":
                return self.relu(a)
            case "abs":  # by one hinge: its definition, a maximum, would leave a and -a to cancel in what is not expanded
                return 2 * self.relu(a) - a
            case "max":
                return self._largest(arguments)
            case "min":
                return -self._largest([-x for x in arguments])
        row = FUNCTIONS[word]
        if row.definition:
            return self._read(parsed(row.definition), dict(zip(LETTERS, arguments, strict=False)))
        return self.generator("f", (word, *map(self._tidy, arguments)), self._image(word, a))

    def _read(self, formula: Formula, letters: Mapping[str, Expr]) -> Expr:
        if isinstance(formula, Number):
            return Rational(formula.value.numerator, formula.value.denominator)
        if isinstance(formula, Name):
            return letters[formula.name]
        return self._applied(formula.function, [self._read(a, letters) for a in formula.arguments])

    def _image(self, word: str, argument: Expr) -> Span:
        row = FUNCTIONS[word]
        reached = self.span(argument).within(declared(row.domain, row.closed))
        if reached is None or row.arity != (1, 1):
            return declared(row.range, row.closed)
        return image(word, reached)

    def _largest(self, arguments: list[Expr]) -> Expr:
        result = arguments[0]
        for other in arguments[1:]:
            result = result + self.relu(other - result)
        return result

    def _power(self, base: Expr, exponent: Expr) -> Expr:
        if base.is_Rational and exponent.is_Rational and abs(exponent) * max(base.p.bit_length(), base.q.bit_length()) > MAX_BITS:
            raise OutOfReach("a number without end")
        if exponent.is_Integer and abs(int(exponent)) <= MAX_POWER:
            return base ** int(exponent)
        span = self.span(base)
        if span.positive or (exponent.is_Rational and self._is_positive(base)):
            return self.exp(exponent * self.log(base))
        return self.generator("p", (self._tidy(base), self._tidy(exponent)), NONNEGATIVE if span.nonnegative else REALS)

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
                raise Finer
            if abs(coefficient * d) > MAX_DEGREE:
                raise OutOfReach("exponents too far apart")
            result *= self._exponential(monomial, d) ** int(coefficient * d)
        return result

    def _is_positive(self, argument: Expr) -> bool:
        """Whether each of its factors is shown to be positive."""
        coefficient, factors = self.factored(argument)
        return coefficient > 0 and all(self.span_of_factor(base).positive for base, _ in factors)

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
        if coefficient != 1:
            for prime, count in sympy.factorrat(coefficient, limit=LARGEST_PRIME).items():
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
            if self.span_of_factor(base).negative:
                base = sympy.expand(-base)
                if count % 2:
                    coefficient = -coefficient
            turned.append((base, count))
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


def _relu_span(span: Span) -> Span:
    return span.maximum(Span.point(0))
