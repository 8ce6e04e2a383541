"""What z is made of: r(x, y) - E_Q[r(x, y')] - margin with r = l(y) log(pi / pi_ref), however the file spells it.

Of a pair (or two completions of a list), z itself is taken apart, so that it does not matter which key holds what. In
labelled feedback the reference point is an estimate over the batch, and reward and reference point are read as spelt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import is_zero, shown
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, inner_variables, topological_scalar, variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import REFUTED, UNDECIDED, Outcome
from halo.checks.scalars.inputs import Where, is_moved_word, is_policy
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part
from halo.objective.vocabulary import clamping

POLICY = ("log π", "logp", "length")
LOGS = ("log π", "log ref", "log old")


def refuted_if(sure: bool) -> Outcome:
    """Refuted where it is sure that the definition does not hold; else it only could not be shown to."""
    return REFUTED if sure else UNDECIDED


class NotOfTheForm(Exception):
    """What leaves the definition; `outcome` is undecided where it only could not be shown to keep to it."""

    def __init__(self, reason: str, outcome: Outcome = REFUTED, witness: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.outcome, self.witness = reason, outcome, witness or {}


@dataclass
class Construction:
    """What was found on the way to a yes: notes on the liberties taken, steps of the proof, each part's constant margin."""

    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    margins: list[Node] = field(default_factory=list)
    value: str = ""


def take_apart(subject: Subject, part: Part, found: Construction) -> None:
    """Finds l, E_Q and the margin of a part, or raises NotOfTheForm."""
    z = subject.view.argument(part)
    if "token" in z.axes:
        raise NotOfTheForm("the reward is one number for each token, not r(x, y)")
    if subject.feedback.compares:
        _of_a_pair(subject, part, z, found)
    else:
        _as_spelt(subject, part, found)


# -- a pair ----------------------------------------------------------------------------------------------------------------


def _of_a_pair(subject: Subject, part: Part, z: Node, found: Construction) -> None:
    view, s = subject.view, subject.view.s
    _attached(subject, part, z, found)
    z = view.unstopped(z)
    if any(v.data == "batch sort" for v in variables(z)):
        raise NotOfTheForm("z is sorted over the batch, so that its completions answer different prompts")
    if any(v.op == "reduce" for v in variables(z)):
        raise NotOfTheForm(f"z = {shown(z)} holds a reduction that is no expectation of a reward", UNDECIDED)
    _no_words(subject, z)
    slots = list(dict.fromkeys(v.slot for v in variables(z) if is_policy(v)))
    own, other = _two(slots, part.role)
    factors = {slot: _constant_factor(subject, z, s.derivative(z, s.variable("log π", slot)), slot) for slot in slots}
    factor, mirrored = factors[own], s.call("neg", factors[other])
    renamed = s.substitute(factor, {view.length(own): view.length(other)})
    apart = f"the two completions have different rewards: l = {shown(factor)} for {own}, {shown(mirrored)} for {other}"
    _same(s, mirrored, renamed, view.box, apart)
    _positive(subject, factor)
    used = any(s.variable("log ref", slot) in variables(z) for slot in slots)
    rest = z
    for slot, sign, scale in ((own, "sub", factor), (other, "add", renamed)):
        rest = s.call(sign, rest, s.call("mul", scale, _log_ratio(s, slot, used)))
    _margin(subject, rest, own, other, found)
    ratio = "log(pi/pi_ref)" if used else "log pi"
    found.steps.append(f"z = l(y) {ratio}(y) - the same of y' + margin, l = {shown(factor)} > 0")
    if not used:
        _uniform(subject, factor, own, other, found)


def _two(slots: list[str], role: str) -> tuple[str, str]:
    """The part's own completion and the other one."""
    if not slots:
        raise NotOfTheForm("theta does not reach z")
    if len(slots) == 1:
        raise NotOfTheForm("there is no reference point, and no Q makes E_Q[r] = 0 for every theta")
    if len(slots) > 2:
        raise NotOfTheForm(f"z mixes {len(slots)} completions")
    first, second = slots
    return (second, first) if role == second else (first, second)


def _log_ratio(s: Scalars, slot: str, used: bool) -> Node:
    """log(pi/pi_ref) of a completion; log pi alone where no reference is used."""
    policy = s.variable("log π", slot)
    if not used:
        return policy
    return s.call("sub", policy, s.variable("log ref", slot))


def _no_words(subject: Subject, z: Node) -> None:
    """A KL or an entropy of the policy is no constant margin, and no log-probability either."""
    s = subject.view.s
    for word in filter(is_moved_word, variables(z)):
        gone = is_zero(s, s.derivative(z, word), subject.view.box)
        if gone is not True:
            reason = f"z = {shown(z)} reads {shown(word)}, which depends on theta beside log(pi/pi_ref)"
            raise NotOfTheForm(reason, refuted_if(gone is False))


