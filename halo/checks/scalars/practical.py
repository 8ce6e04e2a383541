"""The ranges of what is met in practice: sums of log-probs, lengths, values of parameters that are tried, and what is reduced of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import variables
from halo.checks.scalars import made_of
from halo.checks.scalars.view import View
from halo.compiler.graph import Node

SMALLEST = Fraction(2) ** -126
"""The smallest normal float32: what is never 0 is at least so far from it."""
LARGEST_SUM = 2_000
"""No sum of log-ratios met in practice is larger than this, in nats."""
LONGEST = 2**17
"""Tokens of the longest completion that models take."""
MANY = 2**12
"""Examples of a batch, or completions of a list."""


@dataclass
class Practical:
    """The practical ranges of the variables of one view."""

    view: View
    known: dict[Node, Span] = field(default_factory=dict)

    def box(self, scalar: Node) -> Mapping[Node, Span]:
        """Those of the scalar's variables."""
        return {v: self.of(v) for v in variables(scalar)}

    def of(self, variable: Node) -> Span:
        """Its range, as wide as it is met."""
        if variable not in self.known:
            span = self.view.box.get(variable, REALS)
            self.known[variable] = self._reduced(variable, span) if variable.op == "reduce" else self.span(variable, span)
        return self.known[variable]

    def span(self, variable: Node, span: Span) -> Span:
        """The part of a range that is met in practice."""
        limit = self._limit(variable, span)
        return span.within(limit) or limit

    def _limit(self, variable: Node, span: Span) -> Span:
        if variable.op == "parameter":
            tried = self.view.first[variable]
            return Span(min(tried), max(tried))
        if variable.data in ("length", "position"):
            return Span(Fraction(1), Fraction(LONGEST))
        if variable.data == "positions":
            return Span(Fraction(1), Fraction(LONGEST) ** 2)
        if span.nonpositive:
            return Span(Fraction(-LARGEST_SUM), -SMALLEST)
        return Span(Fraction(-LARGEST_SUM), Fraction(LARGEST_SUM))

    def _reduced(self, variable: Node, span: Span) -> Span:
        """What a reduction comes to, of things in their practical ranges."""
        inner = Calculus(self.box(variable.args[0])).span(self.view.unstopped(variable.args[0]))
        found, of_tokens = inner, bool(variable.slot) and "token" in variable.args[0].axes
        way = variable.data.removeprefix("batch ")
        if _holds_its_largest(variable) and way in ("total", "mean"):  # of which exp(0) is one
            number = Span(Fraction(1), Fraction(MANY))
            return number if way == "total" else Span(Fraction(1, MANY), Fraction(1))
        match way:
            case "total":
                found = inner * Span(Fraction(1), Fraction(LONGEST if of_tokens else MANY))
            case "std":
                width = inner - inner
                found = Span(Fraction(0), width.high)
            case "logsumexp":
                found = inner + Span(Fraction(0), Fraction(MANY.bit_length()))
            case "mean" | "largest" | "smallest" | "sort":
                found = inner
            case made_of.LARGEST:
                found = Span((inner - inner).low, Fraction(0))
            case made_of.SMALLEST:
                found = Span(Fraction(0), (inner - inner).high)
            case _:  # a place among others
                found = Span(Fraction(1), Fraction(MANY))
        if variable in self.view.maybe_empty:
            found = found.joined(Span.point(0))
        return span.within(found) or found


def _holds_its_largest(reduction: Node) -> bool:
    """Whether it is of exp(x - largest x), as a stable logsumexp is written."""
    inner = reduction.args[0]
    if inner.op != "apply" or inner.data != "exp" or inner.args[0].data != "sub":
        return False
    x, largest = inner.args[0].args
    if largest.op == "stop":
        (largest,) = largest.args
    return largest.op == "reduce" and largest.data == f"{'batch ' * reduction.batch}largest" and largest.args[0] is x
