"""Whether the loss has a value for every declared parameter value and every reachable input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from mpmath import mp

from halo.analysis.curvature import Calculus
from halo.analysis.defined import is_defined
from halo.analysis.ends.poles import pole
from halo.analysis.identity import named, shown
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import COUNTED, points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.values import nowhere, values
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.infinite import NoValue, with_nobody
from halo.checks.scalars.inside import SIZES
from halo.checks.scalars.made_of import MadeOf
from halo.checks.scalars.occurring import can_occur
from halo.checks.scalars.outlines import outlines
from halo.checks.scalars.view import View
from halo.checks.scalars.whole_batch import WholeBatch
from halo.checks.subject import Subject
from halo.compiler.exact import evaluate
from halo.compiler.graph import Node
from halo.objective.propositions import DOMAIN
from halo.objective.vocabulary import jumping

POINTS = 200
"""Tried for each doubtful place; a place without a value is most often found among the first few, which hold zeros and ends of ranges."""
MODERATE = 1e12
"""What floats see of 1 / 0, where 0 is a difference of numbers such as 1/10, is larger."""
IN_A_BATCH = 48
"""Tried for each small batch that is written out."""
POLES = 8
"""Values of the rest at which a pole is looked for."""


def ask(subject: Subject) -> Iterator[Finding]:
    """Ranges and algebra show that nothing is undefined, or a point that can occur shows that something is."""
    doubtful = list(_doubtful(subject))
    if not doubtful:
        yield Finding(DOMAIN.name, PROVED, "defined for every declared parameter value and every reachable input")
        return
    part, scalar, bad = doubtful[0]
    view = subject.view
    refuted = _at_a_point(view, part, scalar, bad) or _in_a_batch(view, part) or _beside_a_pole(view, part, scalar, bad)
    yield refuted or Finding(DOMAIN.name, UNDECIDED, f"{shown(bad)} is not shown to have a value everywhere", scope=part)


def _doubtful(subject: Subject) -> Iterator[tuple[str, Node, Node]]:
    """A part, a scalar of it, and what in that may have no value."""
    view = subject.view
    for name, scalar in _scalars(subject):
        calculus = Calculus(view.box)
        if not calculus.shape(scalar).defined:
            yield from ((name, scalar, bad) for bad in calculus.undefined if not _is_defined(view, bad))
        nobody = {v for v in variables(scalar) if v.data == "logsumexp" and v in view.maybe_empty}
        if nobody and not _stands_nobody(view, scalar, nobody):
            yield name, scalar, next(iter(nobody))


def _scalars(subject: Subject) -> Iterator[tuple[str, Node]]:
    """The items, what is made of them over the examples, and what statistics are of; and what is reduced inside each."""
    view, graph = subject.view, subject.compiled.declared
    pending = [(part.name, view.whole(part)) for part in subject.parts]
    pending += [(part.name, view.scalar(graph.terms[part.name], view.generic(part))) for part in subject.parts]
    for name, statistic in graph.statistics.items():
        pending += [(name, view.scalar(statistic.observed.args[0], view.generic(part))) for part in subject.parts]
    seen: set[Node] = set()
    while pending:
        name, scalar = pending.pop(0)
        scalar = view.unstopped(scalar)
        if scalar not in seen:
            seen.add(scalar)
            yield name, scalar
            pending += [(name, inner) for v in variables(scalar) if v.op == "reduce" for inner in v.args]


def _stands_nobody(view: View, scalar: Node, nobody: set[Node]) -> bool:
    """Whether the scalar has a value where there is nobody to take the logsumexp of."""
    try:
        rest = with_nobody(view.s, scalar, nobody)
    except NoValue:
        return False
    return Calculus(view.box).shape(rest).defined


# -- proofs -----------------------------------------------------------------------------------------------------------------


def _is_defined(view: View, node: Node) -> bool:
    """Whether a quotient's denominator is never 0, or a logarithm's argument positive, for what its reductions are made of."""
    made_of = MadeOf(view)
    return any(is_defined(view.s, form, box) for form, box in made_of.rewritten(node))


# -- refutations ------------------------------------------------------------------------------------------------------------


def _at_a_point(view: View, part: str, scalar: Node, bad: Node) -> Finding | None:
    """Numbers that can occur together, and where the scalar surely has no value."""
    for point in points(view.box, variables(scalar), POINTS, view.first):
        if can_occur(point, view.box) and _has_none(scalar, point):
            witness = named(point)
            at = ", ".join(f"{name} = {value}" for name, value in witness.items())
            return Finding(DOMAIN.name, REFUTED, f"{shown(bad)} has no value at {at}", scope=part, witness=witness)
    return None


def _in_a_batch(view: View, part: str) -> Finding | None:
    """A whole batch that surely has no loss."""
    for size in SIZES:
        for outline in outlines(view.graph, size):
            batch = WholeBatch(view, outline)
            point = _without_a_loss(batch)
            if point is not None:
                reason = f"a batch of {size} has no loss, with the numbers of the witness"
                return Finding(DOMAIN.name, REFUTED, reason, scope=part, witness=batch.told(point))
    return None


def _without_a_loss(batch: WholeBatch) -> Mapping[Node, Fraction] | None:
    """Numbers of the batch with which it has no loss: none that is finite, where nobody is reduced to -inf."""
    graph, first = batch.graph, batch.view.first
    try:
        loss = batch.view.unstopped(batch.loss)
    except NoValue:
        (point,) = points(batch.box, list(batch.box), 1, first)
        value = evaluate([graph.loss], batch.numbers(point), batch.shared(point))[graph.loss]
        return None if mp.isfinite(value) else point
    return next((point for point in points(batch.box, variables(loss), IN_A_BATCH, first) if _has_none(loss, point)), None)


def _beside_a_pole(view: View, part: str, scalar: Node, bad: Node) -> Finding | None:
    """A denominator that passes through 0 as one input moves has no value there, though no number that is tried hits the place."""
    jumps = any(inner.op == "apply" and jumping(inner.data) for inner in topological_scalar(scalar))
    if jumps or any(v.op == "reduce" for v in variables(scalar)):
        return None
    for v in (v for v in variables(bad) if v.op == "input" and v.data not in COUNTED):
        span = view.box.get(v, REALS)
        for point in points(view.box, [other for other in variables(bad) if other is not v], POLES, view.first):
            found = pole(view.s, bad, v, Span(span.low, span.high, True, True), point)
            if found is not None:
                low, high = found.place
                witness = {**named(point), "moved": shown(v), "from": low, "to": high}
                reason = f"{shown(bad)} has a pole where {shown(v)} is between {low} and {high}"
                return Finding(DOMAIN.name, REFUTED, reason, scope=part, witness=witness)
    return None


def _has_none(node: Node, point: Mapping[Node, Fraction]) -> bool:
    """Whether floats see no moderate value, and enclosures say that there is none."""
    rough = values([node], point, DOUBLES)[node]
    return not abs(rough) < MODERATE and nowhere(node, point)


CHECK = Check(DOMAIN, ask)
