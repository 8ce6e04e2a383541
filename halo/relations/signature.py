"""What an objective teaches, as scalars that two objectives can be compared by.

A loss over a batch is a sum of ratios: the sum over examples of one scalar, over the sum over examples of a count (1 for a mean
over examples, the length for a mean over tokens). Two objectives teach the same if scalars over the same count are the same. What is
written over the batch or a list stays opaque there; `alone` is the loss of a batch of one example, in which nothing is opaque but
sums over tokens of what is not linear in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from typing import Literal

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, Span
from halo.analysis.scalar import is_number
from halo.checks.scalars.inputs import ANYONE, MEMBERS, Where
from halo.checks.scalars.view import View
from halo.compiler.graph import Node, Statistic, policy_slots, topological
from halo.compiler.graph_text import text
from halo.compiler.pipeline import CompiledObjective
from halo.objective.feedback import Feedback
from halo.objective.schema import Column, Interval
from halo.relations.rewriting import Incomparable, Unreadable, masks_in, moved, rewritten
from halo.relations.rows import Rows

Reading = Literal["own", "lists of two", "pairs"]
"""How examples are read: as declared; a list as its best and worst completion; labelled answers as the two of a pair."""
Key = tuple[tuple[Node, ...], tuple[str, ...]]
"""The counts that a sum over examples is divided by (one for each label; none: a plain sum), and the steps through a list."""

REFERENCES = ("uniform-sequence", "uniform-token")
MARK = "~"
"""What the parameters of the second objective carry, so that each has its own `beta`."""
EARLIER = "earlier "
"""What is before the slot of a quantity that a running statistic has seen."""
PAIR = {"desirable": "chosen", "undesirable": "rejected", "best": "chosen", "worst": "rejected"}


@dataclass(frozen=True)
class Side:
    """One objective of a comparison: `pins` fix parameters; `reference` replaces the declared reference by a uniform one."""

    compiled: CompiledObjective
    pins: Mapping[str, Fraction] = field(default_factory=dict)
    reference: str = ""

    @property
    def name(self) -> str:
        """How the comparison calls it: `cdpo`, `dpo@uniform-token,beta=1`."""
        more = [*filter(None, [self.reference]), *(f"{name}={value}" for name, value in self.pins.items())]
        return "@".join(filter(None, [self.compiled.objective.name, ",".join(more)]))

    @property
    def feedback(self) -> Feedback:
        """What an example is."""
        return self.compiled.declared.feedback

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns that it reads, by their names."""
        return self.compiled.objective.declaration.columns


