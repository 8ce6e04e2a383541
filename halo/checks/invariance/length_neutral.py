"""Whether the loss, at fixed log-probability per token, does not depend on how long a completion is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_free_of, named, nonzero_point, number
from halo.analysis.ranges import NEGATIVE, REALS, Span
from halo.analysis.scalar import variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.scalars.batch.inside import SIZES, batches, with_another_length, written
from halo.checks.scalars.batch_form import counts_tokens, crossings, form_of
from halo.checks.scalars.inputs import SUM_OF, SUMMED
from halo.checks.scalars.occurring import can_occur
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import LENGTH_NEUTRAL

SUMS = ("log π", "log ref", "log old")
FIXED = "at fixed mean log-probability the length of"


def ask(subject: Subject) -> Iterator[Finding]:
    """Of each label: sums become lengths times means, and the means are held fixed; in a batch of one, then in larger ones."""
    for label in subject.labels:
        yield _of_label(subject, label)


def _of_label(subject: Subject, label: str) -> Finding:
    scope, view = label or "loss", subject.view
    against = _Against(subject, view.unstopped(view.alone_loss(label)))
    refuted = against.refuted(scope)
    if refuted is None and against.neutral and _in_any_batch(subject, label):
        return Finding(LENGTH_NEUTRAL.name, PROVED, "at fixed mean log-probability the loss does not depend on any length", scope=scope)
    if refuted is None:
        refuted = _in_a_batch(subject, label, scope)
    if refuted is None:
        return Finding(LENGTH_NEUTRAL.name, UNDECIDED, "no proof that lengths do not matter, and no batch in which one does", scope=scope)
    return refuted


# -- one scalar -------------------------------------------------------------------------------------------------------------


class _Against:
    """A scalar over lengths and means per token: `lengths` says of each whether it is free of that one."""

    def __init__(self, subject: Subject, node: Node) -> None:
        self.subject, self.s = subject, subject.view.s
        self.node, self.box = _by_length(subject, node)
        lengths = [v for v in variables(self.node) if v.op == "input" and v.data == "length"]
        self.lengths = {length: is_free_of(self.s, self.node, length, self.box) for length in lengths}

    @property
    def neutral(self) -> bool:
        """Whether it is proved that no length matters, on the way through a reduction either."""
        return all(free is True for free in self.lengths.values()) and all(map(self._is_fixed, variables(self.node)))

    def _is_fixed(self, variable: Node) -> bool:
        """Whether a variable is the same for other lengths. What is reduced over the batch is asked of by itself."""
        if variable.op == "reduce" and not variable.batch:
            return _Against(self.subject, variable.args[0]).neutral
        return variable.op != "input" or variable.data not in ("position", SUMMED["position"])

    def refuted(self, scope: str) -> Finding | None:
        """A length that matters in a batch of one, where that can be told of this scalar."""
        for length, free in self.lengths.items():
            if free is not False:
                continue
            point = nonzero_point(self.s.derivative(self.node, length), self.box, off_kinks_of=self.node)
            if point is None or not can_occur(point[0], self.box):
                continue
            way, by = "lowers", number(point[1])
            if point[1] > 0:
                way = "raises"
            reason = f"{FIXED} {length.slot} matters: here it {way} the loss, {by} per token"
            return Finding(LENGTH_NEUTRAL.name, REFUTED, reason, scope=scope, witness=named(point[0]) | {"slope": by})
        return None


def _by_length(subject: Subject, node: Node) -> tuple[Node, dict[Node, Span]]:
    view, s = subject.view, subject.view.s
    box, swap = dict(view.box), dict[Node, Node]()
    for v in variables(node):
        if v.op == "input" and (v.data in SUMS or v.data.startswith(SUM_OF)):
            mean = s.variable(f"mean {v.data}", v.slot)
            box[mean] = view.box.get(v, REALS) if v.data.startswith(SUM_OF) else NEGATIVE
        elif v.op == "reduce" and v.data == "total" and v.slot and "token" in v.args[0].axes:
            mean = s.make(op="reduce", args=v.args, data="mean", slot=v.slot)
            box[mean] = Calculus(view.box).span(v.args[0])
        else:
            continue
        swap[v] = s.call("mul", view.length(v.slot), mean)
    return s.substitute(node, swap), box


# -- batches ------------------------------------------------------------------------------------------------------------------


def _in_any_batch(subject: Subject, label: str) -> bool:
    """Whether what holds of one example alone holds in any batch."""
    graph = subject.compiled.declared
    form = form_of(graph.loss)
    if form == "examples":
        return True
    if counts_tokens(graph.loss):
        return False
    where = subject.view.alone_where(label)
    if form == "items":  # each term by itself: its items weigh what their number says
        alone = subject.view.variant(alone=True)
        return all(_Against(subject, alone.unstopped(alone.scalar(term, where))).neutral for term in graph.terms.values())
    if subject.view.is_list:
        return False
    steps = crossings([graph.loss, *(statistic.observed for statistic in graph.statistics.values())])
    return all(_Against(subject, subject.view.unstopped(subject.view.scalar(step.args[0], where))).neutral for step in steps)


def _in_a_batch(subject: Subject, label: str, scope: str) -> Finding | None:
    """Two whole batches that differ in one length, and in their loss."""
    view = subject.view
    for batch in batches(
        view, sizes=(*SIZES, 3), label=label, flat=True
    ):  # what two have may cancel, as the odd function of a distance does
        for slot, other in with_another_length(batch.outlines):
            for longer in written(view, other, flat=True):
                losses = [view.unstopped(one.loss) for one in (batch, longer)]
                found = nonzero_point(view.s.call("sub", *losses), {**batch.box, **longer.box})
                if found is not None:
                    reason = f"{FIXED} {slot} matters: {_batch(len(batch.outlines))} it moves the loss by {number(-found[1])}"
                    witness = batch.told(found[0])
                    witness |= {f"{name} (second)": x for name, x in longer.told(found[0]).items() if witness[name] != x}
                    witness |= {f"{which} loss": _value(loss, found[0]) for which, loss in zip(("first", "second"), losses, strict=True)}
                    return Finding(LENGTH_NEUTRAL.name, REFUTED, reason, scope=scope, witness=witness)
    return None


def _value(loss: Node, point: Mapping[Node, Fraction]) -> str:
    value = sure_value(loss, point)
    assert value is not None  # their difference has one
    return number(value)


def _batch(examples: int) -> str:
    if examples == 1:
        return "here"
    return f"in a batch of {examples}"


CHECK = Check(LENGTH_NEUTRAL, ask)
