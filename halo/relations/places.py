"""Scalars in floats at places of the box: repeatable samples, and a value at each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

from halo.analysis.evaluate import FloatMath
from halo.analysis.ranges import REALS, Span
from halo.analysis.scalar import COMPARE, topological_scalar
from halo.compiler.graph import Node
from halo.objective.vocabulary import FUNCTIONS

PLACES = 7
"""Points of data that a candidate must agree on."""


class Floats:
    """Scalars as one straight program on floats; what has no value is nan."""

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
        order = list(dict.fromkeys(node for output in outputs for node in topological_scalar(output)))
        place = {node: index for index, node in enumerate([*inputs, *(n for n in order if n not in set(inputs))])}
        self.steps = [(_function(node), [place[a] for a in node.args]) for node in place if node not in set(inputs)]
        self.outputs = [place[node] for node in outputs]

    def __call__(self, values: Sequence[float]) -> list[float]:
        """The outputs, for values of the inputs in their order."""
        held = list(values)
        for function, arguments in self.steps:
            try:
                result = function(*[held[i] for i in arguments])
            except (ArithmeticError, ValueError):
                result = math.nan
            held.append(math.nan if isinstance(result, complex) else result)
        return [held[i] for i in self.outputs]


def _function(node: Node) -> Callable[..., float]:
    if node.op == "number":
        value = float(node.data)
        return lambda: value
    if node.op == "stop":
        return lambda x: x
    if node.op != "apply":
        raise KeyError(node.data)
    if node.data in COMPARE:
        return COMPARE[node.data]
    exact = FUNCTIONS[node.data].exact
    return lambda *xs: exact(FloatMath, *xs)


def sampled(span: Span, state: int) -> Fraction:
    """An unremarkable number of a range: no saturation, no round value."""
    part = Fraction(state % 997 + 1, 1000)
    if span.bounded:
        return Fraction(span.low) + (Fraction(span.high) - Fraction(span.low)) * part
    if span.low != -math.inf:
        return Fraction(span.low) + Fraction(1, 5) + 2 * part
    if span.high != math.inf:
        return Fraction(span.high) - Fraction(1, 5) - 3 * part
    return 4 * part - Fraction(7, 4)


def walk(state: int) -> Iterator[int]:
    """A fixed sequence of numbers that look random."""
    while True:
        state = (state * 1_103_515_245 + 12_345) % 2**31
        yield state >> 8


def places(box: Mapping[Node, Span], names: Sequence[Node], count: int) -> list[dict[Node, Fraction]]:
    """Points of the data; lengths are whole."""
    numbers = walk(20_240_601)
    found = []
    for _ in range(count):
        point = {name: sampled(box.get(name, REALS), next(numbers)) for name in names}
        found.append({name: Fraction(1 + next(numbers) % 5) if name.data == "length" else x for name, x in point.items()})
    return found
