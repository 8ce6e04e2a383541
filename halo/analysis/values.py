"""The one evaluator of scalars on numbers: floats to search fast, as many digits as one likes, or enclosures to be sure.

Two precisions that agree prove nothing (`(exp(300) + x) - exp(300)` is 0 in 60 and in 90 digits), and at a threshold
rounding picks the branch of a `where`. Enclosures do neither: they widen, and a comparison that they do not settle is said
to be unknown. A value that is too wide is computed again with more digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar, Protocol

from mpmath import mp, mpf

from halo.analysis.numbers.intervals import Enclosures, Unknown
from halo.analysis.numbers.rationals import Nothing
from halo.analysis.scalar import LEAVES
from halo.compiler.graph import Node
from halo.objective.functions import FUNCTIONS

PRECISIONS = (260, 1_000, 3_000)
"""Bits, tried in turn: 78 digits leave room for the 40 that are wanted after a usual cancellation, 900 for that of an exponential."""
DIGITS = mpf(10) ** -40
"""How narrow an enclosure must be, of 1 + itself, to be taken for a value."""
DISTINCT = mpf(10) ** -30
"""A difference above it, of 1 + both sides, is no error of values that are right to 40 digits."""

HUGE = 10**300
"""A literal of less is a float, written with as many digits as it has."""

FAILURES = (ArithmeticError, ValueError, Nothing, Unknown)


class Numbers(Protocol):
    """A kind of number: what a fraction becomes, the functions of the language, and what stands for a value that there is not.

    `plain` numbers are Python's own, for which a word has a spelling in its row.
    """

    plain: ClassVar[bool]

    def __hash__(self) -> int: ...

    def number(self, value: Fraction) -> Any: ...

    def function(self, word: str) -> Callable[..., Any]: ...

    def lost(self, value: Any) -> bool: ...

    def nothing(self, error: Exception) -> Any: ...

    def either(self, condition: Any, yes: Any, no: Any) -> Any: ...


class Program:
    """Scalars as one straight run of steps: read once, evaluated at many points."""

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node], numbers: Numbers) -> None:
        self.numbers, self.inputs = numbers, len(inputs)
        self.place = {node: index for index, node in enumerate(inputs)}
        self.steps: list[tuple[Callable[..., Any], list[int]]] = []
        for output in outputs:
            self._add(output)
        self.outputs = [self.place[node] for node in outputs]

    @cached_property
    def at_once(self) -> Callable[[Sequence[Any]], list[Any]]:
        """The steps as one Python function, for numbers that are Python's own: ten times as fast. What fails raises.

        A word that looks at its arguments (a comparison, `where`, `min`) is called as in `run`: it must see what has no value.
        """
        scope: dict[str, Any] = {"math": math}
        lines = ["def at_once(given):"]
        if self.inputs:
            lines.append(f"    {_names(range(self.inputs))} = given")
        nodes = list(self.place)[self.inputs :]
        for node, (step, places) in zip(nodes, self.steps, strict=True):
            place = self.place[node]
            scope[f"f{place}"] = step
            lines.append(f"    v{place} = {_spelt(node, places) or f'f{place}({_names(places)})'}")
        lines.append(f"    return [{_names(self.outputs)}]")
        exec("\n".join(lines), scope)  # our own text: numbers of places, and the spellings of the vocabulary
        found: Callable[[Sequence[Any]], list[Any]] = scope["at_once"]
        return found

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
        if self.numbers.plain:
            try:
                return self.at_once(given)
            except FAILURES:
                pass  # some step has no value: the others still have theirs
        held = self.run(given)
        return [held[i] for i in self.outputs]


def _step(node: Node, numbers: Numbers) -> Callable[..., Any]:
    """What a node does to its arguments. A value that there is not goes on, except from the branch that is not taken."""
    if node.op == "number":
        if numbers.plain:
            value = numbers.number(node.data)
            return lambda: value
        return partial(numbers.number, node.data)  # when it is run: digits may be of another precision by then
    if node.op == "stop":
        return lambda x: x
    if node.op != "apply":
        raise KeyError(f"no value for {node.data}")
    lost = numbers.lost
    if node.data == "where":

        def choose(condition: Any, yes: Any, no: Any) -> Any:
            if lost(condition):
                return condition
            return numbers.either(condition, yes, no)

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


def _names(places: Iterable[int]) -> str:
    return "".join(f"v{place}, " for place in places)


def _spelt(node: Node, places: Sequence[int]) -> str:
    """A word as Python writes it, where nan as an argument makes nan of it; or nothing."""
    if node.op == "number" and abs(node.data) < HUGE:
        return repr(float(node.data))
    row = FUNCTIONS.get(node.data) if node.op == "apply" else None
    if row is None or row.kink is not None or node.data in ("lt", "le", "gt", "ge", "pow"):  # a power may be complex
        return ""
    return f"({row.plain.format(*(f'v{place}' for place in places))})"


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
            if mp.isfinite(low) and mp.isfinite(high) and high - low <= DIGITS * (1 + abs(low)):
                return (low + high) / 2
    return None


def surely_below(low: mpf | None, high: mpf | None) -> bool:
    """Whether low < high by more than rounding could explain."""
    return low is not None and high is not None and high - low > DISTINCT * (1 + abs(low) + abs(high))


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
