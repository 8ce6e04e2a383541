"""The slope of a loss in the log-probability of a completion: whose, by which way, and with which sign."""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.curvature import Calculus
from halo.analysis.scalar import Scalars, inner_variables, variables
from halo.analysis.sign import sign_of
from halo.checks.scalars.inputs import is_log_probability, is_moved_word
from halo.checks.subject import Subject
from halo.compiler.graph import LossGraph, Node, Part
from halo.objective.vocabulary import LIST_POPULATIONS

RISING_MEANS = {"mean", "largest", "smallest", "total", "logsumexp", "batch mean", "batch largest", "batch total", "batch sort"}


def roles(subject: Subject) -> list[tuple[str, str, list[Part]]]:
    """Each role with a direction: its name, the slot it has in scalars, and the parts that it meets."""
    parts = list(subject.parts)
    others = ["prompt", *subject.compiled.objective.declaration.roles]
    if "mismatched" in subject.compiled.declared.needs.gradient:
        others.append("mismatched")
    extra = [(role, role, parts) for role in others]
    kind = subject.feedback
    if kind.is_list:
        found = list(_list_roles(parts))
    elif kind.labels:
        found = [(label, kind.roles[label], sorted(parts, key=lambda p: p.role != label)) for label in subject.labels]
    else:
        found = [(role, role, parts) for role in kind.completions]
    return [entry for entry in [*found, *extra] if any(_reaches(subject, part, entry[1]) for part in entry[2])]


def _list_roles(parts: list[Part]) -> Iterator[tuple[str, str, list[Part]]]:
    pairs = [part for part in parts if part.role == "chosen"]
    if all(part.role in ("chosen", "best", "worst") for part in parts):
        yield "best", "chosen", [*pairs, *(part for part in parts if part.role == "best")]
        yield "worst", "rejected", [*pairs, *(part for part in parts if part.role == "worst")]
    else:
        yield "completion", "completion", [part for part in parts if part.role in ("completion", "chosen")]


def slot_of(part: Part, slot: str) -> str:
    """In a list, the best completion is `chosen` in a pair and `best` in a part of its own."""
    if part.role in ("best", "worst") and slot in ("chosen", "rejected"):
        return part.role
    return slot


def _reaches(subject: Subject, part: Part, slot: str) -> bool:
    slot = slot_of(part, slot)
    return any(is_policy_of(v, slot) or (v.slot == slot and is_moved_word(v)) for v in inner_variables(subject.view.whole(part)))


def is_policy_of(variable: Node, slot: str) -> bool:
    """Whether it is a log-probability of the completion in this slot."""
    return is_log_probability(variable) and variable.slot == slot


def pulls(subject: Subject, part: Part, slot: str, label: str = "") -> list[Node]:
    """The ways a token's log-probability moves the part's item, each as a scalar over z and the inputs.

    The direct ones are added up into one scalar; what goes through a list or the batch stands apart, so that all of them
    must have the same sign. With z free this is a superset of what inputs can reach.
    """
    s, slot = subject.view.s, slot_of(part, slot)
    foreign = label in ("desirable", "undesirable") and part.role not in (label, "completion")  # only through the batch
    direct, apart = s.number(0), list[Node]()
    for leaf, through in _leaves(subject, part):
        if leaf.op == "input" and is_policy_of(leaf, slot) and not foreign:
            moved = through if leaf.axes else _of_all_items(subject, part, through)
            if moved is None:
                apart.append(through)
            else:
                direct = s.call("add", direct, moved)
        elif leaf.op == "reduce" and part.z is not None and subject.z_of(part) in inner_variables(leaf):
            apart += [through, s.call("neg", through)]  # z itself, of the whole batch: of either sign, only 0 would do
        elif leaf.op == "reduce" and _meets(leaf, slot) and (not foreign or leaf.batch):
            inner = _token_slope(subject, leaf, slot)
            moved = _of_all_items(subject, part, through)
            way = through if inner is None else s.call("mul", _of_another_token(s, through), inner)
            if inner is not None and moved is not None and leaf.slot == slot and leaf.data in ("total", "mean"):
                direct = s.call("add", direct, s.call("mul", moved, inner))
            elif inner is not None and leaf.data in RISING_MEANS:
                apart.append(way)
            else:
                apart += [way, s.call("neg", way)]  # of unknown sign: only 0 would do
    return [direct, *apart]