def _attached(subject: Subject, part: Part, z: Node, found: Construction) -> None:
    """`stop` around the reference point is a liberty; a detached reward has no gradient at all."""
    if any(n.op == "stop" for n in topological_scalar(z)):
        if part.reward is None or _stops_policy(subject.view.scalar(part.reward, subject.view.generic(part))):
            raise NotOfTheForm("the reward is detached")
        found.notes.append("the reference point is detached, which is ignored")


def _stops_policy(node: Node) -> bool:
    return any(is_policy(v) for n in topological_scalar(node) if n.op == "stop" for v in inner_variables(n.args[0]))


def _constant_factor(subject: Subject, z: Node, factor: Node, slot: str) -> Node:
    """d z / d log pi of one completion, which no log-probability may move, and which only that completion's length may."""
    for moving in [v for v in variables(factor) if v.op == "input" and v.data in LOGS]:
        fixed = subject.view.s.substitute(factor, {moving: subject.view.s.number(-1)})
        same = is_zero(subject.view.s, subject.view.s.call("sub", factor, fixed), subject.view.box)
        if same is not True:
            raise NotOfTheForm(f"z = {shown(z)} is not linear in log(pi/pi_ref)", refuted_if(same is False))
        factor = fixed
    foreign = [shown(v) for v in variables(factor) if v.op == "input" and not (v.data == "length" and v.slot == slot)]
    if foreign:
        raise NotOfTheForm(f"the normalizer depends on {', '.join(foreign)}, not on y alone")
    return factor


def _positive(subject: Subject, factor: Node) -> None:
    box = subject.view.box
    if Calculus(box).span(factor).positive:
        return
    tried = (sure_value(factor, point) for point in points(box, variables(factor), first=subject.view.first))
    outcome = refuted_if(any(x is not None and x <= 0 for x in tried))
    raise NotOfTheForm(f"the normalizer l = {shown(factor)} is not positive for every declared parameter value", outcome)


def _same(s: Scalars, left: Node, right: Node, box: Box, reason: str) -> None:
    """Raises unless the two are proved equal; refuted only where they surely differ."""
    found = is_zero(s, s.call("sub", left, right), box)
    if found is not True:
        raise NotOfTheForm(reason, refuted_if(found is False))


def _margin(subject: Subject, rest: Node, own: str, other: str, found: Construction) -> None:
    """What is left of z is -(constant + g(y) - g(y')): the difference tilts pi_ref by a function of y."""
    s, rest = subject.view.s, _without_logs(subject, rest)
    inputs = [v for v in variables(rest) if v.op != "parameter"]
    if any(v.slot not in (own, other) for v in inputs):
        raise NotOfTheForm(f"the margin {shown(s.call('neg', rest))} is not a function of the two completions")
    somewhere = points(subject.view.box, inputs, 1)[0]
    base = {v: s.number(somewhere.get(s.variable(v.data, own, v.axes), x))
            for v, x in somewhere.items()}  # fmt: skip
    of = {slot: {v: x for v, x in base.items() if v.slot != slot} for slot in (own, other)}
    constant = s.substitute(rest, base)
    across = {own: other, other: own}
    swapped = s.substitute(rest, {v: s.variable(v.data, across[v.slot], v.axes) for v in inputs})
    apart = s.call("add", s.substitute(rest, of[own]), s.substitute(rest, of[other]))
    identities = [
        s.call("sub", s.call("add", rest, constant), apart),
        s.call("sub", s.call("add", rest, swapped), s.call("mul", s.number(2), constant)),
    ]
    for gap in identities:
        _same(s, gap, s.number(0), subject.view.box, f"the margin {shown(s.call('neg', rest))} is not of the form g(y) - g(y') + constant")
    if is_zero(s, s.call("sub", rest, constant), subject.view.box) is not True:
        found.notes.append("pi_ref is tilted by the margin, a difference g(y) - g(y')")
    found.margins.append(s.call("neg", constant))


def _without_logs(subject: Subject, rest: Node) -> Node:
    """What is left, with every log-probability set to -1 if that provably changes nothing."""
    s = subject.view.s
    logs: dict[Node, Node] = {v: s.number(-1) for v in variables(rest) if v.op == "input" and v.data in LOGS}
    fixed = s.substitute(rest, logs)
    same = is_zero(s, s.call("sub", rest, fixed), subject.view.box)
    if same is not True:
        reason = f"z is not l (log pi - log pi_ref) of two completions: {shown(rest)} is left"
        raise NotOfTheForm(reason, refuted_if(same is False))
    return fixed


def _uniform(subject: Subject, factor: Node, slot: str, other: str, found: Construction) -> None:
    """Without a reference: a token-uniform one, log ref = -|y| log V, must cancel between r and E_Q[r]."""
    s, view = subject.view.s, subject.view
    constant = s.call("mul", factor, view.length(slot))
    there = s.substitute(constant, {view.length(slot): view.length(other)})
    left = shown(s.call("sub", constant, there))
    _same(s, constant, there, view.box, f"there is no reference, and a token-uniform one leaves ({left}) log V in z")
    found.notes.append("pi_ref is uniform over tokens and cancels")


