"""Which way the loss pulls each completion, and what of it is detached.

The pull on a role is d loss / d log-probability of any one of its tokens, for all data and all declared parameter values.
It is a sum over the ways in which a token reaches the loss; a direction is proved when each of them has the same sign.
"""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.curvature import Calculus
from halo.analysis.decide import (
    PROVED,
    REFUTED,
    UNDECIDED,
    is_free_of,
    jumps,
    named,
    nonzero_point,
    number,
    shown,
    sign_in_cases,
    sign_of,
)
from halo.analysis.evaluate import FloatMath, at_kink, points, sure_value, values
from halo.analysis.scalar import Scalars, topological_scalar, variables
from halo.checks.decomposition import is_moved_word
from halo.checks.subject import Finding, Subject
from halo.compiler.graph import LossGraph, Node, Part, topological
from halo.objective.vocabulary import LIST_POPULATIONS

RISING_MEANS = {"mean", "largest", "smallest", "total", "logsumexp", "batch mean", "batch largest", "batch total", "batch sort"}


def roles(subject: Subject) -> list[tuple[str, str, list[Part]]]:
    """Each role with a direction: its name, the slot it has in scalars, and the parts that it meets."""
    parts = list(subject.parts)
    others = ("prompt", *subject.compiled.objective.declaration.roles, *(r for r in subject.compiled.declared.needs.gradient if r == "mismatched"))
    extra = [(role, role, parts) for role in others]
    match subject.feedback:
        case "paired":
            found = [("chosen", "chosen", parts), ("rejected", "rejected", parts)]
        case "labelled":
            found = [(label, "completion", sorted(parts, key=lambda p: p.role != label)) for label in subject.labels]
        case "demonstrations":
            found = [("completion", "completion", parts)]
        case _:
            found = list(_list_roles(parts))
    return [entry for entry in [*found, *extra] if any(_reaches(subject, part, entry[1]) for part in entry[2])]


def _list_roles(parts: list[Part]) -> Iterator[tuple[str, str, list[Part]]]:
    pairs = [part for part in parts if part.role == "chosen"]
    if all(part.role in ("chosen", "best", "worst") for part in parts):
        yield "best", "chosen", [*pairs, *(part for part in parts if part.role == "best")]
        yield "worst", "rejected", [*pairs, *(part for part in parts if part.role == "worst")]
    else:
        yield "completion", "completion", [part for part in parts if part.role in ("completion", "chosen")]


def _slot(part: Part, slot: str) -> str:
    """In a list, the best completion is `chosen` in a pair and `best` in a part of its own."""
    return part.role if part.role in ("best", "worst") and slot in ("chosen", "rejected") else slot


def _reaches(subject: Subject, part: Part, slot: str) -> bool:
    slot = _slot(part, slot)
    return any(_policy(v, slot) or (v.slot == slot and is_moved_word(v)) for v in _everything(subject.view.whole(part)))


def _policy(variable: Node, slot: str) -> bool:
    return variable.op == "input" and variable.slot == slot and variable.data in ("log π", "logp")


def _everything(node: Node) -> list[Node]:
    """Variables, also those inside opaque reductions and detached quantities."""
    found = []
    for v in variables(node):
        found += [v, *_everything(v.args[0])] if v.op == "reduce" else [v]
    return found


# -- the pull ------------------------------------------------------------------------------------------------------------


def pulls(subject: Subject, part: Part, slot: str, label: str = "") -> list[Node]:
    """The ways a token's log-probability moves the part's item, each as a scalar over z and the inputs.

    The direct ones are added up into one scalar; what goes through a list or the batch stands apart, so that all of them
    must have the same sign. With z free this is a superset of what inputs can reach.
    """
    s, view, slot = subject.view.s, subject.view, _slot(part, slot)
    foreign = label in ("desirable", "undesirable") and part.role not in (label, "completion")  # only through the batch
    item = view.item(part)
    z = subject.z_of(part) if part.z is not None else None
    outer = s.derivative(item, z) if z is not None else None
    argument = view.argument(part) if part.z is not None else None
    direct, apart = s.number(0), []
    leaves = dict.fromkeys([*_attached(item), *(_attached(argument) if argument is not None else [])])
    for leaf in leaves:
        through = s.derivative(item, leaf)
        if argument is not None and outer is not None:
            through = s.call("add", s.call("mul", outer, s.derivative(argument, leaf)), through)
        if leaf.op == "input" and _policy(leaf, slot) and not foreign:
            direct = s.call("add", direct, through)
        elif leaf.op == "reduce" and z is not None and z in _everything(leaf):
            apart += [through, s.call("neg", through)]  # z itself, of the whole batch: of either sign, only 0 would do
        elif leaf.op == "reduce" and _meets(leaf, slot) and (not foreign or leaf.batch):
            inner = _token_slope(s, leaf, slot)
            if inner is not None and leaf.slot == slot and leaf.data in ("total", "mean"):
                direct = s.call("add", direct, s.call("mul", through, inner))
            else:
                apart.append(s.call("mul", through, inner) if inner is not None else through)
                if inner is None or leaf.data not in RISING_MEANS:
                    apart += [s.call("neg", apart[-1])]  # of unknown sign: only 0 would do
    return [direct, *apart]


