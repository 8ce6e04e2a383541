"""Whether |v'| has a bound, the largest pull that one example can have."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import ceil

import sympy
from sympy import Expr, Poly, Symbol

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.defined import is_defined, is_defined_throughout
from halo.analysis.ends.extent import SIDES, Extent
from halo.analysis.ends.far import Tail
from halo.analysis.kinks import switch, threshold
from halo.analysis.ranges import REALS
from halo.analysis.scalar import topological_scalar, variables
from halo.analysis.verdict import PROVED, REFUTED, UNDECIDED, Finding
from halo.checks.check import Check
from halo.checks.subject import Subject
from halo.checks.value_function.along_z import at_samples, each, extent_of, written
from halo.compiler.graph import Node
from halo.objective.propositions import LIPSCHITZ

DECIMALS = 6
SHORT = 10**DECIMALS
"""Denominators of bounds that are told as they are."""
INFINITE = (sympy.oo, -sympy.oo)


def of_one(subject: Subject, scope: str, value: Node, z: Node) -> Finding:
    """|v'| is bounded where z can be."""
    return at_samples(extent_of(subject, value, z), partial(_of_extent, scope))


def _of_extent(scope: str, extent: Extent) -> Finding:
    """By its range; by its values at stationary points and ends; by its limits, since it is bounded between them."""
    slope, finding = extent.slope, partial(Finding, LIPSCHITZ.name, scope=scope)
    span = Calculus(extent.box).span(slope)
    tails = {side: extent.tail(slope, side) for side in SIDES}
    ends = [None if tail is None else tail.limit for tail in tails.values()]
    defined = is_defined_throughout(extent.s, slope, extent.box)
    best = _largest(extent, ends) if defined else None
    if span.bounded:
        bound = best or _rounded_up(max(abs(Fraction(span.low)), abs(Fraction(span.high))))
        return finding(PROVED, f"|v'| <= {bound}", bound)
    if any(extent.reached(side) and tail is not None and tail.limit in INFINITE for side, tail in tails.items()):
        reason = f"v' is unbounded: it tends to {written(*ends)} at {extent.place(-1)} and {extent.place(1)}"
        return finding(REFUTED, reason)
    pole = extent.pole(slope)
    if pole is not None:
        low, high = pole.place
        return finding(REFUTED, f"v' is unbounded: it has a pole between z = {low} and {high}", witness={"from": low, "to": high})
    if best is not None:
        return finding(PROVED, f"|v'| <= {best}, at its stationary points and ends", best)
    if all(_ends_well(extent, side, tails[side]) for side in SIDES) and _in_bounded_pieces(extent):
        return finding(PROVED, f"v' is made of continuous pieces on {extent.span}, and does not grow towards an end: it has a bound")
    return finding(UNDECIDED, "no bound of v' was found")


def _rounded_up(bound: Fraction) -> str:
    """As it is where that is short, else a decimal above it."""
    if bound.denominator < SHORT:
        return str(bound)
    whole, rest = divmod(ceil(bound * SHORT), SHORT)
    return f"{whole}.{rest:0{DECIMALS}}"


def _ends_well(extent: Extent, side: int, tail: Tail | None) -> bool:
    """Whether v' stays bounded towards an end: at a number, where it has a value there as well."""
    if tail is not None and tail.finite:
        return True
    return isinstance(extent.end(side), Fraction) and is_defined_throughout(extent.s, extent.slope, extent.closure)


def _in_bounded_pieces(extent: Extent) -> bool:
    """Whether v' has a value wherever z can be, and each of its pieces also where it ends: it then has no pole."""
    s, slope, z = extent.s, extent.slope, extent.z
    if is_defined_throughout(s, slope, extent.box):
        return True
    if not is_defined(s, slope, extent.box):
        return False
    for kink in topological_scalar(slope):
        if kink.data != "where" or z not in topological_scalar(kink):
            continue
        at = threshold(s, *switch(s, kink), z, extent.box)
        if at is None or not all(is_defined_throughout(s, s.substitute(piece, {z: at[0]}), extent.box) for piece in kink.args[1:]):
            return False
    return True


def _largest(extent: Extent, ends: list[Expr | None]) -> str | None:
    """sup |v'| on the whole line without parameters, from its limits and stationary points; None if that is not exact."""
    slope, known = extent.slope, [end for end in ends if end is not None]
    if extent.span != REALS or any(v is not extent.z for v in variables(slope)) or len(known) < 2 or any(end in INFINITE for end in known):
        return None
    algebra = Algebra({extent.z: REALS})
    try:
        form = algebra.normal(slope)
        symbols = form.free_symbols
        if not symbols:
            return str(abs(known[0]))
        if len(symbols) > 1 or algebra.by_symbol[next(iter(symbols))].kind != "w":
            return None
        (w,) = symbols
        if algebra.by_symbol[w].key[0] != algebra.generator("v", extent.z, REALS):
            return None
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
