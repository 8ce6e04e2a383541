"""The value function v(z) alone: monotone, concave on gains, bounded, saturating, Lipschitz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import wraps
from math import inf

import sympy
from sympy import Poly

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED, Question
from halo.analysis.identity import shown
from halo.analysis.limits import limit
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import variables
from halo.checks.subject import Finding, Subject
from halo.compiler.graph import Node


def distinct(subject: Subject) -> Iterator[tuple[str, Node, Node]]:
    """Each different value function, where it is used, and its z."""
    seen: dict[Node, list[str]] = {}
    where: dict[Node, Node] = {}
    for part in subject.terms:
        value = subject.view.unstopped(subject.view.value(part))
        where[value] = subject.z_of(part)
        seen.setdefault(value, []).append(part.role if part.name == "main" else f"{part.name}/{part.role}")
    for value, roles in seen.items():
        yield "v" if len(seen) == 1 else f"v of {', '.join(roles)}", value, where[value]


def question(subject: Subject, value: Node, z: Node, region: Span = REALS) -> Question:
    """A question about v along z."""
    return Question(subject.view.s, value, z, subject.view.box, region, subject.view.first)


Judge = Callable[[Subject, str, Node, Node], Finding]


def along_z(judge: Judge) -> Callable[[Subject], Iterator[Finding]]:
    """The check that judges each different v as a function of z, where z can be told from the rest of it."""

    @wraps(judge)
    def check(subject: Subject) -> Iterator[Finding]:
        for scope, value, z in distinct(subject):
            if subject.view.veiled.intersection(variables(value)):
                yield Finding(judge.__name__, UNDECIDED, "z stands inside a reduction over the list, whose terms are not told apart", None, scope)
            else:
                yield judge(subject, scope, value, z)

    return check


@along_z
def monotone(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is non-decreasing on the real line."""
    return Finding.of("monotone", question(subject, value, z).monotone(), scope=scope, value=f"v(z) = {shown(value)}")


@along_z
def concave_on_gains(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is concave on (0, oo)."""
    return Finding.of("concave_on_gains", question(subject, value, z, POSITIVE).concave(), scope=scope)


@along_z
def bounded(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v is bounded above, so that the loss cannot fall for ever."""
    box = {**subject.view.box, z: reachable(subject, value)}
    span = Calculus(box).span(value)
    sign = _sign_of(subject, value)
    end, word = (span.high, "above") if sign < 0 else (span.low, "below")
    if end not in (inf, -inf):
        return Finding("bounded", PROVED, f"v is bounded {word}: it lies in {span}", str(span), scope)
    ends = [_limit(subject, value, z, side) for side, e in ((1, box[z].high), (-1, box[z].low)) if e in (inf, -inf)]
    if len(ends) == 2 and question(subject, value, z).monotone().proved:
        last = ends[0] if sign < 0 else ends[1]
        if last is not None and last.is_finite:
            lies = f"(-inf, {last}]" if sign < 0 else f"[{last}, inf)"
            return Finding("bounded", PROVED, f"v never falls and tends to {last} at {'+oo' if sign < 0 else '-oo'}: it is bounded {word}", lies, scope)
    if any(e is not None and e == (sympy.oo if sign < 0 else -sympy.oo) for e in ends):
        return Finding("bounded", REFUTED, f"v is unbounded {word}: the loss has no lower bound in z", f"limits {_limits(ends)}", scope)
    return Finding("bounded", UNDECIDED, f"no bound of v from {word} was found", None, scope)


def reachable(subject: Subject, value: Node) -> Span:
    """The range of z over all inputs, of the parts that use this v."""
    result: Span | None = None
    for part in subject.terms:
        if subject.view.unstopped(subject.view.value(part)) is value:
            z = Calculus(subject.view.box).span(subject.view.unstopped(subject.view.argument(part)))
            result = z if result is None else result.joined(z)
    return result or REALS


def _sign_of(subject: Subject, value: Node) -> int:
    """The sign in front of v, of the first part that uses it."""
    return next(part.sign for part in subject.terms if subject.view.unstopped(subject.view.value(part)) is value)


@along_z
def saturates(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """v' tends to 0 at both ends: sure successes and hopeless failures pull no more."""
    slope = subject.view.s.derivative(value, z)
    ends = [_limit(subject, slope, z, side) for side in (-1, 1)]
    said = f"v' tends to {_shown_limit(ends[0])} at -oo and to {_shown_limit(ends[1])} at +oo"
    if None in ends:
        return Finding("saturates", UNDECIDED, "a limit of v' was not found", None, scope)
    return Finding("saturates", PROVED if ends == [0, 0] else REFUTED, said, f"slopes {_limits(ends)}", scope)


@along_z
def lipschitz(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """|v'| has a bound, the largest pull that one example can have."""
    slope = subject.view.s.derivative(value, z)
    box = {**subject.view.box, z: REALS}
    span = Calculus(box).span(slope)
    ends = [_limit(subject, slope, z, side) for side in (-1, 1)]
    if span.bounded:
        bound = max(abs(Fraction(span.low)), abs(Fraction(span.high)))
        best = _largest(subject, slope, z, ends)
        return Finding("lipschitz", PROVED, f"|v'| <= {best or bound}", str(best or bound), scope)
    if any(e in (sympy.oo, -sympy.oo) for e in ends if e is not None):
        return Finding("lipschitz", REFUTED, f"v' is unbounded: it tends to {_limits(ends)} at -oo and +oo", None, scope)
    best = _largest(subject, slope, z, ends)
    if best is not None:
        return Finding("lipschitz", PROVED, f"|v'| <= {best}, at its stationary points and ends", best, scope)
    return Finding("lipschitz", UNDECIDED, "no bound of v' was found", None, scope)


def _largest(subject: Subject, slope: Node, z: Node, ends: list[sympy.Expr | None]) -> str | None:
    """sup |v'| without parameters, from its limits and stationary points; None if that is not exact."""
    known = [e for e in ends if e is not None]
    if any(v is not z for v in variables(slope)) or len(known) < len(ends) or any(e in (sympy.oo, -sympy.oo) for e in known):
        return None
    algebra = Algebra({z: REALS})
    try:
        form = algebra.normal(slope)
        symbols = form.free_symbols
        if len(symbols) != 1 or algebra.by_symbol[next(iter(symbols))].kind != "w":
            return str(abs(known[0])) if not symbols else None
        (w,) = symbols
        numerator = Poly(sympy.numer(sympy.together(sympy.diff(form, w))), w)
        numerator = numerator.quo(Poly(w ** min(power for (power,), _ in numerator.terms()), w)) if not numerator.is_zero else numerator
        stationary = [root for root in sympy.roots(numerator) if root.is_real and root > 0]
        if len(stationary) < numerator.count_roots(0, None):  # distinct roots: all of them were found in closed form
            return None
        found = {sympy.radsimp(sympy.simplify(form.subs(w, root))) for root in stationary}
    except (OutOfReach, NotImplementedError):
        return None
    return str(max((abs(e) for e in [*found, *known]), key=lambda e: float(e)))


def _limit(subject: Subject, node: Node, z: Node, side: int) -> sympy.Expr | None:
    return limit(subject.view.s, node, z, subject.view.box, side)


def _shown_limit(value: sympy.Expr | None) -> str:
    return "?" if value is None else {sympy.oo: "+oo", -sympy.oo: "-oo"}.get(value, str(value))


def _limits(ends: list[sympy.Expr | None]) -> str:
    return ", ".join(map(_shown_limit, ends))

