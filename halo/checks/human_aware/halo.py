"""Is it a human-aware loss? Definition 3.4 as in the lecture (KTO, later version), read off the graph part by part.

    L = E[a v(r(x, y) - E_Q[r(x, y')])] + C,   r = l(y) log(pi / pi_ref),  l > 0,  a in {-1, +1},
    v non-decreasing everywhere and concave on (0, oo)

Four liberties are taken and named: positive weights free of theta belong to the distribution D; `stop` is ignored; E_Q
may be an estimate over the batch, clamped at a constant; pi_ref may be uniform per token, or tilted by a function of y,
if the rest cancels in z. Whatever else departs from it refutes, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import reduce

from halo.analysis.curvature import Calculus
from halo.analysis.decide import Question
from halo.analysis.identity import is_free_of, is_zero, nonzero_point, shown
from halo.analysis.ranges import POSITIVE, REALS
from halo.analysis.scalar import Scalars, inner_variables, is_number, variables
from halo.analysis.sign import sign_of
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding, Outcome
from halo.checks.check import CORE, Check
from halo.checks.human_aware.decomposition import scale, take_apart
from halo.checks.human_aware.forms import Construction, NotOfTheForm, Reading, refuted_if
from halo.checks.scalars.inputs import is_policy
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part, topological
from halo.objective.propositions import HALO

ELSEWHERE = (Fraction(1, 3), Fraction(-1, 3), Fraction(5, 2))
"""Where slopes of two value functions are compared: at no kink that people write."""
PAIR = ("chosen", "rejected")
WEIGHTS = "positive weights are part of D"


def ask(subject: Subject) -> Iterator[Finding]:
    """The loss is a human-aware loss; beside a regularizer, its core may be."""
    regularizers = [part for part in subject.parts if part.regularizer and _trains(subject, part)]
    if not subject.terms:
        yield Finding(HALO.name, REFUTED, "there is no term a v(z), only regularizers")
        return
    if regularizers:
        names = ", ".join(sorted({part.name for part in regularizers}))
        yield Finding(HALO.name, REFUTED, f"the regularizer {names} depends on theta")
        yield _of_the_terms(subject, CORE)
    else:
        yield _of_the_terms(subject, "loss")


def _of_the_terms(subject: Subject, scope: str) -> Finding:
    problems = []
    for whose in _whose(subject):
        found = Construction(whose)
        try:
            _construct(subject, found)
        except NotOfTheForm as problem:
            problems.append((problem, tuple(found.steps)))
            continue
        reason = "; ".join(dict.fromkeys([found.value, *found.notes]))
        return Finding(HALO.name, PROVED, reason, found.value, scope, steps=tuple(found.steps))
    first, steps = problems[0]
    outcome = refuted_if(all(problem.outcome is REFUTED for problem, _ in problems))
    return Finding(HALO.name, outcome, first.reason, None, scope, first.witness, steps)


def _whose(subject: Subject) -> tuple[str, ...]:
    """Whose reward r(x, y) is: of each part's own completion, or in all parts that of one of a pair; z does not say which."""
    if subject.feedback.compares:
        return ("", *PAIR)
    return ("",)


def _construct(subject: Subject, found: Construction) -> None:
    """Finds a, v, r and Q, or raises NotOfTheForm."""
    for part in subject.terms:
        _weight(subject, part, found)
        _constant(subject, part)
        take_apart(subject, part, found)
    _value(subject, found)
    _reduction(subject)


def _trains(subject: Subject, part: Part) -> bool:
    return any(is_policy(v) for v in inner_variables(subject.view.whole(part)))


# -- the shape of the loss -----------------------------------------------------------------------------------------------


def _weight(subject: Subject, part: Part, found: Construction) -> None:
    weight = subject.view.scalar(part.weight, subject.view.generic(part))
    if any(is_policy(v) for v in inner_variables(weight)):
        raise NotOfTheForm(f"the weight {shown(weight)} depends on theta")
    if is_number(weight, 1):
        return
    if not Calculus(subject.view.box).span(weight).nonnegative:
        raise NotOfTheForm(f"the weight {shown(weight)} is not shown to be positive", UNDECIDED)
    found.notes.append(WEIGHTS)


