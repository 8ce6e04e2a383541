"""What the checks see of an objective: the items of one example as scalars over a box of reachable inputs.

    v(z)       each part's value with z as a free variable
    item       each part's item over sums of log-probabilities, lengths, columns and parameters of the roles
    loss       the loss of a batch of one example (of a list: two completions, `best` and `worst`)

A sum over tokens of a linear form is the form of the sums; a mean is that over the length. Any other reduction over
tokens, the list or the batch, a rank and a sort stay as opaque variables whose definition is kept in their arguments. So
does a running statistic, anywhere in the range of what it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import inf
from typing import Any

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import NEGATIVE, NONNEGATIVE, POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars, is_number, topological_scalar, variables
from halo.compiler.graph import LossGraph, Node, Part, topological
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


@dataclass
class View:
    """The scalars of one graph; `columns` are the declared ranges of its columns.

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

    def variant(self, **modes: Any) -> View:
        """The same graph read in another mode, over the same variables and box."""
        other = replace(self, **modes)
        other.s, other.box, other.first, other.z, other.veiled = self.s, self.box, self.first, self.z, self.veiled
        return other

    @property
    def is_list(self) -> bool:
        """Whether an example has a list of completions."""
        return self.graph.feedback in ("ranked", "scored")

    # -- scalars of graph nodes --------------------------------------------------------------------------------------

    def scalar(self, node: Node, where: Where = Where()) -> Node:
        """The node as a scalar; its token quantities keep the axis `token` (any one token)."""
        if (node, where) not in self.done:
            self.done[node, where] = self._scalar(node, where)
        return self.done[node, where]

    def _scalar(self, node: Node, where: Where) -> Node:
        match node.op:
            case "number":
                return self.s.number(node.data)
            case "parameter":
                return self.parameter(node.data)
            case "examples":
                return self.s.number(1)
            case "input":
                return self._input(node, where)
            case "stop":
                inner = self.scalar(node.args[0], where)
                return inner if inner.op == "number" else self.s.make(op="stop", args=(inner,), axes=inner.axes)
            case "view":
                return self.scalar(node.args[0], Where(where.other, where.other, where.members, where.label))
            case "select":
                return self.scalar(node.args[0], Where(node.data, where.other, where.members, where.label))
            case "reduce":
                return self._reduced(node, where)
            case "order":
                return self._ordered(node, where)
            case "statistic":
                return self._statistic(node.data)
            case "mask":
                return self.s.number(int(self._holds(node, where)))
            case _:
                return self._applied(node, where)

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
        if node.data == "score" and self.graph.feedback == "scored" and slot in ABOVE:
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
        return where.list if "list" in node.axes or (self.is_list and node.slot == "completion") else node.slot

    def _applied(self, node: Node, where: Where) -> Node:
        if node.data == "only":
            mask, value = node.args
            return self.scalar(value, where) if self._holds(mask, where) else self.s.number(0)
        if node.data == "at_least_one":
            inner = self.scalar(node.args[0], where)
            return inner if Calculus(self.box).span(inner).low >= 1 else self.s.call("max", self.s.number(1), inner)
        if node.data == "where" and node.args[0].op == "mask":
            return self.scalar(node.args[1 if self._holds(node.args[0], where) else 2], where)
        if node in self.shifts:
            return self._shifted(node, where)
        arguments = [self.scalar(a, where) for a in node.args]
        return self._quotient(*arguments) if node.data == "div" else self.s.call(node.data, *arguments)

    def _shifted(self, reward: Node, where: Where) -> Node:
        """normalizer * (score + c): what log Z(x) does to an implied reward."""
        normalizer, score = (self.scalar(n, where) for n in self.graph.factors[reward])
        constant = self.s.variable("c")
        self.box[constant] = REALS
        if self.shifts[reward] < 0:
            slot = next(n.slot for n in topological_scalar(score) if n.op in ("input", "reduce") and n.slot)
            constant = self.s.call("div", constant, self.length(slot))
        moved = self.s.call("add", score, constant)
        if any(n.op == "order" for n in topological([self.graph.factors[reward][1]])):  # c of each prompt comes before the sort
            moved = self._opaque("shifted batch sort", moved, "")
        return self.s.call("mul", normalizer, moved)

    def _holds(self, mask: Node, where: Where) -> bool:
        """Whether the item at hand exists: its label fits, and of an instantiated list, its place does."""
        if mask.op == "apply":
            return all(self._holds(a, where) for a in mask.args)
        if mask.op in ("view", "select", "reduce"):
            return self._holds(mask.args[0], where)
        if mask.data in ("desirable", "undesirable"):
            return where.label in ("", mask.data)
        if where.members and mask.data in _POPULATION:
            return _POPULATION[mask.data](where.members.index(where.list), where.members.index(where.other))
        return True

    # -- reductions ------------------------------------------------------------------------------------------------------

    def _reduced(self, node: Node, where: Where) -> Node:
        if node.over == ("token",):
            return self._over_tokens(node.data, self.scalar(node.args[0], where), self._owner(node, where))
        if where.members and {"list", "other"} & set(node.over):
            return self._over_members(node, where)
        if {"list", "other"} & set(node.over):
            return self._over_list(node, where)
        if node.batch:
            return self._over_batch(node, where)
        return self._over_example(node, where)

    def _over_list(self, node: Node, where: Where) -> Node:
        inner, population = self.scalar(node.args[0], where), node.args[1].data if len(node.args) > 1 else ""
        if self.graph.feedback == "scored" and population in ("worse", "better"):
            own, other = (self.s.variable("score", slot) for slot in (where.list, where.other))
            below = self._lower(own, where.other)
            inner = self.s.substitute(inner, {other: below if population == "worse" else self.s.call("add", own, self.s.call("sub", own, below))})
        slope = self._common_slope(inner)
        if slope is None:
            return self._opaque(node.data, inner, population)
        still = self.variant(shifts={}).scalar(node, where)
        if is_number(slope, 0) or node.data == "std":
            return still
        if node.data == "logsumexp" or (node.data in ("mean", "largest", "smallest") and population in NEVER_EMPTY):
            return self.s.call("add", still, self.s.call("mul", slope, self.s.variable("c")))
        return self._opaque(node.data, inner, population)

    def _common_slope(self, inner: Node) -> Node | None:
        """k, if log Z(x) = c adds k c to the quantity of every completion of the list; None if that is not so, or not asked."""
        if not self.shifts:
            return None
        c, plain = self.s.variable("c"), self.unstopped(inner)
        slope = self.s.derivative(plain, c)
        hidden = any(c in topological([v]) for v in variables(plain) if v.op == "reduce")
        own = any(v is c or v is self.z or v.slot or v.op == "reduce" for v in variables(slope))
        return None if hidden or own else slope

    def _ordered(self, node: Node, where: Where) -> Node:
        """A place among the others: a variable. Of two it is written out, and a sort in a batch of one is its number."""
        inner = self.scalar(node.args[0], where)
        if node.data == "sort":
            return inner if self.alone else self._opaque("batch sort", inner, "")
        if self._common_slope(inner) is not None:
            return self.variant(shifts={}).scalar(node, where)
        if where.members:
            return self._rank_of_two(node, where)
        rank = self._opaque(f"rank of {where.list}", inner, "all")
        self.box[rank] = Span(Fraction(1), inf)
        return rank

    def _rank_of_two(self, node: Node, where: Where) -> Node:
        """1 or 2. Which of equal ones is the earlier is a coin that nobody knows the fall of; that of the other falls opposite."""
        first, second = (self.scalar(node.args[0], self._moved(where, "list", member)) for member in where.members)
        zero, one, two, coin = (*(self.s.number(n) for n in (0, 1, 2)), self.s.variable("order of equal ones"))
        self.box[coin] = REALS

        def chosen(word: str, left: Node, then: Node, otherwise: Node) -> Node:
            return self.s.call("where", self.s.apply(word, left, zero), then, otherwise)

        gap = self.s.call("sub", first, second)
        rank = chosen("gt", gap, one, chosen("lt", gap, two, chosen("gt", coin, one, two)))
        return rank if where.list == where.members[0] else self.s.call("sub", self.s.number(3), rank)

    def _owner(self, node: Node, where: Where) -> str:
        slot, axis = node.args[0].tokens or ("", "")
        if axis == "other":
            return where.other
        return where.list if self.is_list and slot == "completion" else slot

    def _over_tokens(self, way: str, inner: Node, slot: str) -> Node:
        length = self.length(slot)
        if way == "count":
            return length
        linear = self.linear(inner)
        if linear is None or way not in ("total", "mean"):
            return self._opaque(way, inner, slot)
        total = self.s.number(0)
        for variable, factor in linear.items():
            summed = self._sum_of(variable) if variable is not None else length
            total = self.s.call("add", total, self.s.call("mul", factor, summed))
        return self._quotient(total, length) if way == "mean" else total

    def _quotient(self, a: Node, b: Node) -> Node:
        """a / b; of a product with b, where b is never 0, what is left of it, so that its range stays known."""
        span = Calculus(self.box).span(b)
        rest = self._without(a, b) if span.positive or span.negative else None
        return self.s.call("div", a, b) if rest is None else rest

    def _without(self, a: Node, factor: Node) -> Node | None:
        """A product less one factor, or None if it has none such."""
        if a is factor:
            return self.s.number(1)
        for i, inner in enumerate(a.args if a.op == "apply" and a.data == "mul" else ()):
            rest = self._without(inner, factor)
            if rest is not None:
                return self.s.call("mul", a.args[1 - i], rest)
        return None

    def length(self, slot: str) -> Node:
        """The number of scored tokens of a completion."""
        node = self.s.variable("length", slot)
        self.box[node] = LENGTHS
        return node

    def _sum_of(self, token: Node) -> Node:
        """A free variable; of what lies between two ends, the length times a mean between them."""
        span = self.box[token]
        if inf not in (-span.low, span.high):
            mean = self.s.variable(f"mean of {token.data}", token.slot)
            self.box[mean] = span
            return self.s.call("mul", self.length(token.slot), mean)
        node = self.s.variable(SUMMED.get(token.data, f"{SUM_OF}{token.data}"), token.slot)
        self.box[node] = span if span.nonpositive or span.nonnegative else REALS
        return node

    def linear(self, node: Node) -> dict[Node | None, Node] | None:
        """The node as a linear form in token variables (key None: the constant), or None if it is not one."""
        if "token" not in node.axes:
            return {None: node}
        if node.op == "input":
            return {node: self.s.number(1)}
        if node.op != "apply":
            return None
        forms = [self.linear(a) for a in node.args]
        if any(form is None for form in forms):
            return None
        parts = [form for form in forms if form is not None]
        match node.data:
            case "add" | "sub":
                right = parts[1] if node.data == "add" else {k: self.s.call("neg", v) for k, v in parts[1].items()}
                return {k: self._plus(parts[0].get(k), right.get(k)) for k in {**parts[0], **right}}
            case "neg":
                return {k: self.s.call("neg", v) for k, v in parts[0].items()}
            case "mul" if any("token" not in a.axes for a in node.args):
                constant = next(i for i, a in enumerate(node.args) if "token" not in a.axes)
                return {k: self.s.call("mul", node.args[constant], v) for k, v in parts[1 - constant].items()}
            case "div" if "token" not in node.args[1].axes:
                return {k: self.s.call("div", v, node.args[1]) for k, v in parts[0].items()}
            case _:
                return None

    def _plus(self, a: Node | None, b: Node | None) -> Node:
        return self.s.call("add", a or self.s.number(0), b or self.s.number(0))

    def _over_members(self, node: Node, where: Where) -> Node:
        """A list or pair reduction over two completions, written out."""
        value, mask = node.args[0], node.args[1] if len(node.args) > 1 else None
        spots = [where]
        for axis in ("list", "other"):
            if axis in node.over:
                spots = [self._moved(spot, axis, member) for spot in spots for member in where.members]
        kept = [spot for spot in spots if mask is None or self._holds(mask, spot)]
        kept = [spot for spot in kept if not _is_masked(value) or self._holds(value.args[0], spot)] or []
        items = [self.scalar(value, spot) for spot in kept]
        rest = tuple(axis for axis in node.over if axis not in ("list", "other"))
        if "token" in rest:
            items = [self._over_tokens("total", item, spot.list) for item, spot in zip(items, kept, strict=True)]
        return self._combined(node.data, items, [self.length(spot.list) for spot in kept] if "token" in rest else [])

    def _moved(self, spot: Where, axis: str, member: str) -> Where:
        if axis == "list":
            return Where(member, spot.other, spot.members, spot.label)
        return Where(spot.list, member, spot.members, spot.label)

    def _combined(self, way: str, items: list[Node], lengths: list[Node]) -> Node:
        if way == "count":
            return self._added(lengths) if lengths else self.s.number(len(items))
        if not items:
            return self.s.number(0)
        if way in ("total", "mean"):
            count = self._added(lengths) if lengths else self.s.number(len(items))
            total = self._added(items)
            return total if way == "total" else self.s.call("div", total, count)
        if way in ("largest", "smallest"):
            return items[0] if len(items) == 1 else self.s.call("max" if way == "largest" else "min", *items)
        if way == "logsumexp":
            return self.s.call("log", self._added([self.s.call("exp", item) for item in items])) if len(items) > 1 else items[0]
        if way == "std":
            if len(items) < 2:
                return self.s.number(0)
            gap = self.s.call("abs", self.s.call("sub", *items[:2]))
            return self.s.call("div", gap, self.s.call("sqrt", self.s.number(2)))
        return self.s.number(1)

    def _added(self, items: list[Node]) -> Node:
        total = items[0]
        for item in items[1:]:
            total = self.s.call("add", total, item)
        return total

    def _over_batch(self, node: Node, where: Where) -> Node:
        """A reduction over the batch: opaque among several examples, the value itself in a batch of one."""
        if self.shifts:  # the other examples have constants of their own: here 0
            return self.variant(shifts={}).scalar(node, where)
        inner = self.scalar(node.args[0], where)
        if self.alone:
            if len(node.args) > 1 and not self._holds(node.args[1], where):
                return self.s.number(0)
            return self.s.number(0) if node.data == "std" else inner
        return self._opaque(f"batch {node.data}", inner, "")

    def _over_example(self, node: Node, where: Where) -> Node:
        """The last reductions in a batch of one example."""
        inner = self.scalar(node.args[0], where)
        exists = len(node.args) < 2 or self._holds(node.args[1], where)
        exists = exists and (not _is_masked(node.args[0]) or self._holds(node.args[0].args[0], where))
        if "token" in node.over and node.args[0].tokens:
            slot = self._owner(node, where)
            if node.data == "count":
                return self.length(slot) if exists else self.s.number(0)
            return self._over_tokens(node.data, inner, slot) if exists else self.s.number(0)
        if node.data in ("count", "any"):
            return self.s.number(int(exists))
        return inner if exists else self.s.number(0)

    def _opaque(self, way: str, inner: Node, slot: str) -> Node:
        had_z = any(v in self.inlined for v in variables(inner))
        inner = self.s.substitute(inner, self.inlined) if had_z else inner
        node = self.s.make(op="reduce", args=(inner,), data=way, slot=slot, batch=way.startswith("batch"))
        if had_z:
            self.veiled.add(node)
        image = _image(way, Calculus(self.box).span(self.unstopped(inner)))
        self.box[node] = image.joined(Span.point(0)) if slot in MAYBE_EMPTY and way in ("total", "mean", "largest", "smallest") else image
        return node

    # -- what the checks ask for -------------------------------------------------------------------------------------

    def unstopped(self, node: Node) -> Node:
        """The node as a value: `stop` does nothing to it."""
        stops = {n: n.args[0] for n in topological_scalar(node) if n.op == "stop"}
        while stops:
            node = self.s.substitute(node, stops)
            stops = {n: n.args[0] for n in topological_scalar(node) if n.op == "stop"}
        return node

    def value(self, part: Part) -> Node:
        """v(z) with z free (a regularizer's expression has no z)."""
        return self._item_of(part, part.value)

    def item(self, part: Part) -> Node:
        """weight * sign * value + constant, with z free."""
        return self._item_of(part, part.item)

    def _item_of(self, part: Part, node: Node) -> Node:
        if part.z is None:
            return self.scalar(node, self.generic(part))
        where = self.generic(part)
        argument = self.scalar(part.z, where)
        held = {key: value for key, value in self.done.items() if key[1] == where}
        for key in held:
            del self.done[key]
        free = self.z if "token" not in part.z.axes else self.token_z
        self.done[part.z, where], self.inlined = free, {free: argument}
        try:
            return self.scalar(node, where)
        finally:
            self.inlined = {}
            for key in [key for key in self.done if key[1] == where]:
                del self.done[key]
            self.done |= held

    def generic(self, part: Part) -> Where:
        """Whose quantities a part's item is made of: the generic pair of a list, or the label's example."""
        if self.is_list:
            return Where(part.role, "rejected" if part.role == "chosen" else "other")
        return Where(label=part.role if part.role in ("desirable", "undesirable") else "")

    @cached_property
    def token_z(self) -> Node:
        """z where it is one number for each token."""
        return self.s.variable("z", "", ("token",))

    def argument(self, part: Part) -> Node:
        """z of a part over the inputs."""
        assert part.z is not None
        return self.scalar(part.z, self.generic(part))

    def whole(self, part: Part) -> Node:
        """The whole item over the inputs."""
        return self.scalar(part.item, self.generic(part))

    def alone_loss(self, label: str = "") -> Node:
        """The loss of a batch of one example: with this label, or with a list of two completions."""
        view = self.variant(alone=True)
        members = MEMBERS["best"] if self.is_list else ()
        where = Where(members[0], members[-1], members) if members else Where(label=label)
        return view.scalar(self.graph.loss, where)


def _is_masked(node: Node) -> bool:
    return node.op == "apply" and node.data == "only"


_POPULATION: dict[str, Callable[[int, int], bool]] = {
    "pairs": lambda i, j: i < j,
    "all": lambda i, j: True,
    "others": lambda i, j: i != j,
    "better": lambda i, j: j < i,
    "worse": lambda i, j: j > i,
    "suffix": lambda i, j: j >= i,
}  # fmt: skip
"""Which completions a word means, seen from the one at place i of the list, best first."""


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
