"""Attacks on what is said of v along z, by values of the formula's text alone: nothing here knows how a verdict was found.

Each takes a function of z at one value of the parameters, the range of z, and the finding; it says what is against it, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from mpmath import mp, mpf

from halo.objective.schema import Interval

Function = Callable[[mpf], mpf]
DIGITS = 80
STEP = mpf(10) ** -25
"""Of a difference quotient: of 80 digits half are left, and no kink is so near by chance."""
SLACK = mpf(10) ** -20
FAR = [mpf(10) ** n for n in (1, 2, 3, 6, 12, 24)]
"""What goes to an end, in steps that even a logarithm is seen to grow by."""
USUAL = 20
"""Moderate: where a value function is seen by eye."""


@dataclass(frozen=True)
class Line:
    """v, where z can be, and whether v has a value on the whole line."""

    v: Function
    low: mpf
    high: mpf
    low_closed: bool
    high_closed: bool
    far: int
    """How many steps outwards: an exponential of an exponential has too many digits soon."""

    @classmethod
    def of(cls, v: Function, text: str, far: int = len(FAR)) -> Line:
        interval = Interval.parse(text)
        low = -mp.inf if interval.low is None else mpf(interval.low.numerator) / interval.low.denominator
        high = mp.inf if interval.high is None else mpf(interval.high.numerator) / interval.high.denominator
        return cls(v, low, high, interval.low_closed, interval.high_closed, far)

    def inside(self) -> list[mpf]:
        """Moderate places."""
        places = [mpf(n) / 3 + mpf(1) / 1009 for n in range(-3 * USUAL, 3 * USUAL)] + [mpf(n) / 2 for n in range(-12, 13)]
        return sorted(z for z in places if self.low < z < self.high)

    def towards(self, side: int) -> list[mpf]:
        """Places that go to an end; the last is the end itself where z takes it."""
        end = self.high if side > 0 else self.low
        if mp.isinf(end):
            return [side * far for far in FAR[: self.far]]
        return [end - side / far for far in FAR] + ([end] if (self.high_closed if side > 0 else self.low_closed) else [])

    def heights(self, places: Sequence[mpf], function: Function | None = None) -> list[mpf]:
        """Values there; what has none is left out."""
        found = []
        for z in places:
            try:
                value = (function or self.v)(z)
            except (ArithmeticError, ValueError, MemoryError):  # the last: an exponential of an exponential far out
                continue
            if not isinstance(value, mp.mpc) and mp.isfinite(value):
                found.append(mpf(value))
        return found

    def slope(self, z: mpf) -> mpf:
        step = STEP * min(1, abs(z - self.low), abs(z - self.high)) * (1 + abs(z))
        return (self.v(z + step) - self.v(z - step)) / (2 * step)

    def slopes_towards(self, side: int) -> list[mpf]:
        end = self.high if side > 0 else self.low
        return self.heights([z for z in self.towards(side) if z != end], self.slope)


def monotone(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    if verdict == "refuted":
        a, b = (number(witness[key]) for key in ("from", "to"))
        return "" if line.v(a) > line.v(b) else f"it does not fall from {a} to {b}"
    heights = line.heights(line.inside())
    return next((f"{a} before {b}" for a, b in pairwise(heights) if a > b + SLACK * (1 + abs(a))), "")


def concave_on_gains(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    if verdict == "refuted":
        a, c, b = (number(witness[key]) for key in ("left", "middle", "right"))
        chord = line.v(a) + (line.v(b) - line.v(a)) * (c - a) / (b - a)
        return "" if 0 < a < c < b and line.v(c) < chord else f"{c} lies above the chord from {a} to {b}"
    gains = [z for z in line.inside() if z > 0]
    for a, c, b in zip(gains, gains[1:], gains[2:], strict=False):
        chord = line.v(a) + (line.v(b) - line.v(a)) * (c - a) / (b - a)
        if line.v(c) < chord - SLACK * (1 + abs(chord)):
            return f"it sags at {c}"
    return ""


def bounded(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    """Above, since the sign is -1."""
    if verdict == "refuted":
        return "" if _grows(line, line.v, witness) else "it is nowhere large"
    ends = [line.heights(line.towards(side)) for side in (-1, 1)]
    climbs = any(heights[-1] > heights[-2] + 1 > heights[-3] + 2 for heights in ends if len(heights) > 2)
    return f"it climbs to {max(map(max, ends))}" if climbs else ""


def lipschitz(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    slopes = [line.slopes_towards(side) for side in (-1, 1)]
    if verdict == "refuted":
        steep = _grows(line, lambda z: abs(line.slope(z)), witness)
        return "" if steep else "it is nowhere steep"
    largest = max(map(abs, [*line.heights(line.inside(), line.slope), *slopes[0], *slopes[1]]), default=mpf(0))
    if value is not None and largest > abs(value(mpf(0))) + SLACK * (1 + largest):
        return f"a slope of {largest}"
    climbs = any(abs(s[-1]) > abs(s[-2]) + 1 > abs(s[-3]) + 2 for s in slopes if len(s) > 2)
    return f"slopes up to {largest}" if climbs else ""


def saturates(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    last = [abs(slopes[-1]) if slopes else mpf(0) for slopes in map(line.slopes_towards, (-1, 1))]
    if verdict == "proved":
        return f"slopes of {last}" if max(last) > mpf("1e-3") else ""
    return "" if max(last) > mpf("1e-9") else f"slopes of {last}"


def finite_optimum(line: Line, verdict: str, witness: Mapping[str, str], value: Function | None) -> str:
    """The loss is -v, so that what is least is v's highest point."""
    inside = line.heights(line.inside())
    far = [height for side in (-1, 1) for height in line.heights([*line.towards(side), *(side * mpf(x) for x in (30, 50) if line.low < side * x < line.high)])]
    taken = [mpf(end) for end, closed in ((line.low, line.low_closed), (line.high, line.high_closed)) if closed]
    inside += line.heights(taken)
    if verdict == "refuted":
        if "pole" in witness:
            return ""
        return "" if max(far) >= max(inside) or _grows(line, line.v, {}) else f"{max(inside)} is above {max(far)}"
    best = max(inside) if value is None else line.v(value(mpf(0)))
    return f"{best} is below {max(inside + far)}" if max(inside + far) > best + SLACK * (1 + abs(best)) else ""


def _grows(line: Line, function: Function, witness: Mapping[str, str]) -> bool:
    """Whether it is large towards an end, or where it is said to have a pole."""
    if "from" in witness:
        a, b = (number(witness[key]) for key in ("from", "to"))
        return max(line.heights([a, b, (a + b) / 2], function), default=mpf(0)) > 1000
    ends = [line.heights([z for z in line.towards(side) if z not in (line.low, line.high)], function) for side in (-1, 1)]
    return max(map(max, filter(None, ends)), default=mpf(0)) > 1000 or _climbs(ends)


def _climbs(ends: list[list[mpf]]) -> bool:
    """A logarithm is 55 at 10**24."""
    return any(heights[-1] > 20 + heights[0] for heights in ends if len(heights) > 1)


def number(text: str) -> mpf:
    exact = Fraction(text)
    return mpf(exact.numerator) / exact.denominator


ATTACKS = {
    "monotone": monotone, "concave_on_gains": concave_on_gains, "bounded": bounded, "lipschitz": lipschitz, "saturates": saturates,
    "finite_optimum": finite_optimum,
}  # fmt: skip
