"""What z is made of: r(x, y) - E_Q[r(x, y')] - margin with r = l(y) log(pi / pi_ref), however the file spells it.

Of a pair (or two completions of a list), z itself is taken apart, so that it does not matter which key holds what. In
labelled feedback the reference point is an estimate over the batch: what z holds beside the completion's own reward.
"""

from __future__ import annotations

from operator import ge, le

from halo.analysis.curvature import Box, Calculus
from halo.analysis.identity import is_zero, shown
from halo.analysis.points import points
from halo.analysis.scalar import Scalars, inner_variables, topological_scalar, variables
from halo.analysis.values import sure_value
from halo.analysis.verdict import UNDECIDED
from halo.checks.human_aware.estimates import estimate
from halo.checks.human_aware.forms import Construction, NotOfTheForm, Reading, refuted_if
from halo.checks.human_aware.sums import bends, written_out
from halo.checks.scalars.inputs import is_moved_word, is_policy
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part

POLICY = ("log π", "logp", "length")
LOGS = ("log π", "log ref", "log old")


def take_apart(subject: Subject, part: Part, found: Construction) -> None:
    """Finds l, E_Q and the margin of a part, or raises NotOfTheForm."""
    z = subject.view.argument(part)
    if "token" in z.axes:
        raise NotOfTheForm("the reward is one number for each token, not r(x, y)")
    if subject.feedback.compares:
        found.readings.append(_of_a_pair(subject, part, z, found))
    else:
        found.readings.append(_of_one(subject, part, z, found))


def scale(subject: Subject, first: Reading, other: Reading) -> Node:
    """By what the other part's l is larger, a number that v may absorb. Raises NotOfTheForm where they are two rewards."""
    view, s = subject.view, subject.view.s
    factor = s.substitute(other.factor, {view.length(other.slot): view.length(first.slot)})
    if first.used != other.used:
        raise NotOfTheForm(f"{first.role} and {other.role} have different rewards: only one has a reference")
    ratio = s.number(1)
    if is_zero(s, s.call("sub", factor, first.factor), view.box) is not True:
        ratio = s.call("div", factor, first.factor)
    two = f"two normalizers: l = {shown(first.factor)} for {first.role}, {shown(factor)} for {other.role}"
    fixed = s.substitute(ratio, {view.length(first.slot): s.number(1)})
    _same(s, ratio, fixed, view.box, two)
    if first.slot == other.slot and first.point != other.point:
        raise NotOfTheForm(f"two reference points: of {first.point} for {first.role}, of {other.point} for {other.role}", UNDECIDED)
    tilts = s.call("add", s.call("mul", fixed, first.tilt), other.tilt)
    _same(s, tilts, s.number(0), view.box, f"{first.role} and {other.role} tilt pi_ref by different functions of y")
    return fixed


# -- a pair ----------------------------------------------------------------------------------------------------------------


def _of_a_pair(subject: Subject, part: Part, z: Node, found: Construction) -> Reading:
    view, s = subject.view, subject.view.s
    _attached(subject, part, z, found)
    z = written_out(view, view.unstopped(z))
    if any(v.data == "batch sort" for v in variables(z)):
        raise NotOfTheForm("z is sorted over the batch, so that its completions answer different prompts")
    if any(v.op == "reduce" for v in variables(z)):
        raise NotOfTheForm(f"z = {shown(z)} holds a reduction that is no expectation of a reward", UNDECIDED)
    _no_words(subject, z)
    slots = list(dict.fromkeys(v.slot for v in variables(z) if is_policy(v)))
    own, other = _two(slots, found.whose or part.role)
    factors = {slot: _constant_factor(subject, z, s.derivative(z, s.variable("log π", slot)), slot) for slot in slots}
    factor, mirrored = factors[own], s.call("neg", factors[other])
    renamed = s.substitute(factor, {view.length(own): view.length(other)})
    apart = f"the two completions have different rewards: l = {shown(factor)} for {own}, {shown(mirrored)} for {other}"
    _same(s, mirrored, renamed, view.box, apart)
    sign = _sign(subject, factor)
    used = any(s.variable("log ref", slot) in variables(z) for slot in slots)
    rest = z
    for slot, word, times in ((own, "sub", factor), (other, "add", renamed)):
        rest = s.call(word, rest, s.call("mul", times, _log_ratio(s, slot, used)))
    margin, tilt = _margin(subject, rest, own, other, found)
    ratio = "log(pi/pi_ref)" if used else "log pi"
    found.steps.append(f"z = l(y) {ratio}(y) - the same of y' + margin, l = {shown(_sized(s, factor, sign))} > 0")
    if not used:
        _uniform(subject, factor, own, other, found)
    return Reading(part.role, own, factor, sign, margin, used, other, tilt)


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


def _no_words(subject: Subject, z: Node, slot: str | None = None) -> None:
    """A KL or an entropy of the policy is no constant margin, and no log-probability either."""
    s = subject.view.s
    for word in (v for v in variables(z) if is_moved_word(v) and slot in (None, v.slot)):
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


def _sign(subject: Subject, factor: Node) -> int:
    """The strict sign of the normalizer; v absorbs a negative one."""
    box = subject.view.box
    span = Calculus(box).span(factor)
    if span.positive:
        return 1
    if span.negative:
        return -1
    tried = [sure_value(factor, point) for point in points(box, variables(factor), first=subject.view.first)]
    low, high = (any(x is not None and compare(x, 0) for x in tried) for compare in (le, ge))
    raise NotOfTheForm(f"the normalizer l = {shown(factor)} is not positive for every declared parameter value", refuted_if(low and high))


def _sized(s: Scalars, factor: Node, sign: int) -> Node:
    if sign > 0:
        return factor
    return s.call("neg", factor)