def _constant(subject: Subject, part: Part) -> None:
    if part.constant is None:
        return
    constant = subject.view.scalar(part.constant, subject.view.generic(part))
    if any(is_policy(v) for v in inner_variables(constant)):
        raise NotOfTheForm(f"the constant {shown(constant)} depends on theta")


def _reduction(subject: Subject) -> None:
    loss = subject.compiled.declared.loss
    items = {part.item for part in subject.terms}
    for node in topological([loss]):
        if node.batch and items & set(topological([node])):
            raise NotOfTheForm("the reduce chain is not an expectation: it applies a function over the batch")


# -- the value function ----------------------------------------------------------------------------------------------------


def _value(subject: Subject, found: Construction) -> None:
    """One v and signs a with sign * value = a v + constant for every part; v non-decreasing, concave on gains.

    v is a function of the definition's own argument t = r - E_Q[r]: a part's value is taken at k t - margin, where k is by how much
    its reward is larger than the first part's.
    """
    s, view = subject.view.s, subject.view
    for part in subject.terms:
        if not subject.single(part):
            foreign = [shown(v) for v in variables(view.value(part)) if v.op != "parameter" and v is not view.z]
            raise NotOfTheForm(f"v depends on {', '.join(foreign)} beside z")
    curves = [curve for _, curve in _by_role(subject, found)]
    failures: list[NotOfTheForm] = []
    for sign in (-1, 1):
        v = _signed(s, sign, curves[0])
        try:
            _shape(subject, v, found)
        except NotOfTheForm as problem:
            failures.append(problem)
            continue
        factors = [factor for curve in curves if (factor := _matching(subject, v, curve)) is not None]
        if len(factors) < len(curves):
            raise NotOfTheForm(*_unmatched(subject, curves))
        if not all(is_number(factor, 1) or is_number(factor, -1) for factor in factors):
            found.notes.append(WEIGHTS)
        roles = list(dict.fromkeys(part.role for part in subject.terms))
        found.value = ", ".join([f"v = {shown(v)}", *_signs(subject, roles, factors), *_constants(subject, v, curves, factors)])
        return
    if len(curves) > 1 and _matching(subject, curves[0], curves[1]) is None:
        raise NotOfTheForm(*_unmatched(subject, curves))
    raise failures[0]


def _by_role(subject: Subject, found: Construction) -> list[tuple[str, Node]]:
    """By role sign * value as a function of t; of several terms on one completion the sum, which is one loss if z is the same."""
    s, first = subject.view.s, found.readings[0]
    parts = list(zip(subject.terms, found.readings, strict=True))
    roles = list(dict.fromkeys(part.role for part in subject.terms))
    curves = []
    for role in roles:
        mine = [(part, _along_gains(subject, part, first, reading)) for part, reading in parts if part.role == role]
        curve = mine[0][1]
        if len(mine) > 1:
            _added_up(subject, [part for part, _ in mine])
            weighted = (s.call("mul", subject.view.scalar(part.weight, subject.view.generic(part)), curve) for part, curve in mine)
            curve = reduce(lambda a, b: s.call("add", a, b), weighted)
        curves.append((role, curve))
    return curves


def _added_up(subject: Subject, parts: list[Part]) -> None:
    """Several terms on one completion are one v only if they are reduced alike, with weights that are numbers."""
    view, terms = subject.view, subject.compiled.objective.declaration.terms or {}
    weights = [view.scalar(part.weight, view.generic(part)) for part in parts]
    alike = len({str(terms[part.name].reduce) for part in parts}) == 1
    if not alike or any(v.op != "parameter" for weight in weights for v in variables(weight)):
        names = ", ".join(sorted(part.name for part in parts))
        raise NotOfTheForm(f"the terms {names} meet on the same completion, so that there is no single v")


def _along_gains(subject: Subject, part: Part, first: Reading, reading: Reading) -> Node:
    """sign * value as a function of t = r - E_Q[r], which is called z too."""
    s, view = subject.view.s, subject.view
    z = _signed(s, first.sign, view.z)
    if reading is not first:
        z = s.call("mul", scale(subject, first, reading), z)
    z = s.call("sub", z, reading.margin)
    return _signed(s, part.sign, s.substitute(view.unstopped(view.value(part)), {view.z: z}))


def _signs(subject: Subject, roles: list[str], factors: list[Node]) -> list[str]:
    """a of each part: the sign of the factor, of which the rest is a weight."""
    signs = [sign_of(factor, subject.view.box, strict=True) or 1 for factor in factors]
    if len(signs) == 1:
        return [f"a = {signs[0]:+d}"]
    return [f"a = {a:+d} for {role}" for a, role in zip(signs, roles, strict=True)]