def _attached(node: Node) -> list[Node]:
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
    return any(_policy(v, slot) or (whole_list and v.data in ("log π", "logp")) for v in _everything(leaf))


def _token_slope(s: Scalars, leaf: Node, slot: str) -> Node | None:
    """d of a reduction's inner quantity by a token of the slot (up to a positive factor), or None if that is not one scalar."""
    inner = leaf.args[0]
    if leaf.slot in LIST_POPULATIONS:
        slot = "other"
        if any(v.data in ("log π", "logp") and v.slot != slot for v in _everything(leaf)):
            return None  # the completion at hand is inside as well, and may pull the other way
    reached = [v for v in _attached(inner) if v.op == "input" and _policy(v, slot)]
    nested = [v for v in _attached(inner) if v.op == "reduce" and any(_policy(w, slot) for w in _everything(v))]
    if nested or len(reached) != 1:
        return None
    return s.derivative(inner, reached[0])


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


def direction(subject: Subject) -> Iterator[Finding]:
    """Each completion is pulled one way only: `up` where raising its log-probability never raises the loss."""
    for role, slot, parts in roles(subject):
        yield _direction(subject, role, slot, parts)


def _direction(subject: Subject, role: str, slot: str, parts: list[Part]) -> Finding:
    check, words = f"direction.{role}", _moved_words(subject, slot, parts)
    if words:
        reason = f"{role} also moves {', '.join(words)}, with a gradient: the sign of d loss / d log π({role}) alone is no direction"
        return Finding(check, UNDECIDED, reason, None, role)
    both = _both_ways(subject, role, slot, parts)  # two points are found sooner than a proof that there are none
    if both:
        reason = f"pulled both ways: d loss/d log π({role}) = {both['slope up']} and {both['slope down']} at two points"
        return Finding(check, REFUTED, reason, "both", role, both)
    signs, steps = _signs(subject, role, slot, parts)
    apart = "; at a jump, which no gradient sees, the loss may go either way" if any(_jumps(subject, part, slot) for part in parts) else ""
    if signs <= {0}:
        return Finding(check, PROVED, f"the loss has no gradient in {role}{apart}", "none", role, steps=steps)
    if signs <= {0, -1} or signs <= {0, 1}:
        way = "up" if -1 in signs else "down"
        verb = "raises" if way == "up" else "lowers"
        return Finding(check, PROVED, f"raising log π({role}) never {verb} the loss{apart}", way, role, steps=steps)
    return Finding(check, UNDECIDED, f"no proof that {role} is pulled one way, and no two points that pull it both ways", None, role)


def _jumps(subject: Subject, part: Part, slot: str) -> bool:
    """Whether the item may jump as the completion's log-probability moves."""
    view, slot = subject.view, _slot(part, slot)
    return jumps(view.s, view.unstopped(view.whole(part)), lambda v: _policy(v, slot) or v.op == "reduce", view.box)


def _signs(subject: Subject, role: str, slot: str, parts: list[Part]) -> tuple[set[int | None], tuple[str, ...]]:
    """The sign of every way in which the role pulls, and how it was found."""
    box, signs, steps = subject.view.box, set[int | None](), list[str]()
    for part in parts:
        outer = outer_sign(subject.compiled.declared, subject, part)
        for pull in pulls(subject, part, slot, role):
            found = sign_in_cases(subject.view.s, pull, box)
            if found is None:
                found = sign_of(_over_inputs(subject, part, pull), box)
            signs.add(None if found is None or outer is None else found * outer)
            of = part.name if part.role == role else f"{part.name} ({part.role})"
            steps.append(f"d {of}/d log π({role}) = {shown(pull)}: {_SAID[found]}")
    return signs, tuple(steps)


def _moved_words(subject: Subject, slot: str, parts: list[Part]) -> list[str]:
    """The full-vocabulary words of a completion that have a gradient in the loss: raising its log-probability moves them too."""
    found: dict[str, None] = {}
    for part in parts:
        pending = [subject.view.whole(part)]
        while pending:
            for leaf in _attached(pending.pop()):
                pending += [leaf.args[0]] if leaf.op == "reduce" else []
                if is_moved_word(leaf) and (leaf.slot == _slot(part, slot) or subject.view.is_list):
                    found[shown(leaf)] = None
    return list(found)


_SAID = {1: ">= 0", -1: "<= 0", 0: "0", None: "not decided"}


