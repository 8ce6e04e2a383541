"""Which way the loss pulls each completion, and what of it is detached.

The pull on a role is d loss / d log-probability of any one of its tokens, for all data and all declared parameter values.
It is a sum over the ways in which a token reaches the loss; a direction is proved when each of them has the same sign.
"""

from __future__ import annotations

from collections.abc import Iterator

from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED
from halo.analysis.identity import is_free_of, named, nonzero_point, number, shown
from halo.analysis.kinks import jumps
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import at_kink, points
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.sign import sign_in_cases, sign_of
from halo.analysis.values import sure_value, values
from halo.checks.pulls import is_policy_of, outer_sign, pulls, reached_by_gradient, roles, slot_of
from halo.checks.scalars.inputs import is_moved_word
from halo.checks.subject import Finding, Subject
from halo.compiler.graph import Node, Part, topological

# -- the pull ------------------------------------------------------------------------------------------------------------


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
    view, slot = subject.view, slot_of(part, slot)
    return jumps(view.s, view.unstopped(view.whole(part)), lambda v: is_policy_of(v, slot) or v.op == "reduce", view.box)


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
            for leaf in reached_by_gradient(pending.pop()):
                pending += [leaf.args[0]] if leaf.op == "reduce" else []
                if is_moved_word(leaf) and (leaf.slot == slot_of(part, slot) or subject.view.is_list):
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
        rough = float(values([scalar], point, DOUBLES)[scalar])
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