@dataclass
class SideView(View):
    """A view whose parameters carry a mark, so that two objectives have each their own `beta`.

    spans  of each column of the objective what both sides take; `names`: what the other side calls it, where it differs

    A running statistic is what it is of, how and from where it runs, whatever it is called; beside a batch of one example it is what
    it is after one step on another one.
    """

    mark: str = ""
    pins: Mapping[str, Fraction] = field(default_factory=dict)
    reference: str = ""
    spans: Mapping[str, Span] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def parameter(self, name: str) -> Node:
        """A number if it is pinned."""
        if name in self.pins:
            return self.s.number(self.pins[name])
        declared = self.graph.parameters[name]
        node = self.declare(self.s.make(op="parameter", data=name + self.mark), Span.of(Interval.parse(declared.domain)))
        self.first[node] = [Fraction(str(declared.default))]
        return node

    def _scalar(self, node: Node, where: Where) -> Node:
        if node.op != "statistic":
            return super()._scalar(node, where)
        running = self.graph.statistics[node.data]
        if self.alone:
            return self._stopped(self._after_one(running, where))
        return self._stopped(self._running(running))

    def _stopped(self, node: Node) -> Node:
        if node.op == "number":
            return node
        return self.s.make(op="stop", args=(node,))

    def _decay(self, running: Statistic) -> Node:
        """What it keeps of the past at each step; of everything seen that is no number, and 0 stands there."""
        if isinstance(running.decay, str):
            return self.parameter(running.decay)
        return self.s.number(running.decay or 0)

    def _after_one(self, running: Statistic, where: Where) -> Node:
        """After one step, whose batch was one other example, before which nothing was seen; of one that it observes, if any is so."""
        start = self.s.number(running.start)
        spots = [replace(where, label=label) for label in self.graph.feedback.labels or ("",)]
        seen = [spot for spot in spots if all(self._holds(mask, spot) for mask in running.observed.args[1:])]
        if not seen:
            return start
        observed = self._earlier(self.scalar(running.observed, seen[0]))
        if running.decay is None:
            return observed
        decay = self._decay(running)
        past, now = self.s.call("mul", decay, start), self.s.call("mul", self.s.call("sub", self.s.number(1), decay), observed)
        return self.s.call("add", past, now)

    def _earlier(self, node: Node) -> Node:
        """The quantities of another example than the one at hand."""
        inputs = [n for n in topological([node]) if n.op == "input" and not n.slot.startswith(EARLIER)]
        return rewritten(self, node, {n: self.declare(self.s.variable(n.data, f"{EARLIER}{n.slot}", n.axes), self.box[n]) for n in inputs})

    def _running(self, running: Statistic) -> Node:
        """Opaque: what it is of (by label), what it keeps, where it starts."""
        value, *masks = running.observed.args
        inner = [self._stopped(self.scalar(value, replace(ANYONE, label=label))) for label in self.graph.feedback.labels or ("",)]
        span = NONNEGATIVE
        if running.observed.data == "mean":
            ranges = Calculus(self.box)
            span = reduce(Span.joined, (ranges.span(self.unstopped(node)) for node in inner))
        way = f"running {running.observed.data} of {'all' if running.decay is None else 'the last steps'}"
        arguments = (*inner, self._decay(running), self.s.number(running.start))
        node = self.s.make(op="reduce", args=arguments, data=way, slot=_population(masks), batch=True)
        return self.declare(node, span.joined(Span.point(running.start)))

    def _input(self, node: Node, where: Where) -> Node:
        if node.data in self.spans:
            name = self.names.get(node.data, node.data)
            token = tuple(axis for axis in node.axes if axis == "token")
            return self.declare(self.s.variable(name, self._slot(node, where), token), self.spans[node.data])
        if node.data != "ref_logp" or not self.reference:
            return super()._input(node, where)
        if self.reference == "uniform-token":
            size = self.declare(self.s.make(op="parameter", data="log V"), POSITIVE)
            self.first[size] = [Fraction(10)]
            return self.s.call("neg", size)
        constant = self.declare(self.s.variable("c"), NEGATIVE)
        return self.s.call("div", constant, self.length(self._slot(node, where)))  # only its sum over tokens is meant

    def _over_batch(self, node: Node, where: Where) -> Node:
        """Of a quantity over the batch it matters whose it is: its mask goes into the name, and what it is for each label inside."""
        if self.alone or self.shifts:
            return super()._over_batch(node, where)
        value, *masks = node.args
        labels = self.graph.feedback.labels or ("",)
        each = [self._opaque(f"batch {node.data}", self.scalar(value, replace(where, label=label)), _population(masks)) for label in labels]
        if len(set(each)) == 1:
            return each[0]
        both = self.s.make(op="reduce", args=tuple(one.args[0] for one in each), data=each[0].data, slot=each[0].slot, batch=True)
        return self.declare(both, reduce(Span.joined, (self.box[one] for one in each)))


def _population(masks: Sequence[Node]) -> str:
    """Which items something over the batch takes, as text."""
    return "; ".join(text(mask, {}) for mask in masks)


@dataclass
class Signal:
    """One objective as scalars, over variables that it shares with the other (`view.s`, `view.box`).

    parts   by key, for each label the sum over the tokens and items of one example
    alone   for each label the loss of one example
    free    the parameters that may be chosen, by name
    """

    side: Side
    view: SideView
    parts: dict[Key, tuple[Node, ...]]
    alone: tuple[Node, ...]

    @property
    def free(self) -> dict[str, Node]:
        """The parameters that are not pinned."""
        names = [name for name in self.view.graph.parameters if name not in self.side.pins]
        return {name: self.view.parameter(name) for name in names}