def _over_inputs(subject: Subject, part: Part, node: Node) -> Node:
    """A scalar over z as one over the inputs."""
    return subject.view.s.substitute(node, {subject.z_of(part): subject.view.argument(part)}) if part.z is not None else node


def total_pull(subject: Subject, slot: str, parts: list[Part], label: str = "") -> Node | None:
    """d loss / d log-probability in a batch of one, if every way is direct and the loss adds its parts up."""
    s, total = subject.view.s, subject.view.s.number(0)
    for part in parts:
        ways = pulls(subject, part, slot, label)
        if len(ways) > 1 or not _plain_mean(subject, part):
            return None
        total = s.call("add", total, _over_inputs(subject, part, ways[0]))
    return total


def _plain_mean(subject: Subject, part: Part) -> bool:
    """Whether the loss of one example is the sum of its parts' items: no token or list axis is averaged away."""
    return "token" not in part.item.axes and "list" not in part.item.axes and outer_sign(subject.compiled.declared, subject, part) == 1 and not any(
        node.batch and part.item in topological([node]) for node in topological([subject.compiled.declared.loss])
    )


def _both_ways(subject: Subject, role: str, slot: str, parts: list[Part]) -> dict[str, str]:
    """Two points with pulls of opposite sign: of the whole where that is one scalar, else of a single part's items."""
    total = total_pull(subject, slot, parts, role)
    candidates = [total] if total is not None else []
    if total is None and len(parts) == 1:
        ways = pulls(subject, parts[0], slot, role)
        candidates = [_over_inputs(subject, parts[0], ways[0])] if len(ways) == 1 else []
    items = [subject.view.unstopped(subject.view.whole(part)) for part in parts]
    for scalar in candidates:
        found = _opposite(subject, subject.view.unstopped(scalar), items)
        if found:
            return found
    return {}


def _opposite(subject: Subject, scalar: Node, items: list[Node]) -> dict[str, str]:
    """Two points where the loss has a value and the slope is surely above and below 0."""
    names = list(dict.fromkeys(v for node in (scalar, *items) for v in variables(node)))
    seen = dict[int, tuple[dict[Node, object], object]]()
    for point in points(subject.view.box, names, 200, subject.view.first):
        rough = float(values([scalar], point, FloatMath)[scalar])
        if rough == 0 or (1 if rough > 0 else -1) in seen or rough != rough:
            continue
        if any(at_kink(node, point) for node in (scalar, *items)):  # the slope there is a convention
            continue
        value = sure_value(scalar, point)
        if value is not None and abs(value) > 1e-20 and all(sure_value(item, point) is not None for item in items):
            seen.setdefault(1 if value > 0 else -1, (point, value))  # type: ignore[arg-type]
        if len(seen) == 2:
            (up, su), (down, sd) = seen[-1], seen[1]
            return {
                **{f"{k} (up)": v for k, v in named(up).items()}, **{f"{k} (down)": v for k, v in named(down).items()},  # type: ignore[arg-type]
                "slope up": number(su), "slope down": number(sd),
            }  # fmt: skip
    return {}


# -- what stop does --------------------------------------------------------------------------------------------------------


def stop_gradient_effect(subject: Subject) -> Iterator[Finding]:
    """What stands under `stop` still steers the gradient of something."""
    s = subject.view.s
    for stopped in _stops(subject):
        free = s.variable("detached")
        gradients = [
            s.substitute(_over_inputs(subject, part, way), {stopped: free})
            for role, slot, parts in roles(subject) for part in parts for way in pulls(subject, part, slot, role)
        ]  # fmt: skip
        other = s.variable("otherwise detached")
        effects = [s.call("sub", gradient, s.substitute(gradient, {free: other})) for gradient in gradients]
        span = Calculus(subject.view.box).span(subject.view.unstopped(stopped))
        box = {**subject.view.box, free: span, other: span}
        what = shown(stopped.args[0])
        verdicts = [is_free_of(s, gradient, free, box) for gradient in gradients]
        if all(v is True for v in verdicts):
            yield Finding("stop_gradient_effect", REFUTED, f"no gradient depends on the detached {what}: it only shifts the loss (v is affine in it)", scope=what)
        elif False in verdicts:
            point = nonzero_point(effects[verdicts.index(False)], box)
            witness = named(point[0]) | {"change of the gradient": number(point[1])} if point else {}
            yield Finding("stop_gradient_effect", PROVED, f"the detached {what} changes the gradient of the rest", scope=what, witness=witness)
        else:
            yield Finding("stop_gradient_effect", UNDECIDED, f"the effect of the detached {what} was not decided", scope=what)


def _stops(subject: Subject) -> list[Node]:
    found: dict[Node, None] = {}
    for part in subject.parts:
        for node in topological_scalar(subject.view.whole(part)):
            if node.op == "stop":
                found[node] = None
    return list(found)
