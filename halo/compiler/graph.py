"""LossGraph: what an objective computes, as a small graph of typed nodes. Immutable, torch-free, printable.

Every node knows its axes, a subset of `AXES` in that order: `example` (one per row of the batch), `list` (the
completions of a ranked example), `other` (the second completion of a pair taken from a list) and `token`. A node without
axes is one number for the batch. Levels never drop without a `reduce` node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from halo.errors import Place
from halo.objective.feedback import Feedback
from halo.objective.schema import Parameter
from halo.objective.vocabulary import FULL_VOCABULARY, INPUTS

AXES = ("example", "list", "other", "token")
Op = Literal[
    "number", "parameter", "tensor", "statistic", "input", "mask", "weight", "examples",
    "apply", "reduce", "order", "view", "select", "stop",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Nodes are interned by `Builder`, so equal nodes are the same object.

    data    number: its Fraction; parameter, tensor (a parameter that is one), statistic, input, mask: its name; apply: the
            function; reduce: the way (`total`, `mean`, ...); order: `rank` or `sort`; select: `best` or `worst`.
    slot    input, mask: whose tensor; apply: the word it is written as, where that is another. For a node with a token axis
            `tokens` names the completion the tokens are of.
    over    reduce: the axes taken away; order: the axis along which elements are compared, which stays. `batch` marks
            what the objective writes over the batch (it couples examples), unlike the final reduction, which is linear.
    """

    op: Op
    args: tuple[Node, ...] = ()
    data: Any = None
    slot: str = ""
    axes: tuple[str, ...] = ()
    tokens: tuple[str, str] | None = None
    over: tuple[str, ...] = ()
    batch: bool = False

    @property
    def plain(self) -> bool:
        """Whether this is a Python number at run time: built from numbers, parameters and the size of the vocabulary only."""
        given = self.op in ("number", "parameter") or (self.op == "input" and not self.axes and not self.slot)
        return given or (self.op == "apply" and all(a.plain for a in self.args))


class Builder:
    """Makes nodes, one object for each distinct one."""

    def __init__(self) -> None:
        self._known: dict[Any, Node] = {}

    def make(self, **fields: Any) -> Node:
        node = Node(**fields)
        key = (node.op, tuple(map(id, node.args)), node.data, node.slot, node.axes, node.over, node.batch)
        return self._known.setdefault(key, node)

    def number(self, value: Fraction | int, slot: str = "") -> Node:
        """A literal. `slot` names an omitted factor of 1, whose unit is unknown."""
        return self.make(op="number", data=Fraction(value), slot=slot)

    def apply(self, function: str, *args: Node) -> Node:
        """An element-wise function; axes are the union of its arguments'."""
        axes = tuple(axis for axis in AXES if any(axis in a.axes for a in args))
        tokens = next((a.tokens for a in args if a.tokens), None)
        return self.make(op="apply", args=args, data=function, axes=axes, tokens=tokens)

    def reduce(self, way: str, value: Node, mask: Node | None, over: Iterable[str], batch: bool = False) -> Node:
        """Takes the axes `over` away from `value` (broadcast against `mask`)."""
        args = _arguments(value, mask)
        present = tuple(axis for axis in AXES if any(axis in a.axes for a in args))
        gone = tuple(axis for axis in present if axis in set(over))
        kept = tuple(axis for axis in present if axis not in gone)
        if not gone and way in ("total", "mean", "any"):  # each is alone already (torch reads no dimensions as all of them)
            if mask is None:
                return value
            return self.apply("only", mask, value)
        tokens = None if "token" in gone else value.tokens
        return self.make(op="reduce", args=args, data=way, axes=kept, tokens=tokens, over=gone, batch=batch)

    def order(self, way: str, value: Node, mask: Node | None, over: str) -> Node:
        """Where each element stands along an axis (`rank`), or the elements themselves in order (`sort`)."""
        return self.make(op="order", args=_arguments(value, mask), data=way, axes=value.axes, over=(over,), batch=over == "example")

    def view(self, value: Node) -> Node:
        """The same numbers with the list axis called `other`: what `rejected.x` is in a ranked list."""
        if "list" not in value.axes:
            return value
        axes = tuple("other" if axis == "list" else axis for axis in value.axes)
        tokens = value.tokens and (value.tokens[0], "other")
        return self.make(op="view", args=(value,), axes=axes, tokens=tokens)

    def select(self, which: str, value: Node) -> Node:
        """The value of the best or worst completion of each list."""
        if "list" not in value.axes:
            return value
        axes = tuple(axis for axis in value.axes if axis != "list")
        tokens = value.tokens and (value.tokens[0], "")
        return self.make(op="select", args=(value,), data=which, axes=axes, tokens=tokens)


def _arguments(value: Node, mask: Node | None) -> tuple[Node, ...]:
    if mask is None:
        return (value,)
    return (value, mask)


@dataclass(frozen=True)
class Origin:
    """Which key of the file a node comes from, and where."""

    key: str
    text: str
    place: Place


