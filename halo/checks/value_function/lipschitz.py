"""Whether |v'| has a bound, the largest pull that one example can have."""

from __future__ import annotations

from fractions import Fraction

import sympy
from sympy import Expr, Poly, Symbol

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.ranges import REALS
from halo.analysis.scalar import variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import each, limit_of, written
from halo.compiler.graph import Node
from halo.objective.propositions import LIPSCHITZ

INFINITE = (sympy.oo, -sympy.oo)


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """|v'| is bounded: by its range, or by its values at stationary points and ends."""
    slope = subject.view.s.derivative(value, z)
    span = Calculus({**subject.view.box, z: REALS}).span(slope)
    ends = [limit_of(subject, slope, z, side) for side in (-1, 1)]
    best = _largest(slope, z, ends)
    if span.bounded:
        bound = best or str(max(abs(Fraction(span.low)), abs(Fraction(span.high))))
        return Finding(LIPSCHITZ.name, PROVED, f"|v'| <= {bound}", bound, scope)
    if any(end in INFINITE for end in ends):
        return Finding(LIPSCHITZ.name, REFUTED, f"v' is unbounded: it tends to {written(*ends)} at -oo and +oo", None, scope)
    if best is not None:
        return Finding(LIPSCHITZ.name, PROVED, f"|v'| <= {best}, at its stationary points and ends", best, scope)
    return Finding(LIPSCHITZ.name, UNDECIDED, "no bound of v' was found", None, scope)


def _largest(slope: Node, z: Node, ends: list[Expr | None]) -> str | None:
    """sup |v'| without parameters, from its limits and stationary points; None if that is not exact."""
    known = [end for end in ends if end is not None]
    if any(v is not z for v in variables(slope)) or len(known) < len(ends) or any(end in INFINITE for end in known):
        return None
    algebra = Algebra({z: REALS})
    try:
        form = algebra.normal(slope)
        symbols = form.free_symbols
        if not symbols:
            return str(abs(known[0]))
        if len(symbols) > 1 or algebra.by_symbol[next(iter(symbols))].kind != "w":
            return None
        (w,) = symbols
        stationary = _stationary(form, w)
        if stationary is None:
            return None
        found = {sympy.radsimp(sympy.simplify(form.subs(w, root))) for root in stationary}
    except (OutOfReach, NotImplementedError):
        return None
    return str(max((abs(end) for end in [*found, *known]), key=float))


def _stationary(form: Expr, w: Symbol) -> list[Expr] | None:
    """The positive zeros of the derivative by w, an exponential of z; None where not all of them have a closed form."""
    numerator = Poly(sympy.numer(sympy.together(sympy.diff(form, w))), w)
    if not numerator.is_zero:
        numerator = numerator.quo(Poly(w ** min(power for (power,), _ in numerator.terms()), w))
    found = [root for root in sympy.roots(numerator) if root.is_real and root > 0]
    if len(found) < numerator.count_roots(0, None):  # distinct roots
        return None
    return found


CHECK = Check(LIPSCHITZ, each(LIPSCHITZ, of_one))