def _same(s: Scalars, left: Node, right: Node, box: Box, reason: str) -> None:
    """Raises unless the two are proved equal; refuted only where they surely differ: what is opaque is no free number."""
    gap = s.call("sub", left, right)
    found = is_zero(s, gap, box)
    if found is not True:
        raise NotOfTheForm(reason, refuted_if(found is False and not any(v.op == "reduce" for v in variables(gap))))


def _margin(subject: Subject, rest: Node, own: str, other: str, found: Construction) -> tuple[Node, Node]:
    """What is left of z is -(constant + g(y) - g(y')): the constant, and the difference, which tilts pi_ref by a function of y."""
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
    return s.call("neg", constant), s.call("sub", constant, rest)


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


def _of_one(subject: Subject, part: Part, z: Node, found: Construction) -> Reading:
    """Of one completion z is r less what does not depend on it: E_Q[r], as an estimate, and a margin."""
    view, s = subject.view, subject.view.s
    assert part.reward is not None
    where = view.generic(part)
    if _stops_policy(view.scalar(part.reward, where)):
        raise NotOfTheForm("the reward is detached")
    if any(n.op == "stop" for n in topological_scalar(z)):
        found.notes.append("the reference point is detached, which is ignored")
    z = written_out(view, view.unstopped(z))
    slot = _slot(view.scalar(part.reward, where))
    if slot is None:
        raise NotOfTheForm(f"the reward {shown(view.scalar(part.reward, where))} is not that of one completion", UNDECIDED)
    _no_sum_of_functions(subject, z, slot)
    _no_words(subject, z, slot)
    policy, reference = s.variable("log π", slot), s.variable("log ref", slot)
    if policy not in variables(z):
        raise NotOfTheForm(f"theta does not reach the reward of {slot} in z")
    factor = _constant_factor(subject, z, s.derivative(z, policy), slot)
    sign = _sign(subject, factor)
    used = reference in variables(z)
    ratio = _log_ratio(s, slot, used)
    reward = s.call("mul", factor, ratio)
    rest = _free_of(subject, s.call("sub", z, reward), slot)
    found.steps.append(f"r = l * ({shown(ratio)}) with l = {shown(_sized(s, factor, sign))} > 0")
    other, margin = _expected(subject, s.call("neg", rest), reward, slot, found)
    if not used:
        _uniform(subject, factor, slot, other, found)
    return Reading(part.role, slot, factor, sign, margin, used, other, s.number(0))


def _slot(node: Node) -> str | None:
    slots = {v.slot for v in inner_variables(node) if v.data in POLICY}
    if len(slots) != 1:
        return None
    return slots.pop()


def _no_sum_of_functions(subject: Subject, z: Node, slot: str) -> None:
    """A reduction over the tokens of y that is left after sums were written out is no log-probability of y."""
    for inner in variables(z):
        own = inner.op == "reduce" and not inner.batch and any(v.slot == slot and is_policy(v) for v in inner_variables(inner))
        if own:
            sure = inner.data in ("total", "mean") and bends(subject.view, subject.view.unstopped(inner.args[0]))
            raise NotOfTheForm(f"the reward holds {shown(inner)}, which is not linear in log(pi/pi_ref)", refuted_if(sure))


def _free_of(subject: Subject, rest: Node, slot: str) -> Node:
    """What is left of z, with the quantities of y at numbers if that provably changes nothing."""
    s, box = subject.view.s, subject.view.box
    own = [v for v in variables(rest) if v.slot == slot and v.op == "input"]
    at = {v: s.number(points(box, [v], 1)[0][v]) for v in own}
    for v, ratio in ((v, w) for v in own for w in own if (v.data, w.data) == ("log π", "log ref")):
        at[ratio] = at[v]
    fixed = s.substitute(rest, at)
    same = is_zero(s, s.call("sub", rest, fixed), box)
    if same is not True:
        raise NotOfTheForm(
            f"z is not l (log pi - log pi_ref) of {slot} less what is free of it: {shown(rest)} is left", refuted_if(same is False)
        )
    return fixed


def _expected(subject: Subject, point: Node, reward: Node, slot: str, found: Construction) -> tuple[str, Node]:
    """The reference point is E_Q of the same reward plus a margin: whose reward is inside the expectation, and the margin."""
    view, s = subject.view, subject.view.s
    seen = estimate(s, point, found)
    inner, averaged = seen.inner, False
    if not any(v.op != "parameter" for v in inner_variables(inner)):
        raise NotOfTheForm("there is no reference point, and no Q makes E_Q[r] = 0 for every theta")
    if not any(map(is_policy, inner_variables(inner))):
        raise NotOfTheForm(f"the reference point {shown(point)} does not depend on theta, and E_Q[r] does for every Q")
    if inner.op == "reduce" and inner.data in ("batch mean", "mean"):
        averaged = True
        if inner.data == "batch mean":
            found.notes.append("E_Q is estimated over the batch")
        inner = view.unstopped(inner.args[0])
    other = _slot(inner)
    if other is None:
        raise NotOfTheForm(f"the reference point {shown(point)} is not the expectation of one completion's reward", UNDECIDED)
    if other == slot and not averaged:
        raise NotOfTheForm("the reference point is the completion's own reward")
    renamed = {v: s.variable(v.data, other, v.axes) for v in variables(reward) if v.slot == slot}
    expected = s.substitute(reward, renamed)
    _same(
        s,
        s.call("mul", seen.factor, inner),
        expected,
        view.box,
        f"the reference point {shown(point)} is not E_Q of the reward {shown(reward)}",
    )
    found.steps.append(f"E_Q[r] with Q on {other}")
    return other, seen.constant
