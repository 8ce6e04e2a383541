"""The variables of a view: what an input, a parameter or an opaque reduction is called, and in which range it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf
from typing import Any, Self

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.compiler.graph import LossGraph, Node
from halo.objective.schema import Interval

SUMMED = {"logp": "log π", "ref_logp": "log ref", "old_logp": "log old", "position": "positions"}
"""What the sum over tokens of an input is called."""
LENGTHS = Span(Fraction(1), inf)
VOCABULARIES = Span(Fraction(2), inf)
INPUT_SPANS = {"logp": NEGATIVE, "ref_logp": NEGATIVE, "old_logp": NEGATIVE, "length": LENGTHS, "position": LENGTHS,
               "entropy": POSITIVE, "ref_entropy": POSITIVE, "log_sum_sq_probs": NEGATIVE,
               "kl_ref_policy": NONNEGATIVE, "kl_policy_ref": NONNEGATIVE, "vocab_size": VOCABULARIES}  # fmt: skip
"""No probability is exactly 0 or 1, so that log-probs are < 0 and entropies > 0."""
ENTROPIES = ("entropy", "ref_entropy")
SHARES = Span(Fraction(0), Fraction(1), True)
SUM_OF = "sum of "
"""What begins the name of the sum over tokens of anything else."""
TIED = {"ref_logp": "logp", "old_logp": "logp", "ref_entropy": "entropy", "kl_ref_policy": "", "kl_policy_ref": ""}
"""What an input is where reference and sampler equal the policy; "" is 0."""
NEVER_EMPTY = ("all", "suffix")
"""Populations that the completion at hand belongs to; a mean of no others is 0 whatever is added to each."""
MAYBE_EMPTY = ("better", "worse")
"""Populations that may have no member: whatever is asked of them is 0 then."""
ABOVE = {"rejected": "chosen", "worst": "best"}
"""Of scored feedback, who has the higher score."""
MEMBERS = {"best": ("best", "worst"), "worst": ("best", "worst")}


@dataclass(frozen=True)
class Where:
    """Whose quantities the axes of a graph node are: the completion along `list` and along `other`.

    `members` are the completions of the list, if it is instantiated; `label` is the example's role in labelled feedback.
    """

    list: str = "completion"
    other: str = "rejected"
    members: tuple[str, ...] = ()
    label: str = ""


ANYONE = Where()


@dataclass
class Inputs:
    """Scalars over the inputs of one graph; `columns` are the declared ranges of its columns.

    alone   the batch has one example, so that a mean over it is its own value
    tied    reference and sampler equal the policy
    shifts  for each implied reward the power of the length by which `c`, a constant of the prompt, is added to its score
    """

    graph: LossGraph
    columns: dict[str, Interval] = field(default_factory=dict)
    alone: bool = False
    tied: bool = False
    shifts: Mapping[Node, Fraction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s = Scalars()
        self.box: dict[Node, Span] = {}
        self.done: dict[tuple[Node, Where], Node] = {}
        self.first: dict[Node, list[Fraction]] = {}
        self.z = self.s.variable("z")

        self.inlined: dict[Node, Node] = {}  # z, while it is free in an item, over the inputs
        self.veiled: set[Node] = set()  # opaque reductions with a z inside that was written out

    def variant(self, **modes: Any) -> Self:
        """The same graph read in another mode, over the same variables and box."""
        other = replace(self, **modes)
        other.s, other.box, other.first, other.z, other.veiled = self.s, self.box, self.first, self.z, self.veiled
        return other

    @property
    def is_list(self) -> bool:
        """Whether an example has a list of completions."""
        return self.graph.feedback.is_list

    def scalar(self, node: Node, where: Where = ANYONE) -> Node:
        """The node as a scalar; its token quantities keep the axis `token` (any one token)."""
        raise NotImplementedError

    def parameter(self, name: str) -> Node:
        """A parameter, with its domain in the box and its default and search values tried first."""
        node = self.s.make(op="parameter", data=name)
        declared = self.graph.parameters[name]
        self.box[node] = Span.of(Interval.parse(declared.domain))
        self.first[node] = [Fraction(str(value)) for value in (declared.default, *(declared.search or ()))]
        return node

    def _statistic(self, name: str) -> Node:
        """A running number, where it started if policy = reference: free within the range of what it is of."""
        statistic = self.graph.statistics[name]
        start = self.s.number(statistic.start)
        if self.tied:
            return start
        node = self.s.variable(name)
        if node not in self.box:
            inner = self.variant(shifts={}, alone=False).scalar(statistic.observed.args[0])
            span = NONNEGATIVE if statistic.observed.data == "std" else Calculus(self.box).span(self.unstopped(inner))
            self.box[node] = span.joined(Span.point(statistic.start))
        return node

    def _input(self, node: Node, where: Where) -> Node:
        slot = self._slot(node, where)
        token = ("token",) if "token" in node.axes else ()
        name = TIED.get(node.data, node.data) if self.tied else node.data
        if not name:
            return self.s.number(0)
        if node.data == "score" and self.graph.feedback.has_scores and slot in ABOVE:
            return self._lower(self.s.variable("score", ABOVE[slot]), slot)
        if node.data in ENTROPIES and self.graph.needs.vocab_size:
            return self._entropy(name, slot, token)
        variable = self.s.variable(name, slot, token)
        span = INPUT_SPANS.get(node.data) if node.data not in self.columns else Span.of(self.columns[node.data])
        self.box[variable] = span or REALS
        return variable

    def _lower(self, score: Node, slot: str) -> Node:
        """The score of a completion that ranks below the one with this score."""
        gap = self.s.variable("score gap", slot)
        self.box[score], self.box[gap] = REALS, POSITIVE
        return self.s.call("sub", score, gap)

    def _entropy(self, name: str, slot: str, token: tuple[str, ...]) -> Node:
        """Beside the size of the vocabulary an entropy has its ceiling, the logarithm of it."""
        size, share = self.s.variable("vocab_size"), self.s.variable(f"{name} / log(vocab_size)", slot, token)
        self.box[size], self.box[share] = VOCABULARIES, SHARES
        return self.s.call("mul", self.s.call("log", size), share)

    def _slot(self, node: Node, where: Where) -> str:
        if "other" in node.axes:
            return where.other
        return where.list if "list" in node.axes or self.graph.feedback.several(node.slot) else node.slot

    def length(self, slot: str) -> Node:
        """The number of scored tokens of a completion."""
        node = self.s.variable("length", slot)
        self.box[node] = LENGTHS
        return node

    def _opaque(self, way: str, inner: Node, slot: str) -> Node:
        had_z = any(v in self.inlined for v in variables(inner))
        inner = self.s.substitute(inner, self.inlined) if had_z else inner
        node = self.s.make(op="reduce", args=(inner,), data=way, slot=slot, batch=way.startswith("batch"))
        if had_z:
            self.veiled.add(node)
        image = _image(way, Calculus(self.box).span(self.unstopped(inner)))
        self.box[node] = image.joined(Span.point(0)) if slot in MAYBE_EMPTY and way in ("total", "mean", "largest", "smallest") else image
        return node

    def unstopped(self, node: Node) -> Node:
        """The node as a value: `stop` does nothing to it."""
        stops = {n: n.args[0] for n in topological_scalar(node) if n.op == "stop"}
        while stops:
            node = self.s.substitute(node, stops)
            stops = {n: n.args[0] for n in topological_scalar(node) if n.op == "stop"}
        return node


def _image(way: str, inner: Span) -> Span:
    """The range of a reduction of things in `inner`; at least one, except in a batch, where nothing gives 0."""
    name = way.removeprefix("batch ")
    if name in ("mean", "largest", "smallest", "sort"):
        return inner
    if name == "std":
        return NONNEGATIVE
    if name == "total":
        return POSITIVE if inner.positive else -POSITIVE if inner.negative else NONNEGATIVE if inner.nonnegative else -NONNEGATIVE if inner.nonpositive else REALS
    return REALS
