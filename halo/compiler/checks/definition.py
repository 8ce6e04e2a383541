"""Is it a human-aware loss? Definition 3.4 as in the lecture (KTO, later version), read off the graph part by part.

    L = E[a v(r(x, y) - E_Q[r(x, y')])] + C,   r = l(y) log(pi / pi_ref),  l > 0,  a in {-1, +1},
    v non-decreasing everywhere and concave on (0, oo)

Four liberties are taken and named: positive weights free of theta belong to the distribution D; `stop` is ignored; E_Q
may be an estimate over the batch, clamped at a constant; pi_ref may be uniform per token, or tilted by a function of y,
if the rest cancels in z. Whatever else departs from it refutes, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from halo.compiler.checks.calculus import Calculus
from halo.compiler.checks.decide import PROVED, REFUTED, UNDECIDED, Outcome, Question, is_zero, shown
from halo.compiler.checks.findings import Finding, Subject
from halo.compiler.checks.scalar import Scalars, topological_scalar, variables
from halo.compiler.checks.span import POSITIVE, REALS, Span
from halo.compiler.checks.view import Where
from halo.compiler.graph import Node, Part, topological

VERSION = "Definition 3.4 (r = l log(pi/pi_ref), one v, a = +1 or -1)"
POLICY = ("log π", "logp", "length")


class Departure(Exception):
    """What leaves the definition; `outcome` is undecided where it only could not be shown to keep to it."""

    def __init__(self, reason: str, outcome: Outcome = REFUTED, witness: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.outcome, self.witness = reason, outcome, witness or {}


@dataclass
class Construction:
    """What was found on the way to a yes: notes on the liberties taken, steps of the proof."""

    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    value: str = ""


def halo(subject: Subject) -> Iterator[Finding]:
    """The loss is a human-aware loss; beside a regularizer, its core may be."""
    regularizers = [part for part in subject.parts if part.regularizer and _trains(subject, part)]
    if not subject.terms:
        yield Finding("halo", REFUTED, f"{VERSION}: there is no term a v(z), only regularizers")
        return
    outcome, reason, value, found, witness = _core(subject)
    if regularizers:
        names = ", ".join(sorted({part.name for part in regularizers}))
        yield Finding("halo", REFUTED, f"{VERSION}: the regularizer {names} depends on theta")
        yield Finding("halo", outcome, reason, value, "core", witness, tuple(found.steps))
    else:
        yield Finding("halo", outcome, reason, value, "loss", witness, tuple(found.steps))


def _core(subject: Subject) -> tuple[Outcome, str, str | None, Construction, dict[str, str]]:
    found = Construction()
    try:
        _judge(subject, found)
    except Departure as departure:
        return departure.outcome, f"{VERSION}: {departure.reason}", None, found, departure.witness
    liberties = f"; {'; '.join(dict.fromkeys(found.notes))}" if found.notes else ""
    return PROVED, f"{VERSION}: {found.value}{liberties}", found.value, found, {}


def _judge(subject: Subject, found: Construction) -> None:
    _one_term(subject)
    for part in subject.terms:
        _weight(subject, part, found)
        _reward(subject, part, found)
    _value(subject, found)
    _reduction(subject)


def _trains(subject: Subject, part: Part) -> bool:
    return any(v.data in POLICY[:2] for v in _inner_variables(subject.view.whole(part)))


def _inner_variables(node: Node) -> list[Node]:
    """The variables of a scalar, also those inside opaque reductions."""
    found = []
    for v in variables(node):
        found += _inner_variables(v.args[0]) if v.op == "reduce" else [v]
    return found


# -- the shape of the loss -----------------------------------------------------------------------------------------------


def _one_term(subject: Subject) -> None:
    names = {part.name for part in subject.terms}
    roles = [part.role for part in subject.terms]
    if len(names) > 1 and len(set(roles)) < len(roles):
        raise Departure(f"the terms {', '.join(sorted(names))} meet on the same completion, so that there is no single v")


def _weight(subject: Subject, part: Part, found: Construction) -> None:
    weight = subject.view.scalar(part.weight, subject.view.generic(part))
    if any(v.data in POLICY[:2] for v in _inner_variables(weight)):
        raise Departure(f"the weight {shown(weight)} depends on theta")
    if weight.op == "number" and weight.data == 1:
        return
    if not Calculus(subject.view.box).span(weight).nonnegative:
        raise Departure(f"the weight {shown(weight)} is not shown to be positive", UNDECIDED)
    found.notes.append("positive weights are part of D")


def _reduction(subject: Subject) -> None:
    loss = subject.compiled.declared.loss
    items = {part.item for part in subject.terms}
    for node in topological([loss]):
        if node.batch and items & set(topological([node])):
            raise Departure("the reduce chain is not an expectation: it applies a function over the batch")


# -- the reward ------------------------------------------------------------------------------------------------------------


def _reward(subject: Subject, part: Part, found: Construction) -> None:
    view, s = subject.view, subject.view.s
    assert part.reward is not None
    assert part.normalizer is not None
    where = view.generic(part)
    core, normalizer = (view.unstopped(view.scalar(n, where)) for n in (part.reward, part.normalizer))
    if "token" in core.axes:
        raise Departure("the reward is one number for each token, not r(x, y)")
    slot = _slot(core)
    if slot is None:
        reason = f"the reward {shown(core)} is not that of one completion; write what it subtracts as the reference point"
        raise Departure(reason, UNDECIDED)
    policy, reference = s.variable("log π", slot), s.variable("log ref", slot)
    reward = s.call("mul", normalizer, core)
    factor = _linear_factor(subject, reward, policy, reference)
    _affine(subject, reward, factor, policy, reference, found)
    inner = _expected(subject, part, where, reward, slot, found)
    _margin(subject, part, where, slot, inner, found)
    if reference not in variables(reward):
        _uniform(subject, factor, slot, inner, found)


def _slot(node: Node) -> str | None:
    slots = {v.slot for v in _inner_variables(node) if v.data in POLICY}
    return slots.pop() if len(slots) == 1 else None


def _linear_factor(subject: Subject, reward: Node, policy: Node, reference: Node) -> Node:
    """d r / d log pi, which must not depend on log pi itself, however the reward is spelt."""
    s, factor = subject.view.s, subject.view.s.derivative(reward, policy)
    if not any(v in (policy, reference) or v.op == "reduce" for v in variables(factor)):
        return factor
    bend = is_zero(s, s.derivative(factor, policy), subject.view.box)
    if bend is not True or any(v.op == "reduce" for v in variables(factor)):
        outcome = REFUTED if bend is False else UNDECIDED
        raise Departure(f"the reward {shown(reward)} is not linear in log(pi/pi_ref)", outcome)
    return s.substitute(factor, {policy: s.number(-1), reference: s.number(-1)})


def _affine(subject: Subject, reward: Node, factor: Node, policy: Node, reference: Node, found: Construction) -> None:
    """r = l * (log pi - log ref) or l * log pi, with l > 0 a function of y alone."""
    s, box = subject.view.s, subject.view.box
    foreign = [shown(v) for v in variables(factor) if v.op != "parameter" and not (v.data == "length" and v.slot == policy.slot)]
    if foreign:
        raise Departure(f"the normalizer depends on {', '.join(foreign)}, not on y alone")
    if not Calculus(box).span(factor).positive:
        raise Departure(f"the normalizer l = {shown(factor)} is not positive for every declared parameter value")
    used = reference in variables(reward)
    ratio = s.call("sub", policy, reference) if used else policy
    if is_zero(s, s.call("sub", reward, s.call("mul", factor, ratio)), box) is not True:
        raise Departure(f"the reward {shown(reward)} is not l(y) log(pi/pi_ref)")
    found.steps.append(f"r = l * {shown(ratio)} with l = {shown(factor)} > 0")


def _expected(subject: Subject, part: Part, where: Where, reward: Node, slot: str, found: Construction) -> Node:
    """The reference point is E_Q of the same reward; returns the reward inside the expectation."""
    view, s = subject.view, subject.view.s
    if part.reference_point is None:
        raise Departure("there is no reference point, and no Q makes E_Q[r] = 0 for every theta")
    point = view.scalar(part.reference_point, where)
    if any(n.op == "stop" for n in topological_scalar(point)):
        found.notes.append("the reference point is detached, which is ignored")
    point = view.unstopped(point)
    point = _unclamped(point, found)
    if point.op == "reduce" and point.data in ("batch mean", "mean"):
        if point.data == "batch mean":
            found.notes.append("E_Q is estimated over the batch")
        point = view.unstopped(point.args[0])
    other = _slot(point)
    if other is None:
        raise Departure(f"the reference point {shown(point)} is not an expectation of the reward")
    if other == slot and part.role not in ("desirable", "undesirable"):
        raise Departure("the reference point is the completion's own reward")
    renamed = {v: s.variable(v.data, other, v.axes) for v in variables(reward) if v.slot == slot}
    if is_zero(s, s.call("sub", point, s.substitute(reward, renamed)), view.box) is not True:
        raise Departure(f"the reference point {shown(point)} is not E_Q of the reward {shown(reward)}")
    found.steps.append(f"E_Q[r] with Q on {other}")
    return point


def _unclamped(point: Node, found: Construction) -> Node:
    if point.op == "apply" and point.data in ("max", "min", "clip", "relu"):
        moving = [a for a in point.args if _inner_variables(a) and any(v.op != "parameter" for v in _inner_variables(a))]
        if len(moving) == 1:
            found.notes.append("E_Q is clamped at a constant")
            return _unclamped(moving[0], found)
    return point


def _margin(subject: Subject, part: Part, where: Where, slot: str, inner: Node, found: Construction) -> None:
    """A margin is a constant, or g(y) - g(y'): a reference tilted by a function of y."""
    if part.margin is None:
        return
    s, margin = subject.view.s, subject.view.scalar(part.margin, where)
    moving = [v for v in _inner_variables(margin) if v.op != "parameter"]
    if any(v.data in POLICY[:2] for v in moving):
        raise Departure(f"the margin {shown(margin)} depends on theta")
    if not moving:
        return
    other = _slot(inner) or ""
    swap = {v: s.variable(v.data, other if v.slot == slot else slot, v.axes) for v in moving if v.slot in (slot, other)}
    additive = other != "" and all(v.slot in (slot, other) for v in moving)
    if additive:
        for v in (v for v in moving if v.slot == slot):
            mixed = s.derivative(margin, v)
            additive = additive and not any(w.slot == other for w in variables(mixed))
        both = s.call("add", margin, s.substitute(margin, {k: v for k, v in swap.items() if k is not v}))
        additive = additive and all(is_zero(s, s.derivative(both, v), subject.view.box) is True for v in variables(both) if v.op == "input")
    if not additive:
        raise Departure(f"the margin {shown(margin)} is not of the form g(y) - g(y') + constant")
    found.notes.append("pi_ref is tilted by the margin, a difference g(y) - g(y')")


def _uniform(subject: Subject, factor: Node, slot: str, inner: Node, found: Construction) -> None:
    """Without a reference: a token-uniform one, log ref = -|y| log V, must cancel between r and E_Q[r]."""
    s = subject.view.s
    other = _slot(inner) or slot
    length = {name: s.variable("length", name) for name in (slot, other)}
    constant = s.call("mul", factor, length[slot])
    shifted = s.substitute(constant, {length[slot]: length[other]})
    gap = s.call("sub", constant, shifted)
    if is_zero(s, gap, subject.view.box) is not True:
        raise Departure(f"there is no reference, and a token-uniform one leaves ({shown(gap)}) log V in z")
    found.notes.append("pi_ref is uniform over tokens and cancels")


# -- the value function ----------------------------------------------------------------------------------------------------


def _value(subject: Subject, found: Construction) -> None:
    """One v and signs a with sign * value = a v + constant for every part; v non-decreasing, concave on gains."""
    s, view = subject.view.s, subject.view
    for part in subject.terms:
        if not subject.single(part):
            foreign = [shown(v) for v in variables(view.value(part)) if v.op != "parameter" and v is not view.z]
            raise Departure(f"v depends on {', '.join(foreign)} beside z")
    curves = [_signed(s, part.sign, view.unstopped(view.value(part))) for part in subject.terms]
    region = _gains(subject)
    failures: list[Departure] = []
    for sign in (-1, 1):
        v = _signed(s, sign, curves[0])
        try:
            _shape(subject, v, region, found)
        except Departure as departure:
            failures.append(departure)
            continue
        signs = [_matching(subject, v, curve) for curve in curves]
        if None in signs:
            raise Departure(*_unmatched(subject, curves))
        roles = ", ".join(f"a = {a:+d} for {part.role}" for a, part in zip(signs, subject.terms, strict=True))
        found.value = f"v = {shown(v)}, {roles if len(subject.terms) > 1 else f'a = {signs[0]:+d}'}{_constants(subject, v, curves, signs)}"
        return
    if len(curves) > 1 and _matching(subject, curves[0], curves[1]) is None:
        raise Departure(*_unmatched(subject, curves))
    raise failures[0]


def _signed(s: Scalars, sign: int, node: Node) -> Node:
    return node if sign > 0 else s.call("neg", node)


def _gains(subject: Subject) -> Span:
    """(0, oo) in r - E_Q[r], as a range of z = r - E_Q[r] - margin: a margin moves it to the left of 0."""
    region = POSITIVE
    for part in subject.terms:
        if part.margin is not None:
            span = Calculus(subject.view.box).span(subject.view.scalar(part.margin, subject.view.generic(part)))
            region = region.joined(Span(-span.high, inf, True)) if span.high != inf else REALS
    return region


def _shape(subject: Subject, v: Node, region: Span, found: Construction) -> None:
    view = subject.view
    rising = Question(view.s, v, view.z, view.box, REALS, view.first).monotone()
    if not rising.proved:
        raise Departure(f"v = {shown(v)} {rising.reason}", rising.outcome, dict(rising.witness))
    bending = Question(view.s, v, view.z, view.box, region, view.first).concave()
    if not bending.proved and region == REALS:  # a margin without a bound: some value of it may do
        bending = Question(view.s, v, view.z, view.box, POSITIVE, view.first).concave() if bending.outcome == UNDECIDED else bending
    if not bending.proved:
        raise Departure(f"v = {shown(v)} is not concave on gains: {bending.reason}", bending.outcome, dict(bending.witness))
    found.steps += [f"v = {shown(v)} is {rising.reason}", *rising.steps, f"v is {bending.reason} on z in {region}", *bending.steps]


def _matching(subject: Subject, v: Node, curve: Node) -> int | None:
    """The sign a with curve = a v + constant, or None."""
    s, z = subject.view.s, subject.view.z
    for sign in (-1, 1):
        rest = s.call("add" if sign < 0 else "sub", curve, v)
        if is_zero(s, s.derivative(rest, z), {**subject.view.box, z: REALS}) is True:
            return sign
    return None


def _unmatched(subject: Subject, curves: list[Node]) -> tuple[str, Outcome, dict[str, str]]:
    s, z = subject.view.s, subject.view.z
    sides = [s.derivative(s.call(word, curves[0], curves[1]), z) for word in ("add", "sub")]
    verdicts = [is_zero(s, side, {**subject.view.box, z: REALS}) for side in sides]
    outcome: Outcome = REFUTED if all(v is False for v in verdicts) else UNDECIDED
    roles = " and ".join(part.role for part in subject.terms[:2])
    return f"{roles} share no v: neither the sum nor the difference of their losses is constant in z", outcome, {}


def _constants(subject: Subject, v: Node, curves: list[Node], signs: list[int | None]) -> str:
    """C by role: what the item adds to a v, at z = 0 by the weight-free part and the file's constant."""
    s, view, shown_ones = subject.view.s, subject.view, []
    for part, curve, sign in zip(subject.terms, curves, signs, strict=True):
        rest = s.call("sub", curve, _signed(s, sign or 1, v))
        constant = s.substitute(rest, {view.z: s.number(0)})
        declared = view.scalar(part.constant, view.generic(part)) if part.constant is not None else s.number(0)
        total = s.call("add", s.call("mul", view.scalar(part.weight, view.generic(part)), constant), declared)
        if not (total.op == "number" and total.data == 0):
            shown_ones.append(f"C = {shown(total)}" + (f" for {part.role}" if len(curves) > 1 else ""))
    return f", {', '.join(shown_ones)}" if shown_ones else ""