# -- labelled feedback -------------------------------------------------------------------------------------------------------


def _as_spelt(subject: Subject, part: Part, found: Construction) -> None:
    view, s = subject.view, subject.view.s
    assert part.reward is not None
    assert part.normalizer is not None
    where = view.generic(part)
    core, normalizer = (view.unstopped(view.scalar(n, where)) for n in (part.reward, part.normalizer))
    if _stops_policy(view.scalar(part.reward, where)):
        raise NotOfTheForm("the reward is detached")
    slot = _slot(core)
    if slot is None:
        raise NotOfTheForm(f"the reward {shown(core)} is not that of one completion", UNDECIDED)
    policy, reference = s.variable("log π", slot), s.variable("log ref", slot)
    reward = s.call("mul", normalizer, core)
    factor = _linear_factor(subject, reward, policy, reference)
    _affine(subject, reward, factor, policy, reference, found)
    other = _expected(subject, part, where, reward, slot, found)
    if part.margin is not None:
        margin = view.scalar(part.margin, where)
        if any(v.op != "parameter" for v in variables(margin)):
            raise NotOfTheForm(f"the margin {shown(margin)} is not the same for every example", UNDECIDED)
        found.margins.append(margin)
    if reference not in variables(reward):
        _uniform(subject, factor, slot, other, found)


def _slot(node: Node) -> str | None:
    slots = {v.slot for v in inner_variables(node) if v.data in POLICY}
    if len(slots) != 1:
        return None
    return slots.pop()


def _linear_factor(subject: Subject, reward: Node, policy: Node, reference: Node) -> Node:
    """d r / d log pi, which must not depend on log pi itself, however the reward is spelt."""
    s, factor = subject.view.s, subject.view.s.derivative(reward, policy)
    if not any(v in (policy, reference) or v.op == "reduce" for v in variables(factor)):
        return factor
    bend = is_zero(s, s.derivative(factor, policy), subject.view.box)
    if bend is not True or any(v.op == "reduce" for v in variables(factor)):
        raise NotOfTheForm(f"the reward {shown(reward)} is not linear in log(pi/pi_ref)", refuted_if(bend is False))
    return s.substitute(factor, {policy: s.number(-1), reference: s.number(-1)})


def _affine(subject: Subject, reward: Node, factor: Node, policy: Node, reference: Node, found: Construction) -> None:
    """r = l * (log pi - log ref) or l * log pi, with l > 0 a function of y alone."""
    s, box = subject.view.s, subject.view.box
    foreign = [shown(v) for v in variables(factor) if v.op != "parameter" and not (v.data == "length" and v.slot == policy.slot)]
    if foreign:
        raise NotOfTheForm(f"the normalizer depends on {', '.join(foreign)}, not on y alone")
    _positive(subject, factor)
    ratio = _log_ratio(s, policy.slot, used=reference in variables(reward))
    _same(s, reward, s.call("mul", factor, ratio), box, f"the reward {shown(reward)} is not l(y) log(pi/pi_ref)")
    found.steps.append(f"r = l * ({shown(ratio)}) with l = {shown(factor)} > 0")


def _expected(subject: Subject, part: Part, where: Where, reward: Node, slot: str, found: Construction) -> str:
    """The reference point is E_Q of the same reward; returns whose reward is inside the expectation."""
    view, s = subject.view, subject.view.s
    if part.reference_point is None:
        raise NotOfTheForm("there is no reference point, and no Q makes E_Q[r] = 0 for every theta")
    point = view.scalar(part.reference_point, where)
    if any(n.op == "stop" for n in topological_scalar(point)):
        found.notes.append("the reference point is detached, which is ignored")
    point = view.unstopped(point)
    point = _unclamped(point, found)
    averaged = point.op == "reduce"
    if point.op == "reduce" and point.data in ("batch mean", "mean"):
        if point.data == "batch mean":
            found.notes.append("E_Q is estimated over the batch")
        point = view.unstopped(point.args[0])
    other = _slot(point)
    if other is None:
        raise NotOfTheForm(f"the reference point {shown(point)} is not an expectation of the reward")
    if other == slot and not averaged:
        raise NotOfTheForm("the reference point is the completion's own reward")
    renamed = {v: s.variable(v.data, other, v.axes) for v in variables(reward) if v.slot == slot}
    _same(s, point, s.substitute(reward, renamed), view.box, f"the reference point {shown(point)} is not E_Q of the reward {shown(reward)}")
    found.steps.append(f"E_Q[r] with Q on {other}")
    return other


def _unclamped(point: Node, found: Construction) -> Node:
    if point.op == "apply" and clamping(point.data):
        moving = [a for a in point.args if any(v.op == "input" for v in inner_variables(a))]
        if len(moving) == 1:
            found.notes.append("E_Q is clamped at a constant")
            return _unclamped(moving[0], found)
    return point
