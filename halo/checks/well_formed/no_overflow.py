"""Whether no intermediate of the generated loss leaves float32, for sums of log-probabilities as they may be met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain, islice, product

from halo.analysis.curvature import Calculus
from halo.analysis.identity import named, number, shown
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.ranges import Span
from halo.analysis.scalar import COMPARE, topological_scalar, variables
from halo.analysis.values import sure_value, values
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.batch.inside import SIZES, batches
from halo.checks.scalars.made_of import LARGEST, SMALLEST, MadeOf
from halo.checks.scalars.occurring import can_occur
from halo.checks.scalars.practical import LARGEST_SUM, Practical
from halo.checks.scalars.view import View
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import NO_OVERFLOW

FLOAT32 = Fraction(2) ** 128
NOTHING = Fraction(2) ** -150
"""What is nearer to 0 is 0 in float32, subnormal numbers included."""
CORNERS = 256
"""Overflow is worst at ends of ranges; all combinations of the ends of eight variables are this many."""
BATCHES = 2
"""Of each size, whose intermediates are looked at where ranges alone do not tell."""


def ask(subject: Subject) -> Iterator[Finding]:
    """Ranges of the graph that runs, stable rewrites included, over what is met in practice: items, what they become, what is inside."""
    view = View(subject.compiled.graph, subject.view.columns)
    practical = Practical(view)
    for name, scalar in _scalars(subject, view):
        calculus = Calculus(practical.box(scalar))
        wide = [n for n in topological_scalar(scalar) if _may_leave(calculus, n) and not _stays(practical, n)]
        if wide:
            yield _outside(name, view, practical, scalar, wide)
            return
    reason = f"at the default and search values every intermediate fits float32 for sums of log-probabilities down to -{LARGEST_SUM}"
    yield Finding(NO_OVERFLOW.name, PROVED, reason)


def _scalars(subject: Subject, view: View) -> Iterator[tuple[str, Node]]:
    """The items of the graph that runs and what is made of them over the examples; and what is reduced inside each."""
    graph = subject.compiled.graph
    for key, item in graph.items.items():
        part = next(p for p in subject.parts if key in (p.name, f"{p.name}/{p.role}"))
        for node in (item, graph.terms[part.name]):
            yield from ((part.name, scalar) for scalar in _with_what_is_reduced(view, view.scalar(node, view.generic(part))))


def _with_what_is_reduced(view: View, scalar: Node) -> Iterator[Node]:
    """The scalars inside its reductions, then itself."""
    scalar = view.unstopped(scalar)
    for v in variables(scalar):
        if v.op == "reduce":
            yield from _with_what_is_reduced(view, v.args[0])
    yield scalar


def _may_leave(calculus: Calculus, node: Node) -> bool:
    """Whether a value may be past the largest float32, or infinite there since what it divides by or takes the logarithm of may be 0."""
    if node.op != "apply" or node.data in COMPARE:
        return False
    span = calculus.span(node)
    if span.low <= -FLOAT32 or span.high >= FLOAT32:
        return True
    small = _must_not_vanish(node)
    if small is None:
        return False
    inner = calculus.span(small)
    return inner.high > -NOTHING and inner.low < NOTHING


def _stays(practical: Practical, node: Node) -> bool:
    """Whether it fits once a largest of the batch or list is written as its own number and a gap."""
    for form, _ in MadeOf(practical.view).rewritten(node):
        gaps = [v for v in variables(form) if v.op == "reduce" and v not in practical.view.box]
        if gaps and {v.data for v in gaps} <= {LARGEST, SMALLEST} and not _may_leave(Calculus(practical.box(form)), form):
            return True
    return False


def _must_not_vanish(node: Node) -> Node | None:
    if node.data == "log":
        return node.args[0]
    if node.data == "div" and node.args[1].op == "apply":
        return node.args[1]
    return None


def _outside(part: str, view: View, practical: Practical, scalar: Node, wide: list[Node]) -> Finding:
    """Of intermediates that may leave float32: a point where one does, or that none was found."""
    box, names = practical.box(scalar), variables(scalar)
    known = [] if any(v.op == "reduce" for v in names) else _corners(box, names)  # the ends of what is reduced are not met together
    for point in known:
        for node in wide:
            told = _leaves(node, point)
            if told and can_occur(point, box):
                witness = named(point)
                at = ", ".join(f"{name} = {entry}" for name, entry in witness.items())
                return Finding(NO_OVERFLOW.name, REFUTED, f"{told}, at {at}", scope=part, witness=witness | _value(node, point))
    found = _in_a_batch(view, practical, part)
    if found is not None:
        return found
    reason = f"{shown(wide[0])} may leave float32, and no point was found where it does"
    return Finding(NO_OVERFLOW.name, UNDECIDED, reason, scope=part)


def _in_a_batch(view: View, practical: Practical, part: str) -> Finding | None:
    """A whole batch with an intermediate that surely leaves float32."""
    for batch in chain.from_iterable(islice(batches(view, sizes=(size,)), BATCHES) for size in SIZES):
        loss = view.unstopped(batch.loss)
        nodes = [n for n in topological_scalar(loss) if n.op == "apply" and n.data not in COMPARE]
        box = {v: practical.span(v, span) for v, span in batch.box.items()}
        for point in _corners(box, variables(loss)):
            rough = values([loss], point, DOUBLES)
            node = next((n for n in nodes if not abs(rough[n]) < FLOAT32 or _vanishes(n, rough)), None)
            told = "" if node is None else _leaves(node, point)
            if node is not None and told:
                reason = f"{told}, in a batch of {len(batch.outlines)} with the numbers of the witness"
                return Finding(NO_OVERFLOW.name, REFUTED, reason, scope=part, witness=batch.told(point) | _value(node, point))
    return None


def _vanishes(node: Node, rough: Mapping[Node, float]) -> bool:
    small = _must_not_vanish(node)
    return small is not None and abs(rough[small]) < NOTHING


def _leaves(node: Node, point: Mapping[Node, Fraction]) -> str:
    """How an intermediate surely leaves float32, in words; nothing where it does not."""
    value = sure_value(node, point)
    if value is not None and abs(value) >= int(FLOAT32):
        return f"{shown(node)} is {number(value)}, past float32"
    small = _must_not_vanish(node)
    inner = None if small is None else sure_value(small, point)
    if small is not None and inner is not None and value is not None and 0 < abs(inner) * 2**150 < 1:
        return f"{shown(small)} is {number(inner)}, which is 0 in float32, and {shown(node)} is not finite"
    return ""


def _value(node: Node, point: Mapping[Node, Fraction]) -> dict[str, str]:
    value = sure_value(node, point)
    assert value is not None  # it was told
    return {"value": number(value)}


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
