"""The variables of a view: what an input, a parameter or an opaque reduction is called, and in which range it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf
from types import MappingProxyType
from typing import Any, Self

from halo.analysis.curvature import Box, Calculus
from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.compiler.graph import LossGraph, Node
from halo.objective.schema import Interval
from halo.objective.vocabulary import INPUTS

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


MOVED = tuple(name for name, row in INPUTS.items() if row.policy and row.needs == "vocabulary")
"""Full-vocabulary words that theta moves, beside the log-probabilities."""


def is_log_probability(variable: Node) -> bool:
    """Whether it is a log-probability under the policy, of a token or summed over tokens."""
    return variable.op == "input" and variable.data in ("logp", SUMMED["logp"])


def is_moved_word(variable: Node) -> bool:
    """Whether it is a full-vocabulary word that theta moves, of a token or summed over tokens."""
    return variable.op == "input" and variable.data.removeprefix(SUM_OF) in MOVED


def is_policy(variable: Node) -> bool:
    """Whether theta moves it."""
    return is_log_probability(variable) or is_moved_word(variable)


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


@dataclass(frozen=True)
class Free:
    """`node`, read for `where`, is `variable`; over the inputs it is `meaning`."""

    node: Node
    where: Where
    variable: Node
    meaning: Node


@dataclass
class Inputs:
    """Scalars over the inputs of one graph; `columns` are the declared ranges of its columns.

    alone   the batch has one example, so that a mean over it is its own value
    tied    reference and sampler equal the policy
    shifts  for each implied reward the power of the length by which `c`, a constant of the prompt, is added to its score
    free    a node of the graph that is read as a variable of its own, for whom, and the variable: z in the items of a part
    """

    graph: LossGraph
    columns: dict[str, Interval] = field(default_factory=dict)
    alone: bool = False
    tied: bool = False
    shifts: Mapping[Node, Fraction] = field(default_factory=dict)
    free: Free | None = None

    def __post_init__(self) -> None:
        self.s = Scalars()
        self.ranges: dict[Node, Span] = {}
        self.done: dict[tuple[Node, Where], Node] = {}
        self.first: dict[Node, list[Fraction]] = {}
        self.z = self.s.variable("z")
        self.opaque: set[Node] = set()  # reductions with a z inside that was written out
        self.maybe_empty: set[Node] = set()  # reductions of examples or completions of which there may be none

    @property
    def box(self) -> Box:
        """The range of every variable read so far. It is not written to: who needs other ranges makes a box of its own from it."""
        return MappingProxyType(self.ranges)

    def declare(self, variable: Node, span: Span) -> Node:
        """The variable, whose range is now known. It is declared once: what is said of it again may only be the same, or wider."""
        known = self.ranges.get(variable)
        self.ranges[variable] = span if known is None else known.joined(span)
        return variable

    def variant(self, **modes: Any) -> Self:
        """The same graph read in another mode, over the same variables and ranges. What has been read is not carried over."""
        other = replace(self, **modes)
        other.beside(self)
        other.opaque, other.maybe_empty = self.opaque, self.maybe_empty
        return other

    def beside(self, other: Inputs) -> None:
        """Shares the variables of another reading, their ranges and the values that are tried first."""
        self.s, self.ranges, self.first, self.z = other.s, other.ranges, other.first, other.z

    @property
    def is_list(self) -> bool:
        """Whether an example has a list of completions."""
        return self.graph.feedback.is_list

    def scalar(self, node: Node, where: Where = ANYONE) -> Node:
        """The node as a scalar; its token quantities keep the axis `token` (any one token)."""
        raise NotImplementedError

    def parameter(self, name: str) -> Node:
        """A parameter, with its domain in the box and its default and search values tried first."""
        declared = self.graph.parameters[name]
        node = self.declare(self.s.make(op="parameter", data=name), Span.of(Interval.parse(declared.domain)))
        self.first[node] = [Fraction(str(value)) for value in (declared.default, *(declared.search or ()))]
        return node

    def _statistic(self, name: str) -> Node:
        """A running number: free within the range of what it is of. What it carries from other batches is not of this policy."""
        statistic = self.graph.statistics[name]
        node = self.s.variable(name)
        if node in self.ranges:
            return node
        span = NONNEGATIVE
        if statistic.observed.data != "std":
            inner = self.variant(shifts={}, alone=False, free=None).scalar(statistic.observed.args[0])
            span = Calculus(self.box).span(self.unstopped(inner))
        return self.declare(node, span.joined(Span.point(statistic.start)))

    def _input(self, node: Node, where: Where) -> Node:
        slot = self._slot(node, where)
        token = ("token",) if "token" in node.axes else ()
        name = TIED.get(node.data, node.data) if self.tied else node.data
        if not name:
            return self.s.number(0)
        if node.data == "score" and self.graph.feedback.has_scores and slot in ABOVE:
            return self._lower(self.s.variable("score", ABOVE[slot]), slot, ties=slot == "worst" and not where.members)
        if node.data in ENTROPIES and self.graph.needs.vocab_size:
            return self._entropy(name, slot, token)
        span = INPUT_SPANS.get(node.data, REALS)
        if node.data in self.columns:
            span = Span.of(self.columns[node.data])
        return self.declare(self.s.variable(name, slot, token), span)

    def _lower(self, score: Node, slot: str, ties: bool = False) -> Node:
        """The score of a completion that ranks below the one with this score; with `ties` they may be equal."""
        gap = self.declare(self.s.variable("score gap", slot), POSITIVE)
        if ties:  # all of the list may be as good
            gap = self.declare(self.s.variable("score gap or tie", slot), NONNEGATIVE)
        return self.s.call("sub", self.declare(score, REALS), gap)

    def _entropy(self, name: str, slot: str, token: tuple[str, ...]) -> Node:
        """Beside the size of the vocabulary an entropy has its ceiling, the logarithm of it."""
        size = self.declare(self.s.variable("vocab_size"), VOCABULARIES)
        share = self.declare(self.s.variable(f"{name} / log(vocab_size)", slot, token), SHARES)
        return self.s.call("mul", self.s.call("log", size), share)

    def _slot(self, node: Node, where: Where) -> str:
        if "other" in node.axes:
            return where.other
        return where.list if "list" in node.axes or self.graph.feedback.several(node.slot) else node.slot

    def length(self, slot: str) -> Node:
        """The number of scored tokens of a completion."""
        return self.declare(self.s.variable("length", slot), LENGTHS)

    def _opaque(self, way: str, inner: Node, slot: str, span: Span | None = None, maybe_empty: bool = False) -> Node:
        """A reduction as a variable, in `span` or in what follows from the range of what it reduces. A free z inside is written out.

        `maybe_empty`: there may be nothing to reduce, as where no example of a batch has the label. Then it is 0.
        """
        had_z = self.free is not None and self.free.variable in variables(inner)
        if self.free is not None and had_z:
            inner = self.s.substitute(inner, {self.free.variable: self.free.meaning})
        node = self.s.make(op="reduce", args=(inner,), data=way, slot=slot, batch=way.startswith("batch"))
        if had_z:
            self.opaque.add(node)
        if span is None:
            span = _image(way, Calculus(self.box).span(self.unstopped(inner)))
        if maybe_empty or slot in MAYBE_EMPTY:
            self.maybe_empty.add(node)
        if node in self.maybe_empty and way.removeprefix("batch ") in ("total", "mean", "largest", "smallest"):
            span = span.joined(Span.point(0))
        return self.declare(node, span)

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
        return next((side for side in (POSITIVE, NEGATIVE, NONNEGATIVE, -NONNEGATIVE) if inner.within(side) == inner), REALS)
    return REALS
