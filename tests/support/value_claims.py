"""What is said of a value function, attacked at the z of random whole batches and beside them, through `reader`. Nothing of the checks.

As in `batch_claims`: in words what was found against a claim; nothing where nothing was; None where it was not attacked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from mpmath import mp, mpf
from reader import Loss, Site, TooLarge
from reading import read
from whole_batches import Shape, inputs, parameters

from halo.loss.function import LossFunction
from halo.loss.inputs import LossInputs

DIGITS = 60
STEP = mpf(10) ** -25
SEEN = mpf(10) ** -12
"""Relative; a difference quotient of this step is right to 20 digits or more where v is smooth."""
JUMP = mpf(10) ** 15
"""A difference quotient as large as this was taken across a jump, where v has no slope."""
PIECES = 6
TRIES = 8
SIZES = (1e-12, 1e-6, 1e-3, 1.0, 20.0, 1e3, 1e6)
"""Nats of a token, from what is all but sure to what no float32 sum can hold."""
LINE = (-50, -3, -1, "-0.5", 0, "0.5", 1, 3, 50)
AWAY = ("0", "1e-6", "0.01", "0.3", "1", "4", "30")


class Place(NamedTuple):
    """A completion (or a token of it) whose v is asked for: the term's file on its batch, the example, where it stands, and its z."""

    loss: Loss
    example: int
    site: Site
    token: int | None
    z: mpf

    def v(self, z: mpf) -> Any:
        return self.loss.at(self.loss.key("value", self.site.role, ""), self.example, self.site, {"z": z}, self.token)

    def pull(self) -> int:
        """+1 where the loss falls as v falls, -1 where it falls as v rises, 0 where v does nothing."""
        weight = _real(lambda: self.loss.at(self.loss.key("weight", self.site.role, 1), self.example, self.site, t=self.token))
        return int(mp.sign(weight or 0)) * int(self.loss.key("sign", self.site.role, 0))

    def slope(self, z: mpf) -> Any:
        step = STEP * (1 + abs(z))
        return (self.v(z + step) - self.v(z - step)) / (2 * step)

    def on_line(self, z: mpf) -> bool:
        """Whether v has a real value there."""
        return _real(lambda: self.v(z)) is not None

    def named(self) -> str:
        """What a witness is told by."""
        return f"z = {mp.nstr(self.z, 8)}, { ({k: float(x) for k, x in self.loss.parameters.items()}) }, {self.site.role}"


def _real(ask: Any) -> mpf | None:
    try:
        value = ask()
    except (ZeroDivisionError, TooLarge, ValueError, OverflowError):
        return None
    return value if isinstance(value, mpf) and mp.isfinite(value) else None


def places(
    loss: LossFunction,
    rng: random.Random,
    scope: str,
    sizes: tuple[float | tuple[float, ...] | None, ...] = (None,) * TRIES,
    numbers: Mapping[str, float] | None = None,
    tokens: int = 5,
) -> Iterator[Place]:
    """The completions of random batches whose v a scope names; a batch for each of the sizes of its tokens. `numbers` of parameters are kept to."""
    for size in sizes:
        batch: LossInputs = inputs(loss, rng, Shape(rng.choice([1, 2, 3]), tokens), scale=size)
        whole = read(loss, batch, {**parameters(loss, rng), **(numbers or {})})
        for name, term in zip(whole.file.get("terms") or ["main"], whole.terms(), strict=False):  # no terms at all: regularizers alone
            for role, i, site in term._sites(term.file.get("role")):
                if scope not in ("v", "loss") and not {role, f"{name}/{role}", name} & set(scope.removeprefix("v of ").split(", ")):
                    continue
                for t in term._places_of_tokens(term._texts(role), i, site):
                    z = _real(lambda term=term, i=i, site=site, t=t: term.z(i, site, t))
                    if z is not None:
                        yield Place(term, i, site, t, z)


