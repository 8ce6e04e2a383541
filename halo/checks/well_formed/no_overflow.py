"""Whether no intermediate of the generated loss leaves float32, for sums of log-probabilities as they may be met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import islice, product

from halo.analysis.curvature import Calculus
from halo.analysis.identity import named, number, shown
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import COMPARE, topological_scalar, variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import NO_OVERFLOW

FLOAT32 = Fraction(2) ** 128
SMALLEST = Fraction(2) ** -126
"""The smallest normal float32: what is never 0 is at least so far from it."""
LARGEST_SUM = 2_000
"""No sum of log-ratios met in practice is larger than this, in nats."""
LONGEST = 2**17
"""Tokens of the longest completion that models take."""
CORNERS = 256
"""Overflow is worst at ends of ranges; all combinations of the ends of eight variables are this many."""


def ask(subject: Subject) -> Iterator[Finding]:
    """Ranges of the graph that runs, stable rewrites included, over what is met in practice."""
    view = View(subject.compiled.graph, subject.view.columns)
    box: dict[Node, Span] = {}
    for key, item in subject.compiled.graph.items.items():
        part = next(p for p in subject.parts if key in (p.name, f"{p.name}/{p.role}"))
        scalar = view.unstopped(view.scalar(item, view.generic(part)))
        box |= _practical(view, scalar)
        calculus = Calculus(box)
        wide = [n for n in topological_scalar(scalar) if n.op == "apply" and n.data not in COMPARE and not _fits(calculus.span(n))]
        if wide:
            yield _outside(part.name, scalar, wide, box)
            return
    reason = f"at the default and search values every intermediate fits float32 for sums of log-probabilities down to -{LARGEST_SUM}"
    yield Finding(NO_OVERFLOW.name, PROVED, reason)


def _outside(part: str, scalar: Node, wide: list[Node], box: Mapping[Node, Span]) -> Finding:
    """Of intermediates that may leave float32: a point where one does, or that none was found."""
    for point in _corners(box, variables(scalar)):
        for node in wide:
            value = sure_value(node, point)
            if value is not None and abs(value) >= int(FLOAT32):
                witness = named(point)
                at = ", ".join(f"{name} = {entry}" for name, entry in witness.items())
                reason = f"{shown(node)} is {number(value)}, past float32, at {at}"
                return Finding(NO_OVERFLOW.name, REFUTED, reason, scope=part, witness=witness | {"value": number(value)})
    reason = f"{shown(wide[0])} may leave float32, and no point was found where it does"
    return Finding(NO_OVERFLOW.name, UNDECIDED, reason, scope=part)


def _practical(view: View, scalar: Node) -> dict[Node, Span]:
    """The box of inputs and parameters met in practice."""
    box: dict[Node, Span] = {}
    for v in variables(scalar):
        span = view.box.get(v, REALS)
        limit = _limit(view, v, span)
        box[v] = span.within(limit) or limit
    return box


def _limit(view: View, variable: Node, span: Span) -> Span:
    if variable.op == "parameter":
        tried = view.first[variable]
        return Span(min(tried), max(tried))
    if variable.data == "length":
        return Span(Fraction(1), Fraction(LONGEST))
    if span.nonpositive:
        return Span(Fraction(-LARGEST_SUM), -SMALLEST)
    return Span(Fraction(-LARGEST_SUM), Fraction(LARGEST_SUM))


def _fits(span: Span) -> bool:
    return span.low > -FLOAT32 and span.high < FLOAT32


def _corners(box: Mapping[Node, Span], names: list[Node]) -> Iterator[dict[Node, Fraction]]:
    ends = [[Fraction(box[v].low), Fraction(box[v].high)] for v in names]
    for combination in islice(product(*ends), CORNERS):
        yield {v: _inside(box[v], end) for v, end in zip(names, combination, strict=True)}


def _inside(span: Span, end: Fraction) -> Fraction:
    """The end of a range, or a number inside where it is open there."""
    if end in span:
        return end
    return end / 2 or Fraction(-1, 10**6)


CHECK = Check(NO_OVERFLOW, ask)
