"""Is it a human-aware loss? Definition 3.4 as in the lecture (KTO, later version), read off the graph part by part.

    L = E[a v(r(x, y) - E_Q[r(x, y')])] + C,   r = l(y) log(pi / pi_ref),  l > 0,  a in {-1, +1},
    v non-decreasing everywhere and concave on (0, oo)

Four liberties are taken and named: positive weights free of theta belong to the distribution D; `stop` is ignored; E_Q
may be an estimate over the batch, clamped at a constant; pi_ref may be uniform per token, or tilted by a function of y,
if the rest cancels in z. Whatever else departs from it refutes, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from halo.analysis.curvature import Calculus
from halo.analysis.decide import Question
from halo.analysis.identity import is_free_of, shown
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars, inner_variables, is_number, variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding, Outcome
from halo.checks.check import CORE, Check
from halo.checks.human_aware.decomposition import Construction, NotOfTheForm, refuted_if, take_apart
from halo.checks.scalars.inputs import is_policy
from halo.checks.subject import Subject
from halo.compiler.graph import Node, Part, topological
from halo.objective.propositions import HALO


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
    found = Construction()
    try:
        _construct(subject, found)
    except NotOfTheForm as problem:
        return Finding(HALO.name, problem.outcome, problem.reason, None, scope, problem.witness, tuple(found.steps))
    reason = "; ".join(dict.fromkeys([found.value, *found.notes]))
    return Finding(HALO.name, PROVED, reason, found.value, scope, steps=tuple(found.steps))


def _construct(subject: Subject, found: Construction) -> None:
    """Finds a, v, r and Q, or raises NotOfTheForm."""
    _one_term(subject)
    for part in subject.terms:
        _weight(subject, part, found)
        _constant(subject, part)
        take_apart(subject, part, found)
    _value(subject, found)
    _reduction(subject)


def _trains(subject: Subject, part: Part) -> bool:
    return any(is_policy(v) for v in inner_variables(subject.view.whole(part)))


# -- the shape of the loss -----------------------------------------------------------------------------------------------


def _one_term(subject: Subject) -> None:
    names = {part.name for part in subject.terms}
    roles = [part.role for part in subject.terms]
    if len(names) > 1 and len(set(roles)) < len(roles):
        raise NotOfTheForm(f"the terms {', '.join(sorted(names))} meet on the same completion, so that there is no single v")


def _weight(subject: Subject, part: Part, found: Construction) -> None:
    weight = subject.view.scalar(part.weight, subject.view.generic(part))
    if any(is_policy(v) for v in inner_variables(weight)):
        raise NotOfTheForm(f"the weight {shown(weight)} depends on theta")
    if is_number(weight, 1):
        return
    if not Calculus(subject.view.box).span(weight).nonnegative:
        raise NotOfTheForm(f"the weight {shown(weight)} is not shown to be positive", UNDECIDED)
    found.notes.append("positive weights are part of D")


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
    """One v and signs a with sign * value = a v + constant for every part; v non-decreasing, concave on gains."""
    s, view = subject.view.s, subject.view
    for part in subject.terms:
        if not subject.single(part):
            foreign = [shown(v) for v in variables(view.value(part)) if v.op != "parameter" and v is not view.z]
            raise NotOfTheForm(f"v depends on {', '.join(foreign)} beside z")
    curves = [_signed(s, part.sign, view.unstopped(view.value(part))) for part in subject.terms]
    region = _gains(subject, found.margins)
    failures: list[NotOfTheForm] = []
    for sign in (-1, 1):
        v = _signed(s, sign, curves[0])
        try:
            _shape(subject, v, region, found)
        except NotOfTheForm as problem:
            failures.append(problem)
            continue
        signs = [_matching(subject, v, curve) for curve in curves]
        if None in signs:
            raise NotOfTheForm(*_unmatched(subject, curves))
        found.value = ", ".join([f"v = {shown(v)}", *_signs(subject, signs), *_constants(subject, v, curves, signs)])
        return
    if len(curves) > 1 and _matching(subject, curves[0], curves[1]) is None:
        raise NotOfTheForm(*_unmatched(subject, curves))
    raise failures[0]


def _signs(subject: Subject, signs: list[int | None]) -> list[str]:
    if len(signs) == 1:
        return [f"a = {signs[0]:+d}"]
    return [f"a = {a:+d} for {part.role}" for a, part in zip(signs, subject.terms, strict=True)]


def _signed(s: Scalars, sign: int, node: Node) -> Node:
    if sign > 0:
        return node
    return s.call("neg", node)


def _gains(subject: Subject, margins: list[Node]) -> Span:
    """(0, oo) in r - E_Q[r], as a range of z = r - E_Q[r] - margin: a margin moves it to the left of 0."""
    region = POSITIVE
    for margin in margins:
        high = Calculus(subject.view.box).span(margin).high
        if high == inf:
            return REALS
        region = region.joined(Span(-high, inf, True))
    return region


def _shape(subject: Subject, v: Node, region: Span, found: Construction) -> None:
    view = subject.view
    rising = Question(view.s, v, view.z, view.box, REALS, view.first).monotone()
    if not rising.proved:
        raise NotOfTheForm(f"v = {shown(v)} {rising.reason}", rising.outcome, dict(rising.witness))
    bending = Question(view.s, v, view.z, view.box, region, view.first).concave()
    if not bending.proved:
        raise NotOfTheForm(f"v = {shown(v)} is not concave on gains: {bending.reason}", bending.outcome, dict(bending.witness))
    found.steps += [f"v = {shown(v)} is {rising.reason}", *rising.steps, f"v is {bending.reason} on z in {region}", *bending.steps]


def _matching(subject: Subject, v: Node, curve: Node) -> int | None:
    """The sign a with curve = a v + constant, or None."""
    s, z = subject.view.s, subject.view.z
    for sign in (-1, 1):
        rest = s.call("add" if sign < 0 else "sub", curve, v)
        if is_free_of(s, rest, z, {**subject.view.box, z: REALS}) is True:
            return sign
    return None


def _unmatched(subject: Subject, curves: list[Node]) -> tuple[str, Outcome, dict[str, str]]:
    s, z = subject.view.s, subject.view.z
    sides = [s.call(word, curves[0], curves[1]) for word in ("add", "sub")]
    verdicts = [is_free_of(s, side, z, {**subject.view.box, z: REALS}) for side in sides]
    outcome = refuted_if(all(v is False for v in verdicts))
    roles = " and ".join(part.role for part in subject.terms[:2])
    return f"{roles} share no v: neither the sum nor the difference of their losses is constant in z", outcome, {}


def _constants(subject: Subject, v: Node, curves: list[Node], signs: list[int | None]) -> list[str]:
    """C by role, where it is not 0: what the item adds to a v, at z = 0 by the weight-free part and the file's constant."""
    s, view, written = subject.view.s, subject.view, []
    for part, curve, sign in zip(subject.terms, curves, signs, strict=True):
        rest = s.call("sub", curve, _signed(s, sign or 1, v))
        constant = s.substitute(rest, {view.z: s.number(0)})
        total = s.call("mul", view.scalar(part.weight, view.generic(part)), constant)
        if part.constant is not None:
            total = s.call("add", total, view.scalar(part.constant, view.generic(part)))
        if not is_number(total, 0):
            role = f" for {part.role}" * (len(curves) > 1)
            written.append(f"C = {shown(total)}{role}")
    return written


CHECK = Check(HALO, ask)
