"""The one evaluator of scalars on numbers: floats to search fast, as many digits as one likes, or enclosures to be sure.

Two precisions that agree prove nothing (`(exp(300) + x) - exp(300)` is 0 in 60 and in 90 digits), and at a threshold
rounding picks the branch of a `where`. Enclosures do neither: they widen, and a comparison that they do not settle is said
to be unknown. A value that is too wide is computed again with more digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from mpmath import mp, mpf

from halo.analysis.numbers.intervals import Enclosures, Unknown
from halo.analysis.numbers.rationals import Nothing
from halo.analysis.scalar import LEAVES
from halo.compiler.graph import Node

PRECISIONS = (260, 1_000, 3_000)
"""Bits, tried in turn."""

FAILURES = (ArithmeticError, ValueError, Nothing, Unknown)


class Numbers(Protocol):
    """A kind of number: what a fraction becomes, the functions of the language, and what stands for a value that there is not."""

    def number(self, value: Fraction) -> Any: ...

    def function(self, word: str) -> Callable[..., Any]: ...

    def lost(self, value: Any) -> bool: ...

    def nothing(self, error: Exception) -> Any: ...


class Program:
    """Scalars as one straight run of steps: read once, evaluated at many points."""

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node], numbers: Numbers) -> None:
        self.numbers = numbers
        self.place = {node: index for index, node in enumerate(inputs)}
        self.steps: list[tuple[Callable[..., Any], list[int]]] = []
        for output in outputs:
            self._add(output)
        self.outputs = [self.place[node] for node in outputs]

    def _add(self, node: Node) -> None:
        if node in self.place:
            return
        arguments = node.args if node.op not in LEAVES else ()
        for argument in arguments:
            self._add(argument)
        self.steps.append((_step(node, self.numbers), [self.place[a] for a in arguments]))
        self.place[node] = len(self.place)

    def run(self, given: Sequence[Any]) -> list[Any]:
        """The inputs and then the value of every step. What has no value is what the numbers call nothing."""
        held = list(given)
        for function, places in self.steps:
            try:
                held.append(function(*[held[i] for i in places]))
            except FAILURES as error:
                held.append(self.numbers.nothing(error))
        return held

    def __call__(self, given: Sequence[Any]) -> list[Any]:
        """The outputs, for values of the inputs in their order."""
        held = self.run(given)
        return [held[i] for i in self.outputs]


def _step(node: Node, numbers: Numbers) -> Callable[..., Any]:
    """What a node does to its arguments. A value that there is not goes on, except from the branch that is not taken."""
    if node.op == "number":
        value = numbers.number(node.data)
        return lambda: value
    if node.op == "stop":
        return lambda x: x
    if node.op != "apply":
        raise KeyError(f"no value for {node.data}")
    lost = numbers.lost
    if node.data == "where":

        def choose(condition: Any, yes: Any, no: Any) -> Any:
            if lost(condition):
                return condition
            return yes if condition else no

        return choose
    function = numbers.function(node.data)

    def apply(*arguments: Any) -> Any:
        for argument in arguments:
            if lost(argument):
                return argument
        return function(*arguments)

    return apply


@lru_cache(maxsize=256)  # a search asks for the same scalars at dozens of points, one after the other
def _program(outputs: tuple[Node, ...], inputs: tuple[Node, ...], numbers: Numbers) -> Program:
    return Program(outputs, inputs, numbers)


def values(outputs: Sequence[Node], point: Mapping[Node, Any], numbers: Numbers) -> dict[Node, Any]:
    """Every node under the outputs. A value of the point is a fraction, or a number of the kind already."""
    program = _program(tuple(outputs), tuple(point), numbers)
    given = [numbers.number(value) if isinstance(value, Fraction) else value for value in point.values()]
    return dict(zip(program.place, program.run(given), strict=True))


def enclosed(node: Node, point: Mapping[Node, Fraction], bits: int) -> Any:
    """The value, or an interval that surely holds it. Raises Nothing or Unknown."""
    value = values([node], point, Enclosures(bits))[node]
    if isinstance(value, Exception):
        raise value
    return value


def sure_value(node: Node, point: Mapping[Node, Fraction]) -> mpf | None:
    """The value to more than 40 digits (of 1 + itself), or None: it has none, or that many were not reached."""
    for bits in PRECISIONS:
        try:
            value = enclosed(node, point, bits)
        except Nothing:
            return None
        except Unknown:
            continue
        with mp.workdps(90):
            if isinstance(value, Fraction):
                return mpf(value.numerator) / value.denominator
            low, high = (mp.make_mpf(end) for end in value)
            if mp.isfinite(low) and mp.isfinite(high) and high - low <= mpf(10) ** -40 * (1 + abs(low)):
                return (low + high) / 2
    return None


def surely_below(low: mpf | None, high: mpf | None) -> bool:
    """Whether low < high by more than rounding could explain."""
    return low is not None and high is not None and high - low > mpf(10) ** -30 * (1 + abs(low) + abs(high))


def nowhere(node: Node, point: Mapping[Node, Fraction]) -> bool:
    """Whether the scalar surely has no value at the point."""
    for bits in PRECISIONS:
        try:
            enclosed(node, point, bits)
        except Nothing:
            return True
        except Unknown:
            continue
        return False
    return False
