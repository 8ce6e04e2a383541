"""What the checks see of an objective: the items of one example as scalars over a box of reachable inputs.

    v(z)       each part's value with z as a free variable
    item       each part's item over sums of log-probabilities, lengths, columns and parameters of the roles
    loss       the loss of a batch of one example (of a list: two completions, `best` and `worst`)

A sum over tokens of a linear form is the form of the sums; a mean is that over the length. Any other reduction over
tokens, the list or the batch, a rank and a sort stay as opaque variables whose definition is kept in their arguments. So
does a running statistic, anywhere in the range of what it is of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from halo.analysis.curvature import Calculus
from halo.analysis.ranges import REALS
from halo.analysis.scalar import topological_scalar
from halo.checks.scalars.inputs import ANYONE, MEMBERS, Free, Where
from halo.checks.scalars.reductions import Reductions
from halo.compiler.graph import Node, Part, topological


@dataclass
class View(Reductions):
    """The scalars of one graph, and what the checks ask of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.with_free_z: dict[tuple[Node, Where], View] = {}

    def scalar(self, node: Node, where: Where = ANYONE) -> Node:
        """The node as a scalar; its token quantities keep the axis `token` (any one token)."""
        if self.free is not None and node is self.free.node and where == self.free.where:
            return self.free.variable
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
                if inner.op == "number":
                    return inner
                return self.s.make(op="stop", args=(inner,), axes=inner.axes)
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

    def _applied(self, node: Node, where: Where) -> Node:
        if node.data == "only":
            mask, value = node.args
            if not self._holds(mask, where):
                return self.s.number(0)
            return self.scalar(value, where)
        if node.data == "at_least_one":
            inner = self.scalar(node.args[0], where)
            if Calculus(self.box).span(inner).low >= 1:
                return inner
            return self.s.call("max", self.s.number(1), inner)
        if node.data == "where" and node.args[0].op == "mask":
            mask, then, otherwise = node.args
            return self.scalar(then if self._holds(mask, where) else otherwise, where)
        if node in self.shifts:
            return self._shifted(node, where)
        arguments = [self.scalar(a, where) for a in node.args]
        if node.data == "div":
            return self._quotient(*arguments)
        if node.data == "abs":
            return self._size(*arguments)
        return self.s.call(node.data, *arguments)

    def _size(self, inner: Node) -> Node:
        """|x|; of what has a sign, that or its negative, which stays linear in tokens."""
        span = Calculus(self.box).span(self.unstopped(inner))
        if span.nonnegative:
            return inner
        if span.nonpositive:
            return self.s.call("neg", inner)
        return self.s.call("abs", inner)

    def _shifted(self, reward: Node, where: Where) -> Node:
        """normalizer * (score + c): what log Z(x) does to an implied reward."""
        normalizer, score = (self.scalar(n, where) for n in self.graph.factors[reward])
        constant = self.declare(self.s.variable("c"), REALS)
        if self.shifts[reward] < 0:
            slot = next(n.slot for n in topological_scalar(score) if n.op in ("input", "reduce") and n.slot)
            constant = self.s.call("div", constant, self.length(slot))
        moved = self.s.call("add", score, constant)
        if any(n.op == "order" for n in topological([self.graph.factors[reward][1]])):  # c of each prompt comes before the sort
            moved = self._opaque("shifted batch sort", moved, "")
        return self.s.call("mul", normalizer, moved)

    def same_reduction(self, reduction: Node, inner: Node) -> Node:
        """The reduction, over tokens or the batch, of another quantity."""
        if reduction.batch:
            return self._opaque(reduction.data, inner, reduction.slot)
        return self.over_tokens(reduction.data, inner, reduction.slot)

    # -- what the checks ask for -------------------------------------------------------------------------------------

    def value(self, part: Part) -> Node:
        """v(z) with z free (a regularizer's expression has no z)."""
        return self._item_of(part, part.value)

    def item(self, part: Part) -> Node:
        """weight * sign * value + constant, with z free."""
        return self._item_of(part, part.item)

    def _item_of(self, part: Part, node: Node) -> Node:
        if part.z is None:
            return self.scalar(node, self.generic(part))
        return self._with_free_z(part.z, self.generic(part)).scalar(node, self.generic(part))

    def _with_free_z(self, z: Node, where: Where) -> View:
        """This view with z as a variable of its own."""
        if (z, where) not in self.with_free_z:
            variable = self.z
            if "token" in z.axes:
                variable = self.token_z
            self.with_free_z[z, where] = self.variant(free=Free(z, where, variable, self.scalar(z, where)))
        return self.with_free_z[z, where]

    def generic(self, part: Part) -> Where:
        """Whose quantities a part's item is made of: the generic pair of a list, or the label's example."""
        if self.is_list and part.role == "chosen":
            return Where(part.role, "rejected")
        if self.is_list:
            return Where(part.role, "other")
        if part.role in ("desirable", "undesirable"):
            return Where(label=part.role)
        return Where()

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
        return self.variant(alone=True).scalar(self.graph.loss, self.alone_where(label))

    def alone_where(self, label: str = "") -> Where:
        """The example of a batch of one."""
        if not self.is_list:
            return Where(label=label)
        members = MEMBERS["best"]
        return Where(members[0], members[-1], members)
