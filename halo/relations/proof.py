"""Whether two signals teach the same under a substitution: proved by algebra, for all data and parameter values.

A difference of two losses teaches nothing if every gradient of it vanishes where `stop` is a constant. With kinks the gradient is
awkward and the value is not: a difference in which no policy quantity is left once it is in normal form (detached quantities as
symbols of their own) has no gradient either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf

import sympy

from halo.analysis.algebra.factors import OutOfReach
from halo.analysis.algebra.normal_form import Algebra
from halo.analysis.curvature import Calculus
from halo.analysis.identity import is_zero
from halo.analysis.ranges import Span
from halo.analysis.scalar import is_number, topological_scalar
from halo.analysis.sign import sign_of
from halo.checks.scalars.cases import has_kinks, is_zero_in_cases
from halo.compiler.graph import Node, topological
from halo.objective.schema import Interval
from halo.relations.rewriting import attached, rewritten
from halo.relations.signature import Key, Signal
from halo.relations.substitution import Candidate


@dataclass(frozen=True)
class Proved:
    """The candidate holds: gradients agree up to the factor; `values` says whether the values do too."""

    candidate: Candidate
    values: bool


@dataclass
class Prover:
    """Decides candidates for making `right` into `left`."""

    left: Signal
    right: Signal

    def __post_init__(self) -> None:
        self.view, self.s = self.left.view, self.left.view.s
        self.detached: dict[Node, Node] = {}
        self.known: list[Node] = []

    def outside(self, candidate: Candidate) -> str:
        """Which value of the candidate is not shown to lie in its parameter's domain (the factor: to be positive); empty if none."""
        for name, value in candidate.values.items():
            declared = self.right.view.graph.parameters[name].domain
            if not self._lies_in(value, Span.of(Interval.parse(declared))):
                return f"{name} outside its domain {declared}"
        if sign_of(candidate.scale, self.view.box, strict=True) != 1:
            return "a factor that is not positive"
        return ""

    def _lies_in(self, value: Node, domain: Span) -> bool:
        """By its range, else by the sign of what is left to each end."""
        if within(Calculus(self.view.box).span(value), domain):
            return True
        above = domain.low == -inf or self._is_above(self.s.call("sub", value, self.s.number(Fraction(domain.low))), domain.low_open)
        below = domain.high == inf or self._is_above(self.s.call("sub", self.s.number(Fraction(domain.high)), value), domain.high_open)
        return above and below

    def _is_above(self, gap: Node, strict: bool) -> bool:
        if strict:
            return sign_of(gap, self.view.box, strict=True) == 1
        return sign_of(gap, self.view.box) in (0, 1)

    def proved(self, candidate: Candidate) -> Proved | None:
        """The candidate with its proof, or None if there is none."""
        values = {self.right.free[name]: value for name, value in candidate.values.items()}
        keys = dict.fromkeys([*self._moving(self.left), *self._moving(self.right)])
        right = {self._key(key, values): key for key in keys}
        same_value = True
        for key in keys:
            if right.get(key) is None:
                return None
            pairs = zip(self._at(self.left, key, {}), self._at(self.right, right[key], values), strict=False)
            for mine, other in pairs:
                found = self._teaches_nothing(self.s.call("sub", mine, self.s.call("mul", candidate.scale, other)))
                if found is None:
                    return None
                same_value = same_value and found
        same_value = same_value and not self._still(keys)
        return Proved(candidate, same_value)

    def _key(self, key: Key, values: Mapping[Node, Node]) -> Key:
        return tuple(rewritten(self.view, count, values) for count in key[0]), key[1]

    def _at(self, side: Signal, key: Key, values: Mapping[Node, Node]) -> Sequence[Node]:
        zero = self.s.number(0)
        nodes = side.parts.get(key) or tuple(zero for _ in range(len(side.alone)))
        return [self._canonical(rewritten(self.view, node, values)) for node in nodes]

    def _moving(self, side: Signal) -> list[Key]:
        """The keys under which something has a gradient."""
        return [key for key, nodes in side.parts.items() if any(attached(node) for node in nodes)]

    def _still(self, keys: Mapping[Key, None]) -> bool:
        """Whether a side has summands without any gradient under other keys: the values are then not compared."""
        others = [nodes for side in (self.left, self.right) for key, nodes in side.parts.items() if key not in keys]
        return any(not is_number(node, 0) for nodes in others for node in nodes)

    # -- one difference --------------------------------------------------------------------------------------------------

    def _teaches_nothing(self, difference: Node) -> bool | None:
        """True: it is 0; False: it has no gradient; None: neither was shown."""
        box = self.view.box
        plain = self._symbols(difference)
        if is_zero(self.s, plain, box) is True or (has_kinks(plain) and is_zero_in_cases(self.s, plain, box)):
            return True
        if self._free_of_policy(plain) or self._flat(difference):
            return is_zero(self.s, self.view.unstopped(difference), box)
        return None

    def _flat(self, difference: Node) -> bool:
        """Whether each gradient vanishes."""
        slopes = (self.view.unstopped(self.s.derivative(difference, v)) for v in attached(difference))
        return all(is_zero(self.s, slope, self.view.box) is True for slope in slopes)

    def _free_of_policy(self, difference: Node) -> bool:
        """Whether no attached quantity is left in the normal form."""
        algebra, moving = Algebra(self.view.box), set(attached(difference))
        try:
            left = sympy.cancel(sympy.together(algebra.normal(difference)))
        except OutOfReach:
            return False
        return not moving & algebra.variables_in(left)

    def _symbols(self, node: Node) -> Node:
        """Each detached quantity as a symbol of its own."""
        found = {}
        for stop in (n for n in topological_scalar(node) if n.op == "stop"):
            if stop not in self.detached:
                span = Calculus(self.view.box).span(self.view.unstopped(stop))
                self.detached[stop] = self.view.declare(self.s.variable(f"detached {len(self.detached)}"), span)
            found[stop] = self.detached[stop]
        return self.s.substitute(node, found)

    def _canonical(self, node: Node) -> Node:
        """Opaque reductions and detached quantities that are equal become one."""
        done: dict[Node, Node] = {}
        for inner in topological([node]):
            arguments = tuple(done[a] for a in inner.args)
            if inner.op in ("reduce", "stop"):
                new = rewritten(self.view, inner, dict(zip(inner.args, arguments, strict=True)))
                done[inner] = self._representative(new)
            else:
                done[inner] = rewritten(self.view, inner, dict(zip(inner.args, arguments, strict=True)))
        return done[node]

    def _representative(self, node: Node) -> Node:
        for other in self.known:
            if other is node or self._alike(other, node):
                return other
        self.known.append(node)
        return node

    def _alike(self, one: Node, other: Node) -> bool:
        """Whether two are the same of what is proved to be the same."""
        if any(getattr(one, word) != getattr(other, word) for word in ("op", "data", "slot", "batch")) or len(one.args) != len(other.args):
            return False
        gaps = (self._symbols(self.s.call("sub", a, b)) for a, b in zip(one.args, other.args, strict=True))
        return all(is_zero(self.s, gap, self.view.box) is True for gap in gaps)


def within(inner: Span, outer: Span) -> bool:
    """Whether every number of one range lies in the other."""
    low = inner.low > outer.low or (inner.low == outer.low and (inner.low_open or not outer.low_open))
    high = inner.high < outer.high or (inner.high == outer.high and (inner.high_open or not outer.high_open))
    return bool(low and high)