@dataclass(frozen=True)
class Part:
    """The items of one role in one term or regularizer, taken apart as the file declares them; for the checks.

    A term's item is `weight * sign * value + constant` with `z = normalizer * reward - reference_point - margin` inside
    `value`; a regularizer's is `weight * value`, and it has no z. `item` is the whole, 0 outside `mask`. `path` leads to
    `value` in the file.
    """

    name: str
    role: str
    path: tuple[str | int, ...]
    item: Node
    mask: Node | None
    value: Node
    weight: Node
    sign: int = 1
    z: Node | None = None
    reward: Node | None = None
    normalizer: Node | None = None
    reference_point: Node | None = None
    margin: Node | None = None
    constant: Node | None = None

    @property
    def regularizer(self) -> bool:
        """Whether this is a regularizer, not a term of the equation."""
        return self.z is None


@dataclass(frozen=True)
class Statistic:
    """A running number. `observed` is what one batch shows (its mean or std); `decay` is what an ema keeps of the past, a
    number or the name of a parameter, or None where everything seen counts; `start` is its value before that."""

    observed: Node
    decay: Fraction | str | None
    start: Fraction


@dataclass(frozen=True)
class Needs:
    """What must be supplied to compute the loss.

    slots       the completions whose log-probs are read; `gradient` those the loss has a gradient in; `coupled` those
                that a quantity over the batch depends on, so that they must be known before anything goes backward
    reference_slots  the completions whose reference log-probs are read; `moving`: the reference must follow the policy
    vocab_size  whether the size of the model's vocabulary is read
    columns     the columns of the example; `own_columns` by slot those of its completions and tokens (`score` too)
    vocabulary  by slot the words that sum over the full vocabulary
    """

    slots: tuple[str, ...]
    gradient: tuple[str, ...]
    coupled: tuple[str, ...]
    reference_slots: tuple[str, ...]
    moving: bool
    sampler: bool
    scores: bool
    vocab_size: bool
    columns: tuple[str, ...]
    control: dict[str, str]
    own_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    vocabulary: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reference(self) -> bool:
        """Whether a reference model is needed."""
        return bool(self.reference_slots) or any(INPUTS[word].reference for word in self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """The full-vocabulary words that are read of any slot, in the vocabulary's order."""
        return tuple(word for word in FULL_VOCABULARY if any(word in words for words in self.vocabulary.values()))

    @property
    def policy_words(self) -> tuple[str, ...]:
        """Those of `words` that the policy's head computes."""
        return tuple(word for word in self.words if INPUTS[word].policy)

    @property
    def divergences(self) -> tuple[str, ...]:
        """Those of `words` that compare policy and reference, token by token of the vocabulary: both must be there at once."""
        return tuple(word for word in self.policy_words if INPUTS[word].reference)

    @property
    def measured(self) -> tuple[str, ...]:
        """The completions that are scored without a gradient."""
        return tuple(slot for slot in self.slots if slot not in self.gradient)


@dataclass(frozen=True)
class LossGraph:
    """The whole objective, lowered. Output names follow the metrics: terms and regularizers by name, rewards by role.

    `parts` and `factors` (each implied reward's normalizer and reward key) are as declared, in every stage.
    """

    name: str
    feedback: Feedback
    parameters: dict[str, Parameter]
    loss: Node
    terms: dict[str, Node]
    items: dict[str, Node]
    rewards: dict[str, Node]
    reference_points: dict[str, Node]
    parts: tuple[Part, ...] = field(repr=False)
    factors: dict[Node, tuple[Node, Node]] = field(repr=False)
    labels: dict[Node, str] = field(repr=False)
    origins: dict[Node, Origin] = field(repr=False)
    needs: Needs
    statistics: dict[str, Statistic] = field(default_factory=dict)

    def outputs(self) -> list[Node]:
        """Every node that the loss function returns."""
        groups = (self.terms, self.items, self.rewards, self.reference_points)
        return [self.loss, *(node for group in groups for node in group.values())]

    def everything(self) -> list[Node]:
        """What the statistics observe, in the order of their updates, and every output."""
        return [*(statistic.observed for statistic in self.statistics.values()), *self.outputs()]


def topological(outputs: Iterable[Node]) -> list[Node]:
    """Every node that the outputs need, arguments before users."""
    order: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in order:
            for argument in node.args:
                visit(argument)
            order[node] = None

    for output in outputs:
        visit(output)
    return list(order)


def policy_slots(node: Node, through_stop: bool = True) -> set[str]:
    """The slots whose policy quantities reach `node`; without `through_stop`, only those with a gradient."""
    found: set[str] = set()
    seen: set[Node] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if current in seen or (current.op == "stop" and not through_stop):
            continue
        seen.add(current)
        if current.op == "input" and current.data in INPUTS and INPUTS[current.data].policy:
            found.add(current.slot)
        stack.extend(current.args)
    return found


def coupled_slots(loss: Node) -> set[str]:
    """The slots that must be known over the whole batch before the gradient of any one example is.

    What a detached batch quantity reads; and everything, where one has a gradient: its slope sums over all examples.
    """
    attached = [node for node in _outside_stop(loss) if node.batch and policy_slots(node, through_stop=False)]
    if attached:
        return policy_slots(loss)
    return {slot for node in topological([loss]) if node.batch for slot in policy_slots(node)}


def _outside_stop(output: Node) -> list[Node]:
    found: dict[Node, None] = {}
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in found and node.op != "stop":
            found[node] = None
            stack.extend(node.args)
    return list(found)