def monotone(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """v never falls: on the whole line, or where z can be if v is not defined on all of it."""
    found = list(places(loss, rng, claim.scope))
    low, high = min((place.z for place in found), default=0), max((place.z for place in found), default=0)
    for place in found:
        points = sorted(place.z + side * mpf(d) for d in AWAY for side in (-1, 1))
        if not all(place.on_line(mpf(z)) for z in LINE):
            points = [z for z in points if low <= z <= high]
        values = [(z, v) for z in points if (v := _real(lambda z=z, place=place: place.v(z))) is not None]
        for (a, va), (b, vb) in pairwise(values):
            if va > vb + SEEN * (1 + abs(va)) and _pole(place, a, b) is None:  # on either side of a pole v is asked for itself
                return f"v({mp.nstr(a, 6)}) = {mp.nstr(va, 12)} > v({mp.nstr(b, 6)}) = {mp.nstr(vb, 12)}, {place.named()}"
    return ""


def concave_on_gains(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """No value lies below a chord, for z > 0. Where no batch has such a z, nothing is asked."""
    found = list(places(loss, rng, claim.scope))
    if all(place.z <= 0 for place in found):
        return ""
    for place in found:
        for d in map(mpf, ("0.01", "0.3", "2")):
            c = abs(place.z) + d * mpf("1.001")
            sides = [_real(lambda z=z, place=place: place.v(z)) for z in (c - d, c, c + d)]
            if None not in sides:
                low, middle, high = sides
                if middle < (low + high) / 2 - SEEN * (1 + abs(low) + abs(high)) and _pole(place, place.z, c + d) is None:  # type: ignore[operator]
                    return f"v bends up at {mp.nstr(c, 8)}, {place.named()}"
    return ""


def bounded(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """v keeps to the range that is said, at every z that a batch has."""
    said = str(claim.value)
    if not (said[:1] in "[(" and said[-1:] in ")]"):
        return None
    low, high = (_number(end) for end in said[1:-1].split(","))
    for place in places(loss, rng, claim.scope):
        value = _real(lambda place=place: place.v(place.z))
        if value is not None and not low - SEEN <= value <= high + SEEN:
            return f"v = {mp.nstr(value, 12)}, {place.named()}"
        if (place.pull() > 0 and low == -mp.inf) or (place.pull() < 0 and high == mp.inf):
            return f"the loss falls with v on the side where {said} has no end, {place.named()}"
    return ""


def _number(text: str) -> mpf:
    """An end as it is written: a fraction, a decimal number, an infinity."""
    above, _, below = text.strip().replace("oo", "inf").partition("/")
    return mpf(above) / mpf(below or 1)


def lipschitz(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """No slope at a z that a batch has is larger than the bound, where that was found."""
    if claim.value is None:
        return None
    for place in places(loss, rng, claim.scope):
        best = _real(lambda place=place: _bound(place, str(claim.value)))
        slope = _real(lambda place=place: place.slope(place.z))
        if best is None or slope is None:
            continue
        if best * (1 + SEEN) + SEEN < abs(slope) < JUMP:
            return f"a slope of {mp.nstr(slope, 12)}, and not {mp.nstr(best, 12)} at most, {place.named()}"
    return ""


def _bound(place: Place, said: str) -> Any:
    try:
        return _number(said)
    except ValueError:
        return place.loss.at(said.replace("re(", "("), place.example, place.site)


def finite_optimum(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """Where a number is said to be the best difference of scores, batches reach it, or come as near as they like."""
    reached = differences(loss, rng)
    if reached is None:
        return None
    try:
        best = _number(str(claim.value).removeprefix("h >= "))
    except ValueError:
        return None
    if not reached[0] <= best <= reached[1] and not _near(best, reached):
        return f"h = {mp.nstr(best, 8)}, and scores differ by {mp.nstr(reached[0], 8)} to {mp.nstr(reached[1], 8)}"
    return ""


def differences(loss: LossFunction, rng: random.Random) -> list[mpf] | None:
    """The least and the greatest difference of scores that random pairs of every size have."""
    if not loss.feedback.is_pair or loss.compiled.objective.values.get("reference_point") != "rejected":
        return None
    reached = [mp.inf, -mp.inf]
    for size in SIZES:
        for _ in range(4 * TRIES):
            whole = read(loss, inputs(loss, rng, Shape(1, rng.choice([1, 5])), scale=size), {})  # one token alone takes what it is clipped to
            own, other = (
                _real(lambda role=role, whole=whole: whole.at(whole.key("reward", role, ""), 0, role)) for role in ("chosen", "rejected")
            )
            if own is not None and other is not None:
                reached = [min(reached[0], own - other), max(reached[1], own - other)]
    return reached


def _near(best: mpf, reached: list[mpf]) -> bool:
    """An end of a range is reached within a tenth of it: random batches come no closer."""
    return min(abs(best - end) for end in reached) <= max(map(abs, reached)) / 10


def domain(loss: LossFunction, rng: random.Random, claim: Any) -> str | None:
    """Between two z that batches have, v has no pole: 1/v does not change its sign by way of 0."""
    found = list(places(loss, rng, "v"))
    for place, other in pairwise(found):
        a, b = sorted((place.z, other.z))
        zs = [a + (b - a) * k / PIECES for k in range(PIECES + 1)]
        for low, high in pairwise(zs):
            pole = _pole(place, low, high)
            if pole is not None:
                return f"v has a pole at z = {mp.nstr(pole, 12)}, {place.named()}"
    return ""


def _pole(place: Place, low: mpf, high: mpf) -> mpf | None:
    """Where v changes its sign without being 0, by bisection."""
    ends = [_real(lambda z=z, place=place: place.v(z)) for z in (low, high)]
    if ends[0] is None or ends[1] is None or ends[0] * ends[1] >= 0:
        return None
    start = min(map(abs, ends))
    for _ in range(120):
        middle = (low + high) / 2
        value = _real(lambda z=middle: place.v(z))
        if value is None:
            return middle
        if value * ends[0] > 0:
            low = middle
        else:
            high = middle
    value = _real(lambda: place.v(low))
    return low if value is None or abs(value) > (1 + start) * mpf(10) ** 9 else None


def only_too_large(loss: LossFunction, batch: LossInputs, numbers: Mapping[str, float]) -> bool:
    """Whether the loss of a batch is a number, past the largest float (an exponential of an exponential)."""
    with mp.workdps(DIGITS):
        try:
            return bool(mp.isfinite(read(loss, batch, numbers).total()))
        except TooLarge:
            return True
        except (ZeroDivisionError, ValueError):
            return False


def without_value(loss: LossFunction, batch: LossInputs, numbers: Mapping[str, float]) -> bool:
    """Whether some z of a batch is no number, which a bounded v would hide (`log(0)` in a margin)."""
    whole = read(loss, batch, numbers)
    for term in whole.terms():
        for role, i, site in term._sites(term.file.get("role")):
            if any(_real(lambda term=term, i=i, site=site, t=t: term.z(i, site, t)) is None for t in term._places_of_tokens(term._texts(role), i, site)):
                return True
    return False


# -- refutations -----------------------------------------------------------------------------------------------------------

MANY = 10
"""Batches of each size: most refutations are shown by one of the first."""
STEEP, FAR, LONG = 12, 8, 400
"""What sizes from 1e-12 to 1e6 must show of a slope, and of a value, without bound: their logarithms are -27 and 14."""


def _near_and_long(loss: LossFunction, rng: random.Random, claim: Any, numbers: Mapping[str, float]) -> Iterator[Place]:
    """Batches of every size, of several sizes, and long ones: what is clipped by token grows with the tokens alone."""
    yield from places(loss, rng, claim.scope, SIZES * MANY, numbers)
    yield from places(loss, rng, claim.scope, (SIZES,) * MANY * 4, numbers)
    yield from places(loss, rng, claim.scope, (20.0,) * TRIES * 3, numbers, LONG)


def steep(loss: LossFunction, rng: random.Random, claim: Any, numbers: Mapping[str, float]) -> str | None:
    """v' is said to have no bound: somewhere in a batch it is large."""
    found = [mpf(0)]
    for place in _near_and_long(loss, rng, claim, numbers):
        slope = _real(lambda place=place: place.slope(place.z))
        if slope is None or abs(slope) > STEEP:
            return ""
        found.append(abs(slope))
    if domain(loss, rng, claim) or _beside_a_pole(loss, rng, claim, numbers):  # between two batches there is a pole
        return ""
    return f"no slope of v is larger than {mp.nstr(max(found), 6)} in batches of every size"


def far(loss: LossFunction, rng: random.Random, claim: Any, numbers: Mapping[str, float]) -> str | None:
    """v is said to have no bound on the side that the loss falls towards: somewhere in a batch it is far out."""
    found = [mpf(0)]
    for place in _near_and_long(loss, rng, claim, numbers):
        value = _real(lambda place=place: place.v(place.z))
        if value is None or -place.pull() * value > FAR:
            return ""
        found.append(-place.pull() * value)
    moderate = places(loss, rng, claim.scope, (1e-3, 1.0, 20.0) * MANY, numbers)
    if max(found) > 1 + max((-place.pull() * (_real(lambda place=place: place.v(place.z)) or 0) for place in moderate), default=0):
        return ""  # it grows as slowly as a logarithm of what is nearly sure
    if domain(loss, rng, claim) or _beside_a_pole(loss, rng, claim, numbers):
        return ""
    return f"v goes no further than {mp.nstr(max(found), 6)} in batches of every size"


def _beside_a_pole(loss: LossFunction, rng: random.Random, claim: Any, numbers: Mapping[str, float]) -> bool:
    """Whether the places `from` and `to` of a witness lie among the z of batches, and v is far out at one of them."""
    if not {"from", "to"} <= set(numbers):
        return False
    found = list(places(loss, rng, claim.scope, (0.3, 1.0, 3.0) * 40 * MANY, numbers))
    ends = mpf(numbers["from"]), mpf(numbers["to"])
    if not found or not min(place.z for place in found) <= min(ends) or not max(place.z for place in found) >= max(ends):
        return False
    return any(-found[0].pull() * (_real(lambda z=z: found[0].v(z)) or 0) > FAR for z in ends)


def endless(loss: LossFunction, rng: random.Random, claim: Any, numbers: Mapping[str, float]) -> str | None:
    """The loss of a sure preference is said to fall for ever: differences of scores have no end on that side."""
    reached = differences(loss, rng)
    if reached is None or claim.value not in ("+oo", "-oo"):
        return None
    end = reached[1] if claim.value == "+oo" else -reached[0]
    if end < 10**3:
        return f"h = {claim.value}, and scores differ by {mp.nstr(reached[0], 8)} to {mp.nstr(reached[1], 8)}"
    return ""


VALUE_REFUTED = {"lipschitz": steep, "bounded": far, "finite_optimum": endless}
VALUE_CLAIMS = {
    "finite_optimum": finite_optimum,
    "monotone": monotone,
    "concave_on_gains": concave_on_gains,
    "bounded": bounded,
    "lipschitz": lipschitz,
}