def _leaves(subject: Subject, part: Part) -> Iterator[tuple[Node, Node]]:
    """What a gradient reaches of the part's item, also through z, with d item by it."""
    s, view = subject.view.s, subject.view
    item = view.item(part)
    if part.z is None:
        for leaf in reached_by_gradient(item):
            yield leaf, s.derivative(item, leaf)
        return
    argument = view.argument(part)
    outer = s.derivative(item, subject.z_of(part))
    for leaf in dict.fromkeys([*reached_by_gradient(item), *reached_by_gradient(argument)]):
        yield leaf, s.call("add", s.call("mul", outer, s.derivative(argument, leaf)), s.derivative(item, leaf))


def reached_by_gradient(node: Node) -> list[Node]:
    """The variables that a gradient reaches: none below `stop`."""
    found: dict[Node, None] = {}

    def visit(current: Node) -> None:
        if current.op == "stop":
            return
        if current.op in ("input", "parameter", "reduce"):
            found[current] = None
            return
        for argument in current.args:
            visit(argument)

    visit(node)
    return list(found)


def _meets(leaf: Node, slot: str) -> bool:
    """Whether a token of the slot is in the reduction; a list word ranges over every completion of the list."""
    whole_list = leaf.slot in LIST_POPULATIONS
    return any(is_policy_of(v, slot) or (whole_list and is_log_probability(v)) for v in inner_variables(leaf))


def _of_all_items(subject: Subject, part: Part, through: Node) -> Node | None:
    """What an item's slope in a sum over tokens comes to: every token of a completion may have an item, and all of them hold the sum.

    None where the slope holds z, which differs from item to item.
    """
    if "token" not in part.item.axes:
        return through
    if part.z is not None and subject.z_of(part) in inner_variables(through):
        return None
    assert part.item.tokens is not None
    return subject.view.over_tokens("total", through, part.item.tokens[0])


def _of_another_token(s: Scalars, node: Node) -> Node:
    """The scalar of a token that need not be the one whose log-prob is raised."""
    tokens = [v for v in variables(node) if "token" in v.axes]
    return s.substitute(node, {v: s.make(op="reduce", args=(v,), data="another", slot=v.slot, axes=v.axes) for v in tokens})


def _token_slope(subject: Subject, leaf: Node, slot: str) -> Node | None:
    """d of a reduction by a token of the slot (over a list or the batch up to a positive factor), or None if that is not one scalar."""
    s, inner = subject.view.s, leaf.args[0]
    if leaf.slot in LIST_POPULATIONS:
        slot = "other"
        if any(is_log_probability(v) and v.slot != slot for v in inner_variables(leaf)):
            return None  # the completion at hand is inside as well, and may pull the other way
    reached = [v for v in reached_by_gradient(inner) if v.op == "input" and is_policy_of(v, slot)]
    nested = [v for v in reached_by_gradient(inner) if v.op == "reduce" and any(is_policy_of(w, slot) for w in inner_variables(v))]
    if nested or not reached:
        return None
    if "token" not in inner.axes:
        return s.derivative(inner, reached[0])
    slope = s.number(0)
    for v in reached:
        own = s.derivative(inner, v)
        slope = s.call("add", slope, own if v.axes else subject.view.over_tokens("total", own, leaf.slot))
    if leaf.data == "mean":
        return s.call("div", slope, subject.view.length(leaf.slot))
    return slope


def outer_sign(graph: LossGraph, subject: Subject, part: Part) -> int | None:
    """The sign of d loss / d item: +1 through sums and means, else by the functions in between."""
    sign = 1
    node = graph.loss
    while node is not part.item:
        below = [a for a in node.args if _leads(a, part.item)]
        if len(below) != 1:
            return None
        (following,) = below
        if node.op == "apply" and node.data not in ("add", "only"):
            slope = _local_slope(subject, node, following)
            if slope is None:
                return None
            sign *= slope
        elif node.op == "stop":
            return 0
        elif node.op == "reduce" and node.data not in ("total", "mean"):
            return None
        node = following
    return sign


def _leads(node: Node, item: Node) -> bool:
    """Whether the item's values (not only their number) go into the node."""
    if node.op == "reduce" and node.data in ("count", "any"):
        return False
    return node is item or any(_leads(a, item) for a in node.args)


def _local_slope(subject: Subject, node: Node, following: Node) -> int | None:
    if node.data == "div" and following is node.args[0]:
        return 1  # by a count
    s = subject.view.s
    letters = [s.variable(f"argument {i}") for i in range(len(node.args))]
    box = {
        letter: Calculus(subject.view.box).span(subject.view.unstopped(subject.view.scalar(a)))
        for letter, a in zip(letters, node.args, strict=True)
    }
    slope = s.derivative(s.apply(node.data, *letters), letters[node.args.index(following)])
    return sign_of(slope, box)
