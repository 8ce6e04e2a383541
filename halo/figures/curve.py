"""The lines of a figure: v, the loss of an item and its slope over a range, with kinks, minima and the reference found.

Nothing here draws; `item` evaluates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from halo.compiler.graph import Node, Part
from halo.compiler.pipeline import CompiledObjective
from halo.errors import SettingsError
from halo.figures.item import EXACT, Against, Item, agreement
from halo.objective.schema import Interval, Parameter

SAMPLES = 401
NOTHING = 1e-20  # a slope below this is zero: its error is of order 1e-24 (`item.STEP`)
BISECTIONS = 60, 80  # of a step between samples: for a kink to a float's digits, for a minimum somewhat past them
MEANT = 1e-12  # so near a whole number or 0, a kink or minimum is meant to be there
BESIDE = "1e-9"  # how far from a kink its two sides are sampled: no pixel, and far outside the kink's own error
JUMP = 1e-6  # a larger change between the two sides is no slope times that distance


@dataclass(frozen=True)
class Curve:
    """One line of the figure. `x` is nan where the line breaks, at a kink; at a kink both sides are sampled.

    slope      -d loss / dx: how strongly the loss pulls x up
    kinks      where the value function has a corner or a jump
    optima     where the loss has a minimum in x
    reference  x where policy and reference agree; None if that depends on the data
    held       what was held at a value: its name and the value
    parameters the values it was drawn at, without the one that is varied where it changes nothing
    """

    objective: str
    term: str
    role: str
    parameters: dict[str, float]
    x: list[float]
    value: list[float]
    loss: list[float]
    slope: list[float]
    kinks: tuple[float, ...]
    optima: tuple[float, ...]
    reference: float | None
    held: tuple[tuple[str, float], ...]
    at: Callable[[float], tuple[float, float, float]]


def curves(
    compiled: CompiledObjective, low: float = -8.0, high: float = 8.0, vary: bool = True, fixed: Iterable[str] = (), against: Against = "z"
) -> list[Curve]:
    """A curve for every role of every term, and with `vary` for several values of the first parameter that matters.

    `fixed` names the parameters not to vary. Raises SettingsError for an objective without a value function.
    """
    parts = [part for part in compiled.declared.parts if not part.regularizer]
    if not parts:
        name = compiled.objective.name
        raise SettingsError(
            "wrong-value", f"{name} is regularizers only and has no value function", hint="halo show prints its mathematics"
        )
    choices = [compiled.parameters]
    if vary:
        choices = _settings(compiled, parts, fixed, against)
    found = [_curve(compiled, part, values, low, high, against) for values in choices for part in parts]
    return _merged(found)


def _merged(found: list[Curve]) -> list[Curve]:
    """Roles with one and the same curve become one line without a role; values of a parameter that change nothing, one without it."""
    result: list[Curve] = []
    for curve in found:
        index = next((i for i, known in enumerate(result) if _same(known, curve) and known.parameters == curve.parameters), None)
        if index is None:
            result.append(curve)
        else:
            result[index] = replace(result[index], role="")
    varied = {name for name in found[0].parameters if len({curve.parameters[name] for curve in found}) > 1}
    settings = len({tuple(curve.parameters.values()) for curve in found})
    once: list[Curve] = []
    for curve in result:
        alike = [c for c in result if (c.role, c.term) == (curve.role, curve.term) and _same(c, curve)]
        if len(alike) < settings or settings == 1:
            once.append(curve)
        elif alike[0] is curve:
            once.append(replace(curve, parameters={name: v for name, v in curve.parameters.items() if name not in varied}))
    return sorted(once, key=lambda curve: not varied <= set(curve.parameters))


def _same(one: Curve, other: Curve) -> bool:
    return (one.term, one.value, one.loss, one.reference) == (other.term, other.value, other.loss, other.reference)


# -- parameters --------------------------------------------------------------------------------------------------------


def _settings(compiled: CompiledObjective, parts: list[Part], fixed: Iterable[str], against: Against) -> list[dict[str, float]]:
    """The parameter values to draw: the first parameter that matters takes several, the others stay."""
    roots = [node for part in parts for node in _roots(part, against)]
    matters = {node.data for node in _above_z(roots, {part.z for part in parts}) if node.op == "parameter"}
    for name, parameter in compiled.objective.declaration.parameters.items():
        if name in matters and name not in set(fixed):
            values = several(parameter, compiled.parameters[name])
            if len(values) > 1:
                return [{**compiled.parameters, name: value} for value in values]
    return [compiled.parameters]


def several(parameter: Parameter, default: float) -> list[float]:
    """At most five values worth drawing: those the file suggests, else some inside the domain; always the default."""
    if parameter.search:
        values = sorted({float(v) for v in parameter.search} | {default})
        while len(values) > 5:
            values.remove(next(v for v in values[1:-1] if v != default))
        return values
    interval = Interval.parse(parameter.domain)
    if interval.low is not None and interval.high is not None:
        low, width = float(interval.low), float(interval.high - interval.low)
        tried = [low + width * share for share in (0.25, 0.5, 0.75)]
    else:
        ends = [end for end in (interval.low, interval.high) if end is not None]
        start = float(ends[0]) if ends else 0.0
        away = default - start or 1.0
        tried = [start + away / 2, start + away, start + away * 2]
    return sorted({value for value in tried if value in interval} | {default})


def _roots(part: Part, against: Against) -> list[Node]:
    nodes = [part.value, part.weight, part.constant]
    if against == "gap":
        nodes += [part.normalizer, part.margin]
    return [node for node in nodes if node is not None]


def _above_z(roots: list[Node], stops: set[Node | None]) -> list[Node]:
    """The nodes that the roots need, not looking below z."""
    seen: dict[Node, None] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in seen and node not in stops:
            seen[node] = None
            stack.extend(node.args)
    return list(seen)


def gap_range(compiled: CompiledObjective) -> float:
    """How far the gap must run to either side so that z runs over +-8, rounded up to 1, 2 or 5 times a power of ten."""
    items = [Item(compiled, part, compiled.parameters, "gap") for part in compiled.declared.parts if not part.regularizer]
    wanted = max((float((8 + abs(item.shift)) / abs(item.scale)) for item in items if item.scale), default=8.0)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted * 0.999)  # 10.0001 is 10, written in floats


# -- a curve -----------------------------------------------------------------------------------------------------------


def _curve(compiled: CompiledObjective, part: Part, parameters: dict[str, float], low: float, high: float, against: Against) -> Curve:
    item = Item(compiled, part, parameters, against)
    grid = [EXACT.mpf(low) + (EXACT.mpf(high) - EXACT.mpf(low)) * i / (SAMPLES - 1) for i in range(SAMPLES)]
    kinks = _kinks(item, grid)
    tiny = EXACT.mpf(high - low) * EXACT.mpf(BESIDE)
    sides = [k + side for k in kinks for side in (-tiny, tiny)]
    points: list[Any] = sorted([*(x for x in grid if x not in kinks), *(x for x in sides if low <= x <= high)])
    slopes = [number(item.slope, x) for x in points]
    optima = _optima(item, points, slopes)
    x, value, loss = [float(p) for p in points], [number(item.value, p) for p in points], [number(item.loss, p) for p in points]
    for kink in kinks:
        index = next((i for i, p in enumerate(x) if p > kink), len(x))
        for column in (x, value, loss, slopes):
            column.insert(index, math.nan)
    held = tuple(sorted(item.held.items()))

    def at(point: float) -> tuple[float, float, float]:
        return number(item.value, point), number(item.loss, point), number(item.slope, point)

    term, role = _own_name(compiled, part)
    point = agreement(part, item)
    return Curve(compiled.objective.name, term, role, parameters, x, value, loss, slopes, tuple(map(float, kinks)), optima, point, held, at)


def _own_name(compiled: CompiledObjective, part: Part) -> tuple[str, str]:
    """Term and role, each only where there are several."""
    parts = [p for p in compiled.declared.parts if not p.regularizer]
    roles = [p for p in parts if p.name == part.name]
    term = part.name if len(parts) > len(roles) else ""
    role = part.role if len(roles) > 1 else ""
    return term, role


def number(function: Callable[[Any], Any], x: Any) -> float:
    """The function as a float, nan where it is not defined."""
    result = float(function(EXACT.mpf(x)))
    if not math.isfinite(result):
        return math.nan
    return result


def _kinks(item: Item, grid: list[Any]) -> list[Any]:
    """Where a switch changes sides and the loss or its slope jumps."""
    found: list[Any] = []

    def search(a: Any, b: Any, left: tuple[bool, ...] | None, right: tuple[bool, ...] | None, depth: int) -> None:
        if left == right or left is None or right is None:
            return
        middle = (a + b) / 2
        if depth == 0:
            found.append(middle)
            return
        between = item.sides(middle)
        search(a, middle, left, between, depth - 1)
        search(middle, b, between, right, depth - 1)

    sides = [item.sides(x) for x in grid]
    for a, b, left, right in zip(grid, grid[1:], sides, sides[1:], strict=False):
        search(a, b, left, right, BISECTIONS[0])
    return [k for k in _distinct(found) if _jumps(item, k)]


def _distinct(found: list[Any]) -> list[Any]:
    """Each kink once, a whole number where it is meant as one."""
    result: list[Any] = []
    for x in sorted(_meant(x) for x in found):
        if not result or x - result[-1] > float(BESIDE):
            result.append(x)
    return result


def _meant(x: Any) -> Any:
    whole = EXACT.nint(x)
    if abs(x - whole) < MEANT:
        return whole
    return x


def _jumps(item: Item, x: Any) -> bool:
    away = EXACT.mpf(BESIDE)
    values = [abs(f(x + away) - f(x - away)) for f in (item.loss, item.slope)]
    return any(jump > JUMP for jump in values)


def _sign(slope: float) -> int:
    if math.isnan(slope) or abs(slope) < NOTHING:
        return 0
    return int(math.copysign(1, slope))


def _optima(item: Item, points: list[Any], slopes: list[float]) -> tuple[float, ...]:
    """Where the pull changes from up to down. A flat stretch is no optimum; a single point without slope is."""
    signs = [_sign(slope) for slope in slopes]
    found = []
    for i, sign in enumerate(signs[:-1]):
        after = i + 1 if signs[i + 1] else i + 2
        if sign == 1 and after < len(signs) and signs[after] == -1:
            found.append(_bisected(item, points[i], points[after]))
    return tuple(found)


def _bisected(item: Item, a: Any, b: Any) -> float:
    for _ in range(BISECTIONS[1]):
        middle = (a + b) / 2
        slope = item.slope(middle)
        if abs(slope) < NOTHING:
            return _at_zero(middle)
        if slope > 0:
            a = middle
        else:
            b = middle
    return _at_zero(a)


def _at_zero(x: Any) -> float:
    if abs(x) <= MEANT:
        return 0.0
    return float(x)
