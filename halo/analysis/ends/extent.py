"""Where z can be: its range over all inputs, and what is known of the two ends of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isfinite

import sympy

from halo.analysis.curvature import Box, Calculus
from halo.analysis.ends.far import Tail
from halo.analysis.ends.limits import limit, tail
from halo.analysis.ends.poles import Pole, pole
from halo.analysis.identity import shown
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import COUNTED, points
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import LEAVES, Scalars, topological_scalar, variables
from halo.analysis.values import values
from halo.compiler.graph import Node
from halo.objective.vocabulary import jumping

SIDES = (-1, 1)
EXACT = 10**12
"""A computed end is rounded outwards and has a longer denominator: of such a one it is not known that z comes near it."""
FAR = (10**6, 10**12)
SAMPLES = 6
"""Values of the parameters at which a refutation is looked for where none holds for all of them."""


@dataclass(frozen=True)
class Extent:
    """One v along its z. `arguments` are the z of the parts that use it, over the inputs; `known` is what else is known of all of them."""

    s: Scalars
    value: Node
    z: Node
    arguments: tuple[Node, ...]
    inputs: Box
    first: Mapping[Node, list[Fraction]]
    fixed: Mapping[Node, Fraction]
    known: Span = REALS

    @cached_property
    def span(self) -> Span:
        """A range that holds every z."""
        result: Span | None = None
        for argument in self.arguments:
            own = Calculus(self.inputs).span(argument)
            result = own if result is None else result.joined(own)
        return (result or REALS).within(self.known) or self.known

    @cached_property
    def box(self) -> Box:
        """The ranges of all variables, that of z among them."""
        return {**self.inputs, self.z: self.span}

    @cached_property
    def closure(self) -> Box:
        """The same with the ends of the range of z, where these are numbers."""
        return {**self.inputs, self.z: Span(self.span.low, self.span.high)}

    @cached_property
    def slope(self) -> Node:
        """v', where v has one."""
        return self.s.derivative(self.value, self.z)

    def end(self, side: int) -> Fraction | float:
        """The end of the range: a number or infinite."""
        return self.span.high if side > 0 else self.span.low

    def closed(self, side: int) -> bool:
        """Whether that end belongs to the range."""
        return not (self.span.high_open if side > 0 else self.span.low_open)

    def reached(self, side: int) -> bool:
        """Whether z surely comes as near to the end as one likes, whatever the values of the parameters."""
        return self._reached[side]

    @cached_property
    def _reached(self) -> dict[int, bool]:
        return {side: any(self._comes_near(argument, side) for argument in self.arguments) for side in SIDES}

    def _comes_near(self, argument: Node, side: int) -> bool:
        end = self.end(side)
        if isinstance(end, float):
            return any(self._drives(argument, v, way, side) for v, way in self._drivers(argument))
        span = Calculus(self.inputs).span(argument)
        if (span.high if side > 0 else span.low) != end or end.denominator > EXACT:
            return False
        return _is_exact(argument)

    def _drives(self, argument: Node, v: Node, way: int, side: int) -> bool:
        """Whether z goes to that end with v, for all values of the parameters: whatever the other inputs are, or at some of them."""
        others = [other for other in variables(argument) if other is not v and other.op != "parameter"]
        for point in points(self.inputs, others, SAMPLES, self.first):  # numbers first: their limits are the cheaper ones
            there = self.s.substitute(argument, {other: self.s.number(x) for other, x in point.items()})
            if self._is_endless(there, v, way, side):
                return True
        return self._is_endless(argument, v, way, side)

    def _is_endless(self, argument: Node, v: Node, way: int, side: int) -> bool:
        """Whether it goes to that end with v. Where floats do not rise at some numbers, no limit is worth its time."""
        others = [other for other in variables(argument) if other is not v]
        point = next(iter(points(self.inputs, others, 1, self.first)), {})
        near, far = (values([argument], {**point, v: Fraction(way * size)}, DOUBLES)[argument] for size in FAR)
        if isfinite(near) and side * near >= side * far:
            return False
        return bool(limit(self.s, argument, v, self.inputs, way) == side * sympy.oo)

    def _drivers(self, argument: Node) -> Iterator[tuple[Node, int]]:
        """What may move z without end, and which way."""
        for v in variables(argument):
            span = self.inputs.get(v, REALS)
            if v.op != "parameter":
                yield from ((v, way) for way, end in ((-1, span.low), (1, span.high)) if isinstance(end, float))

    def tail(self, node: Node, side: int) -> Tail | None:
        """How a function of z ends at that end, for all parameters; None if not found."""
        end = self.end(side)
        at = None if isinstance(end, float) else self.s.number(end)
        return tail(self.s, node, self.z, self.inputs, side, at)

    def pole(self, node: Node) -> Pole | None:
        """A pole of a function of z that z surely comes near."""
        between = self._passed_through
        if between is None:
            return None
        for point in self.points(node):
            found = pole(self.s, node, self.z, between, point)
            if found is not None:
                return found
        return None

    @cached_property
    def _passed_through(self) -> Span | None:
        """A range of which z takes every value, if one is known; lengths do not pass from one number to the next."""
        (argument, *others) = self.arguments
        jumps = any(inner.op == "apply" and jumping(inner.data) for inner in topological_scalar(argument))
        if others or jumps or not all(self.reached(side) for side in SIDES):
            return None
        single = {v: Span.point(1) for v in variables(argument) if v.op == "input" and v.data in COUNTED}
        found = Calculus({**self.inputs, **single}).span(argument)
        ends = found.low == self.span.low and found.high == self.span.high
        return Span(found.low, found.high, True, True) if ends else None

    def points(self, node: Node) -> list[dict[Node, Fraction]]:
        """Values of the parameters, usual ones first; none where v depends on more than z and parameters."""
        own = [v for v in variables(node) if v is not self.z]
        if any(v.op != "parameter" for v in own):
            return []
        return points(self.inputs, own, SAMPLES, self.first)

    @cached_property
    def samples(self) -> list[Extent]:
        """The same at single values of the parameters, of v and of z."""
        own = list(dict.fromkeys(v for node in (self.value, *self.arguments) for v in variables(node) if v.op == "parameter"))
        if not own or self.fixed:
            return []
        return [self._at(point) for point in points(self.inputs, own, SAMPLES, self.first)]

    def _at(self, point: dict[Node, Fraction]) -> Extent:
        numbers = {v: self.s.number(x) for v, x in point.items()}
        arguments = tuple(self.s.substitute(argument, numbers) for argument in self.arguments)
        return Extent(self.s, self.s.substitute(self.value, numbers), self.z, arguments, self.inputs, self.first, point, self.known)

    def place(self, side: int) -> str:
        """The end in words."""
        end = self.end(side)
        if isinstance(end, float):
            return "+oo" if side > 0 else "-oo"
        return f"z = {end}"

    def said(self) -> str:
        """For which values of the parameters it is asked, where not for all of them."""
        if not self.fixed:
            return ""
        return " at " + ", ".join(f"{shown(v)} = {x}" for v, x in self.fixed.items())


def _is_exact(node: Node) -> bool:
    """Whether the range of a scalar is exactly that of its rules: continuous, and made of quantities that each stand in it once.

    A mean over tokens has the range of what it is of: all tokens may be alike. Nothing else of that completion may stand beside it.
    """
    uses: Counter[Node] = Counter()
    inside: list[str] = []
    beside: list[str] = []

    def count(current: Node, slots: list[str]) -> bool:
        if current.op == "reduce" and current.data == "mean" and current.slot:
            return count(current.args[0], inside)
        if current.op in LEAVES:
            uses[current] += current.op != "number"
            slots.append(current.slot)
            return current.op in ("number", "input")
        return current.op == "apply" and current.data not in ("where", "sign") and all(count(a, slots) for a in current.args)

    return count(node, beside) and max(uses.values(), default=0) <= 1 and not {slot for slot in inside if slot} & set(beside)
