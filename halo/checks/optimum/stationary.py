"""Where a loss of h is least: its stationary points in closed form, and whether they are finite for all parameter values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial

import sympy
from mpmath import mp, mpf
from sympy import Expr, Symbol

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.decide import Question
from halo.analysis.ends.extent import SIDES, Extent
from halo.analysis.kinks import jumps
from halo.analysis.points import points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import Verdict
from halo.checks.optimum.given_answers import has_ends
from halo.checks.subject import Subject
from halo.compiler.graph import Node

HIGHEST = 2
"""The degree up to which sympy's roots are formulas that people read."""
BESIDE = Fraction(1, 10**20)
"""So far to either side of a root, known to 45 digits, the slope has opposite signs if it is one."""
POINTS = 16
"""Parameter values at which a root is held against the slope. Algebra found it; this only keeps to its real branch."""

UNKNOWN = "the stationary points were not found in closed form, or the loss is not convex"
BY_LENGTH = "each token moves the difference of scores by so much at most: that of given answers has ends"
JUMPS = "the loss may jump, and no gradient says which side of a jump is lower"


@dataclass(frozen=True)
class Root:
    """A stationary point: over the algebra's generators, and in the names of the file."""

    algebra: Algebra
    form: Expr

    @cached_property
    def pretty(self) -> Expr:
        """In the names of the file."""
        named = self.algebra.pretty(self.form)
        if not self.form.has(sympy.log):
            return sympy.factor(named)
        return named.replace(sympy.log, lambda x: sympy.log(_upright(x)))

    def is_finite(self, box: Mapping[Node, Span]) -> bool:
        """Whether the form has a value on the whole box: every division and logarithm in it is proved to be harmless there."""
        for (
            generator
        ) in self.algebra.by_symbol.values():  # those of an exponential or logarithm keep the range of the box they were made on
            if generator.kind == "v" and generator.key in box and generator.symbol in self.form.free_symbols:
                generator.span = box[generator.key]
        bare = all(self.algebra.by_symbol[symbol].kind == "v" for symbol in self.form.free_symbols)
        return bare and all(map(partial(_harmless, self.algebra), sympy.preorder_traversal(self.form)))


def _upright(ratio: Expr) -> Expr:
    """p / (1 - p) rather than -p / (p - 1)."""
    above, below = sympy.fraction(ratio)
    if not above.could_extract_minus_sign():
        return ratio
    return sympy.Mul(sympy.expand(-above), 1 / sympy.expand(-below), evaluate=False)


def _harmless(algebra: Algebra, inner: Expr) -> bool:
    if not isinstance(inner, sympy.log | sympy.Pow) or (inner.is_Pow and inner.exp.is_Integer and inner.exp > 0):
        return True
    argument = inner.args[0]
    if not argument.is_rational_function():
        return False
    sign = algebra.sign(argument, strict=True)
    return sign == 1 or (sign == -1 and inner.is_Pow and inner.exp.is_Integer)