def signal(side: Side, reading: Reading, rows: Rows, beside: View | None = None, mark: str = "") -> Signal:
    """Reads one side, over the variables of `beside`, with the columns of the left called as the left calls them. Raises Unreadable."""
    names: Mapping[str, str] = rows.names
    if beside is None:
        names = {}
    columns = {name: rows.domains[names.get(name, name)] for name in side.columns}
    view = SideView(side.compiled.declared, mark=mark, pins=side.pins, reference=side.reference, spans=columns, names=names)
    if beside is not None:
        view.beside(beside)
    reader = _Reader(view, reading)
    parts, alone = reader.parts(), reader.alone()
    if side.reference == "uniform-sequence" and any(_inside_tokens(node) for nodes in parts.values() for node in nodes):
        raise Unreadable("a reference uniform over sequences has no log-probability of single tokens, which the loss reads")
    return Signal(side, view, parts, alone)


def _inside_tokens(node: Node) -> bool:
    return any(v.op == "reduce" and any(n.data == "c" for n in topological(v.args)) for v in topological([node]))


@dataclass
class _Reader:
    view: SideView
    reading: Reading

    def __post_init__(self) -> None:
        if self.view.is_list and self.reading == "lists of two":
            self.spots = [Where("best", "worst", MEMBERS["best"])]
        elif self.view.is_list:
            self.spots = [Where("chosen", "rejected")]
        elif self.view.graph.feedback.labels:
            self.spots = [Where(label=label) for label in self.view.graph.feedback.labels]
        else:
            self.spots = [Where()]

    # -- whole losses ----------------------------------------------------------------------------------------------------

    def alone(self) -> tuple[Node, ...]:
        """The loss of one example, for each label."""
        if self.reading == "pairs":
            return (self._sum_of_ratios(),)
        view = self.view.variant(alone=True)
        if not self.view.is_list:
            return tuple(view.scalar(self.view.graph.loss, spot) for spot in self.spots)
        ends = view.scalar(self.view.graph.loss, Where("best", "worst", MEMBERS["best"]))
        return (self._renamed(ends, PAIR),)

    def _sum_of_ratios(self) -> Node:
        s, total = self.view.s, self.view.s.number(0)
        for (counts, _), nodes in self.parts().items():
            summand = nodes[0]
            if counts:
                summand = s.call("div", summand, counts[0])
            total = s.call("add", total, summand)
        return total

    def parts(self) -> dict[Key, tuple[Node, ...]]:
        """The loss as sums over examples, by what they are divided by."""
        found: dict[Key, tuple[Node, ...]] = {}
        for key, nodes in self._outside(self.view.graph.loss):
            if self.reading == "pairs":
                key, nodes = self._as_pair(key, nodes)
            elif self.reading == "lists of two":
                key = (tuple(self._renamed(count, PAIR) for count in key[0]), key[1])
                nodes = tuple(self._renamed(node, PAIR) for node in nodes)
            key, nodes = self._normal(key, nodes)
            if key in found:
                nodes = tuple(self.view.s.call("add", a, b) for a, b in zip(found[key], nodes, strict=True))
            found[key] = nodes
        return found

    def _normal(self, key: Key, nodes: tuple[Node, ...]) -> tuple[Key, tuple[Node, ...]]:
        """Equal numeric counts are a mean over examples, whose count is 1."""
        counts, path = key
        if counts and all(is_number(c) and c.data == counts[0].data and c.data > 0 for c in counts):
            nodes = tuple(self.view.s.call("div", node, counts[0]) for node in nodes)
            counts = (self.view.s.number(1),)
        return (counts, path), nodes

    def _as_pair(self, key: Key, nodes: tuple[Node, ...]) -> tuple[Key, tuple[Node, ...]]:
        """Labelled examples two by two: the desirable one is chosen, the undesirable one rejected."""
        if any(n.op == "reduce" and n.batch for node in nodes for n in topological([node])):
            raise Incomparable("what a batch of labelled examples shares does not split into pairs")
        s, (counts, path) = self.view.s, key
        slots = [{"completion": PAIR[label]} for label in self.view.graph.feedback.labels]
        whole = s.call("add", *(self._renamed(node, names) for names, node in zip(slots, nodes, strict=True)))
        if counts:
            counts = (s.call("add", *(self._renamed(node, names) for names, node in zip(slots, counts, strict=False))),)
        return (counts, path), (whole,)

    def _renamed(self, node: Node, slots: Mapping[str, str]) -> Node:
        return moved(self.view, node, slots)

    # -- the reduce chain ------------------------------------------------------------------------------------------------

    def _outside(self, node: Node) -> list[tuple[Key, tuple[Node, ...]]]:
        """Summands of a loss that still runs over the batch."""
        called = node.data if node.op == "apply" else node.op
        match called:
            case "add":
                return [entry for a in node.args for entry in self._outside(a)]
            case "div" if node.args[1].op == "examples":
                return self._summed(node.args[0], tuple(self.view.s.number(1) for _ in self.spots))
            case "div" if node.args[1].op == "apply" and node.args[1].data == "at_least_one":
                return self._summed(node.args[0], self._counts(node.args[1].args[0]))
            case "reduce" if not node.batch and node.data == "total":
                return self._summed(node, ())
            case "reduce" if not node.batch and node.data == "mean":
                count, total = (replace(node, data=way) for way in ("count", "total"))
                return self._summed(total, self._counts(count))
            case _:
                return [(((), ("whole",)), self._whole(node))]

    def _counts(self, node: Node) -> tuple[Node, ...]:
        if self.spots[0].list == "chosen" and not self.spots[0].members and self.view.is_list:
            over = {axis for n in topological([node]) if n.op == "reduce" for axis in n.over}
            if over & {"list", "other"}:  # how many items a batch of lists has, is no scalar: by its text
                return (self.view.s.variable(f"count[{','.join(sorted(over))}]({masks_in(node)})"),)
        view = self.view.variant(alone=True)
        return tuple(view.scalar(node, spot) for spot in self.spots)

    def _summed(self, node: Node, counts: tuple[Node, ...]) -> list[tuple[Key, tuple[Node, ...]]]:
        """The total over the batch (or a sum of totals) as scalars of one example."""
        if node.op == "apply" and node.data == "add":
            return [entry for a in node.args for entry in self._summed(a, counts)]
        if node.op != "reduce" or node.batch or node.data != "total" or "example" not in node.over:
            raise Unreadable("the loss is no sum over examples")
        generic = self.view.is_list and self.reading == "own"
        if not generic:
            return [((counts, ()), tuple(self.view.scalar(node, spot) for spot in self.spots))]
        steps = [axis for axis in node.over if axis != "example"]
        if not steps:
            return self._through_list(node.args[0], counts, ())
        return self._through_list(node.args[0], counts, (f"total[{', '.join(steps)}]{masks_in(node)}",))

    def _through_list(self, node: Node, counts: tuple[Node, ...], path: tuple[str, ...]) -> list[tuple[Key, tuple[Node, ...]]]:
        """Sums and means over a list of any length, down to the item of the generic completion or pair."""
        if node.op == "apply" and node.data == "add" and not path:
            return [entry for a in node.args for entry in self._through_list(a, counts, path)]
        if node.op == "reduce" and not node.batch and node.data in ("total", "mean") and {"list", "other"} & set(node.over):
            step = f"{node.data}[{', '.join(node.over)}]{masks_in(node)}"
            return self._through_list(node.args[0], counts, (*path, step))
        spot = Where("completion", "other")
        if "other" in node.axes or any("chosen" in step or "other" in step for step in path):  # of pairs
            spot = Where("chosen", "rejected")
        return [((counts, path), (self.view.scalar(node, spot),))]

    def _whole(self, node: Node) -> tuple[Node, ...]:
        for inner in topological([node]):
            if inner.op == "reduce" and not inner.batch and "example" in inner.over and policy_slots(inner):
                raise Unreadable("a function of a sum over the batch")
        return tuple(self.view.scalar(node, spot) for spot in self.spots)