def _signed(s: Scalars, sign: int, node: Node) -> Node:
    if sign > 0:
        return node
    return s.call("neg", node)


def _shape(subject: Subject, v: Node, found: Construction) -> None:
    view = subject.view
    rising = Question(view.s, v, view.z, view.box, REALS, view.first).monotone()
    if not rising.proved:
        raise NotOfTheForm(f"v = {shown(v)} {rising.reason}", rising.outcome, dict(rising.witness))
    bending = Question(view.s, v, view.z, view.box, POSITIVE, view.first).concave()
    if not bending.proved:
        raise NotOfTheForm(f"v = {shown(v)} is not concave on gains: {bending.reason}", bending.outcome, dict(bending.witness))
    found.steps += [f"v = {shown(v)} is {rising.reason}", *rising.steps, f"v is {bending.reason} on z in {POSITIVE}", *bending.steps]


def _matching(subject: Subject, v: Node, curve: Node) -> Node | None:
    """The factor of one strict sign with curve = factor * v + constant, or None."""
    s, z, box = subject.view.s, subject.view.z, {**subject.view.box, subject.view.z: REALS}
    slopes = s.call("div", s.derivative(curve, z), s.derivative(v, z))
    steeper = [s.substitute(slopes, {z: s.number(x)}) for x in ELSEWHERE]
    weights = s.call("div", _weight_in(s, curve), _weight_in(s, v))
    for factor in (s.number(1), s.number(-1), weights, s.call("neg", weights), *steeper):
        if sign_of(factor, box, strict=True) and is_free_of(s, s.call("sub", curve, s.call("mul", factor, v)), z, box) is True:
            return factor
    return None


def _weight_in(s: Scalars, curve: Node) -> Node:
    """What of parameters alone multiplies the whole."""
    if curve.op == "apply" and curve.data == "neg":
        return _weight_in(s, curve.args[0])
    if curve.op == "apply" and curve.data == "mul":
        fixed = [a for a in curve.args if all(v.op == "parameter" for v in variables(a))]
        moving = [a for a in curve.args if a not in fixed]
        if len(moving) == 1:
            return s.call("mul", fixed[0], _weight_in(s, moving[0]))
    return s.number(1)


def _unmatched(subject: Subject, curves: list[Node]) -> tuple[str, Outcome, dict[str, str]]:
    """Refuted where the ratio of the two slopes is surely not the same at two places."""
    s, z = subject.view.s, subject.view.z
    another = s.variable("another z")
    first, second = (s.derivative(curve, z) for curve in curves[:2])
    there = {z: another}
    gap = s.call("sub", s.call("mul", first, s.substitute(second, there)), s.call("mul", s.substitute(first, there), second))
    both = s.call("add", *curves[:2])
    kinks = s.call("add", both, s.substitute(both, there))
    sure = nonzero_point(gap, {**subject.view.box, z: REALS, another: REALS}, off_kinks_of=kinks) is not None
    roles = " and ".join(part.role for part in subject.terms[:2])
    return f"{roles} share no v: the loss of one is no multiple of the other's, up to a constant", refuted_if(sure), {}


def _constants(subject: Subject, v: Node, curves: list[Node], factors: list[Node]) -> list[str]:
    """C by role, where it is not 0: what the items add to a v, at z = 0 by the weight-free part and the file's constants."""
    s, view, written = subject.view.s, subject.view, []
    roles = list(dict.fromkeys(part.role for part in subject.terms))
    for role, curve, factor in zip(roles, curves, factors, strict=True):
        parts = [part for part in subject.terms if part.role == role]
        total = s.substitute(s.call("sub", curve, s.call("mul", factor, v)), {view.z: s.number(0)})
        if len(parts) == 1:  # the weights of several are inside already
            total = s.call("mul", view.scalar(parts[0].weight, view.generic(parts[0])), total)
        for part in parts:
            if part.constant is not None:
                total = s.call("add", total, view.scalar(part.constant, view.generic(part)))
        if is_zero(s, total, view.box) is not True:
            written.append(f"C = {shown(total)}{f' for {role}' * (len(curves) > 1)}")
    return written


CHECK = Check(HALO, ask)
