"""Whether Psi(p), the optimum for preference probability p, stays bounded: then sure preferences are not overfitted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy
from sympy import Expr

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.identity import shown
from halo.analysis.points import points
from halo.analysis.ranges import Span
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding, Outcome
from halo.checks.check import Check
from halo.checks.optimum.curves import Curves, curves, has_curves, same_for_both
from halo.checks.optimum.stationary import BY_LENGTH, JUMPS, UNKNOWN, Descent, Root
from halo.checks.subject import Subject
from halo.compiler.graph import Node
from halo.objective.propositions import PREFERENCE_LINK

UNIT = Span(Fraction(0), Fraction(1), True, True)
CLOSER = (20, 40)
"""Digits of two distances of p from an end: a logarithm doubles between them, and what converges does not grow by half."""


def asked(subject: Subject) -> bool:
    """Of a pair only where both completions are scored alike: else the swapped pair has another h."""
    if not has_curves(subject):
        return False
    return bool(subject.feedback.labels) or same_for_both(subject, subject.terms[0])


def ask(subject: Subject) -> Iterator[Finding]:
    """Of the mixture p L(preferred) + (1 - p) L(dispreferred)."""
    found = curves(subject)
    assert found is not None
    s = subject.view.s
    p = s.variable("p")
    mixed = s.call("add", s.call("mul", p, found.good), s.call("mul", s.call("sub", s.number(1), p), found.bad))
    descent = Descent(subject, mixed, found.h, {**found.box, p: UNIT}, found.difference)
    yield _within(descent, _of(descent, found, p))


def _finding(verdict: Outcome, reason: str, value: str | None = None, **more: object) -> Finding:
    return Finding(PREFERENCE_LINK.name, verdict, reason, value, **more)  # type: ignore[arg-type]


def _within(descent: Descent, said: Finding) -> Finding:
    """What was said of an h that can be any number, for the h that there are."""
    span = descent.extent.span
    if span.bounded:
        return _finding(PROVED, f"the difference of scores h lies in {span}, and with it Psi(p)", str(span))
    if descent.has_ends_by_length:
        return _finding(PROVED, f"{BY_LENGTH}, and with it Psi(p)")
    if said.verdict == REFUTED and not descent.goes_everywhere:
        return _finding(UNDECIDED, f"h lies in {span}, and whether Psi(p) stays bounded there was not decided")
    return said


def _of(descent: Descent, found: Curves, p: Node) -> Finding:
    if descent.may_jump:
        return _finding(UNDECIDED, JUMPS)
    least = descent.minimum
    if least is not None:
        return _link(descent, least, p)
    if not descent.roots and _constant_sum(descent, found):
        reason = "up to positive factors the losses of the two outcomes add up to a constant: for all p but one the optimum is infinite"
        return _finding(REFUTED, reason, "none")
    return _finding(UNDECIDED, UNKNOWN)


def _link(descent: Descent, root: Root, p: Node) -> Finding:
    """Whether Psi stays finite at p = 0 and 1: proved where it is continuous on [0, 1], refuted by its value at an end."""
    value = str(root.pretty)
    if "p" not in {str(symbol) for symbol in root.pretty.free_symbols} and root.is_finite(descent.box):
        return _finding(PROVED, f"Psi(p) = {value} does not depend on p", value)
    if root.is_finite({**descent.box, p: Span(Fraction(0), Fraction(1))}):
        return _finding(PROVED, f"Psi(p) = {value} is continuous on [0, 1] and so bounded: sure preferences are not overfitted", value)
    named = {str(symbol): symbol for symbol in root.pretty.free_symbols}
    own = [v for v in descent.box if shown(v) in named and shown(v) != "p"]
    for point in points(descent.box, own, 16, descent.subject.view.first):
        fixed = {named[shown(v)]: sympy.Rational(x.numerator, x.denominator) for v, x in point.items()}
        end = _unbounded_at(root.pretty.subs(fixed))
        if end is not None:
            at = ", ".join(f"{symbol} = {x}" for symbol, x in sorted(fixed.items(), key=str))
            reason = f"Psi(p) = {value} is unbounded as p tends to 0 or 1 ({at}): sure preferences are overfitted"
            return _finding(REFUTED, reason, value, witness={str(symbol): str(x) for symbol, x in fixed.items()} | {"p": str(end)})
    return _finding(UNDECIDED, f"Psi(p) = {value}; whether it stays bounded was not decided", value)


def _unbounded_at(link: Expr) -> int | None:
    """The end of [0, 1] at which a link without other letters has no finite value, and near which it grows."""
    p = sympy.Symbol("p", real=True)
    for end in (0, 1):
        near = [sympy.N(link.subs(p, abs(end - sympy.Rational(1, 10**digits))), 30) for digits in CLOSER]
        infinite = link.subs(p, end).has(sympy.oo, -sympy.oo, sympy.zoo)
        if infinite and abs(near[1]) > abs(near[0]) * sympy.Rational(3, 2):
            return end
    return None


def _constant_sum(descent: Descent, found: Curves) -> bool:
    """Whether a good + b bad is constant in h for positive a, b free of h: then every mixture but one is monotone."""
    s, algebra = descent.subject.view.s, Algebra(found.box)
    try:
        good, bad = algebra.normals([s.derivative(curve, found.h) for curve in (found.good, found.bad)])
    except OutOfReach:
        return False
    if bad == 0:
        return False
    ratio = sympy.cancel(good / bad)
    return found.h not in algebra.variables_in(ratio) and algebra.span(ratio).negative


CHECK = Check(PREFERENCE_LINK, ask, asked)