@dataclass
class Descent:
    """A loss along h: its slope, and where that is 0."""

    subject: Subject
    loss: Node
    h: Node
    box: Mapping[Node, Span]
    difference: Node
    """h over the inputs."""

    @cached_property
    def extent(self) -> Extent:
        """Where h can be."""
        inputs = {v: span for v, span in self.box.items() if v is not self.h}
        return Extent(self.subject.view.s, self.loss, self.h, (self.difference,), inputs, self.subject.view.first, {})

    @property
    def goes_everywhere(self) -> bool:
        """Whether h can be any number, whatever the values of the parameters."""
        return self.extent.span == REALS and all(map(self.extent.reached, SIDES))

    @cached_property
    def has_ends_by_length(self) -> bool:
        """Whether h has ends for given answers, though not for all: each token moves it by so much at most."""
        return has_ends(self.difference, self.box) and not self.extent.span.bounded

    @property
    def may_jump(self) -> bool:
        """Whether the loss may jump along h, where a slope says nothing."""
        return jumps(self.subject.view.s, self.loss, lambda v: v is self.h, self.box)

    @cached_property
    def slope(self) -> Node:
        """d loss / d h."""
        return self.subject.view.s.derivative(self.loss, self.h)

    @cached_property
    def algebra(self) -> Algebra:
        """That of the box."""
        return Algebra(self.box)

    @cached_property
    def form(self) -> Expr | None:
        """The slope as a rational function of the algebra's generators, or None if it is too large."""
        try:
            return self.algebra.normal(self.slope)
        except OutOfReach:
            return None

    @cached_property
    def roots(self) -> list[Root]:
        """The zeros of the slope, where all of them are closed forms; real ones and others."""
        if self.form is None:
            return []
        try:
            return [Root(self.algebra, root) for root in _roots(self.algebra, self.form, self.h)]
        except OutOfReach:
            return []

    @cached_property
    def convex(self) -> Verdict:
        """Whether the loss is convex in h."""
        s = self.subject.view.s
        return Question(s, s.call("neg", self.loss), self.h, self.box, REALS, self.subject.view.first).concave()

    @property
    def minimum(self) -> Root | None:
        """Where a convex loss is least, if that is one closed form."""
        if not self.convex.proved:
            return None
        real = [root for root in self.roots if self._is_real_zero(root)]
        if len(real) != 1:
            return None
        return real[0]

    def _is_real_zero(self, root: Root) -> bool:
        """Whether the root is real, and a zero of the slope, at every point tried."""
        others, tried = [v for v in variables(self.slope) if v is not self.h], 0
        for point in points(self.box, others, POINTS, self.subject.view.first):
            value = sympy.N(root.pretty.subs(_named_values(root.pretty, point)), 50)
            if not value.is_finite:  # `Root.is_finite` asks about that
                continue
            if not value.is_real:
                return False
            near = _fraction(value)
            before, after = (sure_value(self.slope, {**point, self.h: near + side}) for side in (-BESIDE, BESIDE))
            if before is None or after is None or before * after > 0:
                return False
            tried += 1
        return tried > 0


def _named_values(form: Expr, point: Mapping[Node, Fraction]) -> dict[Symbol, sympy.Rational]:
    """A point for the symbols of a form in the names of the file."""
    values = {str(v.data): x for v, x in point.items()}
    known = (symbol for symbol in form.free_symbols if str(symbol) in values)
    return {symbol: sympy.Rational(values[str(symbol)].numerator, values[str(symbol)].denominator) for symbol in known}


def _fraction(value: Expr) -> Fraction:
    text = str(value)
    if "e" in text:
        text = mp.nstr(mpf(text), 45)
    return Fraction(text)


def _roots(algebra: Algebra, form: Expr, h: Node) -> list[Expr]:
    """Closed-form solutions h of form = 0. Raises OutOfReach where one has none."""
    _, factors = algebra.factored(form)
    found: list[Expr] = []
    for base, count in factors:
        own = [symbol for symbol in base.free_symbols if h in algebra.variables_in(symbol)]
        if count < 0 or not own:
            continue
        if len(own) != 1:
            raise OutOfReach("h both bare and in an exponential")
        if sympy.degree(base, own[0]) > HIGHEST:
            raise OutOfReach("a polynomial of high degree")
        for solution in sympy.roots(sympy.Poly(base, own[0])):
            found += _solved(algebra, own[0], solution, h)
    return found


def _solved(algebra: Algebra, symbol: Symbol, solution: Expr, h: Node) -> list[Expr]:
    """h where the generator of this symbol has this value: none if an exponential would have to be negative."""
    generator = algebra.by_symbol[symbol]
    if generator.kind == "v":
        return [solution]
    if generator.kind != "w":
        raise OutOfReach("h inside a logarithm")
    monomial, d = generator.key
    own = algebra.generators["v", h].symbol
    factor = sympy.cancel(monomial / own)
    if own in factor.free_symbols or (solution.is_Rational and solution <= 0):
        return []
    return [d * sympy.log(solution) / factor]
