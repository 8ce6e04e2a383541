"""An adversary of the decision procedure: thousands of random questions, every proof attacked, every witness confirmed.

Nothing of the vocabulary table or of the checks' own arithmetic is used here. `HALO_ATTACK=20000` asks that many
questions instead of those of the ordinary suite.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pytest
from independent import valued
from mpmath import mp, mpf

from halo.analysis.decide import Question, Verdict
from halo.analysis.ranges import POSITIVE, REALS, Span
from halo.analysis.scalar import Scalars
from halo.objective.formula import Formula, parse

HOW_MANY = int(os.environ.get("HALO_ATTACK", "400"))
PARTS = 7  # tests that processes share; the kinds take turns in eights, so that each part has all of them
SEED = int(os.environ.get("HALO_ATTACK_SEED", "20270114"))
FLOAT_POINTS = 1_000  # of each proof, looked at in float64; whatever looks like a violation is certified
SURE_POINTS = 6  # of each proof, certified whatever the floats say


def span(low: str, high: str, ends: str = "()") -> Span:
    """An interval as it is written: `span("0", "1/2", "[)")`."""
    sides = [float(end) if "inf" in end else Fraction(end) for end in (low, high)]
    return Span(sides[0], sides[1], ends[0] == "(", ends[1] == ")")


PARAMETERS = {
    "b": POSITIVE, "e": span("0", "1/2", "[)"), "a": span("0", "1"), "c": span("1", "inf", "[)"), "d": span("-1", "1", "[]"), "k": REALS,
}  # fmt: skip
REGIONS = [REALS, REALS, POSITIVE, POSITIVE, span("0", "inf", "[)"), span("0", "1", "[]"), span("0", "1"), span("-2", "3", "[)"), span("1/3", "5", "(]")]


# -- the test's own arithmetic -----------------------------------------------------------------------------------------


class Unsure(Exception):
    """A comparison too close to call, or no value."""


class Rough:
    """float64, a thousand points at once; what has no value is nan."""

    exp, tanh, asinh, atan, sign = np.exp, np.tanh, np.arcsinh, np.arctan, np.sign

    @staticmethod
    def alike(xs: list[Any]) -> list[Any]:
        return xs

    @staticmethod
    def number(value: Fraction) -> Any:
        return np.float64(value)

    @staticmethod
    def where(word: str, left: Any, right: Any, yes: Any, no: Any) -> Any:
        return np.where({"lt": left < right, "le": left <= right, "gt": left > right, "ge": left >= right}[word], yes(), no())

    quotient, power, log, sqrt = np.divide, np.power, np.log, np.sqrt

    @staticmethod
    def smallest(*xs: Any) -> Any:
        return np.minimum.reduce(np.broadcast_arrays(*xs))

    @staticmethod
    def softplus(x: Any) -> Any:
        return np.logaddexp(0.0, x)


class Certain:
    """Fractions as long as the value is rational, then mpmath; Unsure where rounding could decide.

    `largest` remembers what may cancel.
    """

    def __init__(self) -> None:
        self.largest = mpf(1)

    def real(self, x: Any) -> mpf:
        if isinstance(x, Fraction):
            x = mpf(x.numerator) / x.denominator
        if isinstance(x, mp.mpc) or not mp.isfinite(x):
            raise Unsure
        self.largest = max(self.largest, abs(x))
        return x

    def alike(self, xs: list[Any]) -> list[Any]:
        return xs if all(isinstance(x, Fraction) for x in xs) else [self.real(x) for x in xs]

    @staticmethod
    def number(value: Fraction) -> Fraction:
        return value

    def less(self, x: Any, y: Any) -> bool:
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x < y
        gap = self.real(x) - self.real(y)
        if abs(gap) < mpf(10) ** (-mp.dps // 2) * self.largest:
            raise Unsure
        return bool(gap < 0)

    def where(self, word: str, left: Any, right: Any, yes: Any, no: Any) -> Any:
        holds = {
            "lt": lambda: self.less(left, right), "gt": lambda: self.less(right, left),
            "le": lambda: not self.less(right, left), "ge": lambda: not self.less(left, right),
        }[word]()  # fmt: skip
        return yes() if holds else no()

    def sign(self, x: Any) -> Fraction:
        return Fraction(self.less(Fraction(0), x) - self.less(x, Fraction(0)))

    def smallest(self, *xs: Any) -> Any:
        return min(xs) if all(isinstance(x, Fraction) for x in xs) else min(map(self.real, xs))

    def quotient(self, x: Any, y: Any) -> Any:
        if y == 0:
            raise Unsure
        return x / y

    def power(self, x: Any, y: Any) -> Any:
        whole = y == int(y)
        if (x == 0 and y < 0) or (x < 0 and not whole):
            raise Unsure
        if whole and abs(y) <= 64:
            return x ** int(y)
        return self.real(mp.power(self.real(x), self.real(y)))

    def exp(self, x: Any) -> mpf:
        if abs(self.real(x)) > 10**6:
            raise Unsure
        return self.real(mp.exp(self.real(x)))

    def log(self, x: Any) -> mpf:
        if x <= 0:
            raise Unsure
        return self.real(mp.log(self.real(x)))

    def sqrt(self, x: Any) -> mpf:
        if x < 0:
            raise Unsure
        return mp.sqrt(self.real(x))

    def softplus(self, x: Any) -> mpf:
        if x > 10**6:  # exp(-x) lies 400,000 digits below x, and `certain` compares at most 12,000
            return self.real(x)
        return mp.log(1 + self.exp(x)) if x < 0 else self.real(x) + mp.log(1 + self.exp(-x))

    def tanh(self, x: Any) -> Any:
        return mp.tanh(self.real(x)) if x != 0 else Fraction(0)

    def asinh(self, x: Any) -> Any:
        return mp.asinh(self.real(x)) if x != 0 else Fraction(0)

    def atan(self, x: Any) -> Any:
        return mp.atan(self.real(x)) if x != 0 else Fraction(0)


def certain(formula: Formula, at: dict[str, Fraction]) -> mpf:
    """The value, the same in two precisions that both exceed what the intermediate results can cancel. Raises Unsure."""
    m = Certain()
    with mp.workdps(200):
        first = m.real(valued(formula, dict(at), m))
        digits = max(200, 160 + 2 * int(mp.log10(m.largest) + 1))
    if digits > 6_000:
        raise Unsure
    both = [first] if digits == 200 else []
    for dps in (digits, 2 * digits)[len(both) :]:
        with mp.workdps(dps):
            both.append(Certain().real(valued(formula, dict(at), Certain())))
    if abs(both[0] - both[1]) > mpf(10) ** -100 * (1 + abs(both[1])):
        raise Unsure
    return both[1]


# -- random value functions ----------------------------------------------------------------------------------------------


def number_of(rng: random.Random) -> str:
    return rng.choice(["0", "1", "2", "1/2", "1/3", "3/7", "0.1", "-1", "-1/3", "5", "1/49", "2.5"])


def leaf(rng: random.Random) -> str:
    return rng.choice(["z", "z", "z", "z", number_of(rng), rng.choice("beacdk")])


def deep(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return leaf(rng)
    inner, other = deep(rng, depth - 1), deep(rng, rng.randint(0, depth - 1))
    return rng.choice([
        f"({inner} + {other})", f"({inner} - {other})", f"({inner} * {other})", f"-({inner})", f"sigmoid({inner})", f"logsigmoid({inner})",
        f"softplus({inner})", f"tanh({inner})", f"relu({inner})", f"abs({inner})", f"min({inner}, {other})", f"max({inner}, {other})",
        f"({inner})**2", f"({inner})**3", f"where({inner} > {number_of(rng)}, {other}, {inner})", f"clip({inner}, -1, b)", f"sign({inner})",
        f"exp({inner})", f"atan({inner})", f"asinh({inner})", f"min({inner}, {other}, {leaf(rng)})", f"({inner}) / c", f"expm1(-({inner}))",
    ])  # fmt: skip


def smooth(rng: random.Random) -> str:
    w = rng.choice(["z", "z", "b*z", "z/3", "2*z", "-z", "z - 1", "z + k", "a*z", "z - b"])
    return rng.choice(["sigmoid({})", "logsigmoid({})", "softplus({})", "tanh({})", "exp(-({}))", "{}", "({})**2", "asinh({})", "sigmoid({})**2",
                       "logsigmoid(-({}))", "sigmoid({})*logsigmoid({})", "({})*sigmoid({})", "log(1 + exp({}) + exp(2*({})))"]).replace("{}", w)  # fmt: skip


def coefficient(rng: random.Random) -> str:
    return rng.choice(["1", "2", "1/2", "(1-e)", "e", "a", "(1-a)", "b", "c", "d", "(1-2*e)", "1/3", "3/10"])


def mixture(rng: random.Random) -> str:
    total = f"{coefficient(rng)}*{smooth(rng)}"
    for _ in range(rng.randint(1, 3)):
        total += f" {rng.choice('+-')} {coefficient(rng)}*{smooth(rng)}"
    return total if rng.random() < 0.8 else f"({total})/(1-2*e)"


def pieces(rng: random.Random) -> str:
    """Two or three pieces which meet, jump or bend where they change."""
    t, word = rng.choice(["0", "1", "1/3", "-1", "b", "k", "1/49"]), rng.choice(["<", "<=", ">", ">="])
    scale = rng.choice(["z", "3*z", "49*z", "b*z", "-z", "2*z - z", "z/7"])
    right = "1" if scale != "z" else t
    left, other = rng.choice([smooth(rng), leaf(rng), f"2*z - {t}", f"z + {number_of(rng)}"]), rng.choice([smooth(rng), "z", "2*z", t, f"{t} + (z - {t})/2"])
    whole = f"where({scale} {word} {right}, {left}, {other})"
    return rng.choice([
        whole, f"z + sign({scale} - {right})", f"where({scale} {word} {right}, {left}, {left} + {number_of(rng)})", f"{whole} + {smooth(rng)}",
        f"min({left}, {other})", f"max({left}, {other})", f"clip({left}, {rng.choice(['-1', '0', '-b'])}, {rng.choice(['1', 'c', 'b'])})",
        f"relu({left}) - relu(-({other}))", f"-abs(z - {t}) + {coefficient(rng)}*{smooth(rng)}", f"-relu({t} - z)**2 + {other}",
        f"min({whole}, {number_of(rng)})", f"where({scale} {word} {right}, {whole}, {left})", f"sign({scale} - {right})**2 * {left}",
        f"sign(z - {t}) * abs(z - {t})", f"relu(z - {t}) * relu({t} - z) + z", f"max(z, {t}) * min(z, {t})", f"abs(abs(z - 1) - {t})",
        f"where(z {word} 0, where(z <= 0, {number_of(rng)}, {left}), {other})", f"relu({left}) * sign(z - {t})",
    ])  # fmt: skip


def powers(rng: random.Random) -> str:
    base = rng.choice(["relu(z)", "sigmoid(z)", "(1 + exp(z))", "(1 + exp(-b*z))", "abs(z)", "softplus(z)", "(2 - tanh(z))", "relu(1 - z)", "(1+z**2)"])
    exponent = rng.choice(["a", "b", "c", "-b", "(-1)", "(-2)", "0.5", "1.5", "(1+a)", "(1-a)", "2", "k", "(c+1)", "3", "e", "(1/3)"])
    p = f"{base}**{exponent}"
    return rng.choice([
        p, f"-{p}", f"where(z >= 0, z**{exponent}, -b*(-z)**{exponent})", f"where(z > 0, z**{exponent}, z)", f"{p}*logsigmoid(z)", f"(1 - {p})/a",
        f"min(z, 1)**{rng.choice('234')}", f"{coefficient(rng)}*{p} + {smooth(rng)}", "b**z", f"(1+a)**({smooth(rng)})", "-(a**z)",
    ])  # fmt: skip


def borders(rng: random.Random) -> str:
    """Logarithms, roots and quotients whose domain ends nearby."""
    inner = rng.choice(["1 - a*sigmoid(z)", "exp(z) + e", "1 - 2*e + sigmoid(z)", "sigmoid(z) - e*sigmoid(z)", "z", "z + b", "1 + z**2", "1 - 2*e",
                        "sigmoid(z)", "atan(z)/4 + 1/2", "1 - exp(-softplus(z))", "relu(z) + 1/3", "1/3 + sigmoid(z)*d", "c - sigmoid(z)", "z - 1/3"])  # fmt: skip
    return rng.choice([
        f"log({inner})", f"sqrt({inner})", f"log1p({inner})", f"log1mexp(-softplus(z) - {rng.choice('eb')})", f"1/({inner})", f"-({inner})**(-2)",
        f"log({inner}) + {smooth(rng)}", f"where({inner} > 0, log({inner}), 0)", "where(z > 1, log(z) + 1, z)", "where(z > 0, log(z), -1/z)",
        f"({inner})*log({inner})", f"log({inner})/(1-2*e)", "where(z >= 1, sqrt(z - 1), z - 1)", f"log1mexp(min(z, -{rng.choice(['1', '1/3'])}))",
    ])  # fmt: skip


def rational(rng: random.Random) -> str:
    top = rng.choice(["z", "1", "-1", "z**2", "z**3 - z", "b*z - 1", "2*z + c", "z**2 - d", "-z**4"])
    bottom = rng.choice(["1 + abs(z)", "1 + z**2", "c + z**2", "2 + z**4", "1 + relu(z)", "b + abs(z)", "1 + b*z**2 + z**4", "z", "1 + z", "z**2 - z + 1"])
    return rng.choice([f"({top})/({bottom})", f"({top})/({bottom}) + {smooth(rng)}", f"({top})/({bottom})*{smooth(rng)}", f"{top}", f"-({top}) - {smooth(rng)}"])


KINDS = [lambda rng: deep(rng, 3), lambda rng: deep(rng, 4), mixture, pieces, pieces, powers, borders, rational]


# -- points ----------------------------------------------------------------------------------------------------------------


def inside(rng: np.random.Generator, where: Span, n: int, near: list[float]) -> Any:
    """Random exact numbers of a range, at every scale: near 0, near the given places and its own ends, and far away."""
    ends = [float(end) for end in (where.low, where.high) if end not in (inf, -inf)]
    places = np.array([0.0, *near, *ends])
    x = rng.choice(places, n) + rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-7, 2.8, n)
    wide = rng.uniform(max(float(where.low), -9), min(float(where.high), 9), n)
    x = np.where(rng.random(n) < 0.5, wide, x)
    closed = [float(e) for e, is_open in ((where.low, where.low_open), (where.high, where.high_open)) if not is_open]
    if closed:
        x = np.where(rng.random(n) < 0.15, rng.choice(closed, n), x)
    good = np.array([Fraction(v) in where for v in x])
    return np.where(good, x, wide[good.argmax()] if good.any() and Fraction(wide[good.argmax()]) in where else _some(where))


def _some(where: Span) -> float:
    if where.bounded:
        return float(Fraction(where.low) + Fraction(where.high)) / 2
    return float(where.low) + 1 if where.low != -inf else float(where.high) - 1 if where.high != inf else 0.5


@dataclass
class Asked:
    """One expression on one region, and what the procedure says."""

    text: str
    region: Span
    monotone: Verdict
    concave: Verdict
    seconds: float


def ask(text: str, region: Span, parameters: dict[str, Span] = PARAMETERS) -> Asked:
    s = Scalars()
    letters = {name: s.make(op="parameter", data=name) for name in parameters} | {"z": s.variable("z")}
    box = {letters[name]: where for name, where in parameters.items()}
    node, begun = s.formula(text, **letters), time.perf_counter()
    verdicts = [getattr(Question(s, node, letters["z"], box, region), which)() for which in ("monotone", "concave")]
    return Asked(text, region, *verdicts, time.perf_counter() - begun)


def attack(asked: Asked, seed: int) -> int:
    """Tries to break what was proved; returns how many points were tried."""
    formula, rng, tried = parse(asked.text), np.random.default_rng(seed), 0
    if not (asked.monotone.proved or asked.concave.proved):
        return 0
    fixed = {name: inside(rng, where, FLOAT_POINTS, [1.0]) for name, where in PARAMETERS.items()}
    if seed % 2:  # many points on one line see a kink that scattered ones miss
        fixed = {name: np.full(FLOAT_POINTS, values[0]) for name, values in fixed.items()}
    near = [1.0, 1 / 3, -1.0, 1 / 49, fixed["b"][0], fixed["k"][0], 1 / fixed["b"][0], 7.0]
    z = np.sort(np.stack([inside(rng, asked.region, FLOAT_POINTS, near) for _ in range(2)]), axis=0)
    middle = z[0] + (z[1] - z[0]) * rng.choice([0.5, 0.5, 0.01, 0.99, 0.3], FLOAT_POINTS)
    with np.errstate(all="ignore"):
        low, mid, high = (np.broadcast_to(valued(formula, {**fixed, "z": x}, Rough), (FLOAT_POINTS,)) for x in (z[0], middle, z[1]))
        part = np.where(z[1] > z[0], (middle - z[0]) / (z[1] - z[0]), 0)
        drops, sags = low - high, low + (high - low) * part - mid
    if asked.monotone.proved:
        tried += FLOAT_POINTS
        for i in suspicious(drops, rng):
            try:
                ends = [certain(formula, exactly(fixed, i, x[i])) for x in z]
            except Unsure:
                continue
            assert ends[0] <= ends[1] + slack(*ends), ("falls", asked.text, str(asked.region), z[:, i], exactly(fixed, i, 0.0), asked.monotone)
    if asked.concave.proved:
        tried += FLOAT_POINTS
        for i in suspicious(sags, rng):
            try:
                a, c, b = (certain(formula, exactly(fixed, i, x)) for x in (z[0, i], middle[i], z[1, i]))
            except Unsure:
                continue
            places = [Fraction(float(x)) for x in (z[0, i], middle[i], z[1, i])]
            if places[0] < places[2]:
                share = (places[1] - places[0]) / (places[2] - places[0])
                chord = a + (b - a) * share.numerator / share.denominator
                assert c >= chord - slack(a, b, c), ("sags", asked.text, str(asked.region), places, exactly(fixed, i, 0.0), asked.concave)
    return tried


def suspicious(amounts: Any, rng: np.random.Generator) -> list[int]:
    """The points that look worst, and some more."""
    finite = np.where(np.isfinite(amounts), amounts, -np.inf)
    worst = [int(i) for i in np.argsort(-finite)[:8] if finite[i] > 0]
    return [*worst, *map(int, rng.integers(0, len(amounts), SURE_POINTS))]


def exactly(fixed: dict[str, Any], i: int, z: Any) -> dict[str, Fraction]:
    return {name: Fraction(float(values[i])) for name, values in fixed.items()} | {"z": Fraction(float(z))}


def slack(*values: mpf) -> mpf:
    return mpf(10) ** -40 * (1 + max(map(abs, values)))


def confirm(asked: Asked) -> None:
    """A refutation is exact numbers inside the declared ranges, which this file's own arithmetic finds to refute."""
    formula = parse(asked.text)

    def at(witness: dict[str, str], name: str) -> tuple[Fraction, mpf]:
        point = {k: Fraction(witness[k]) if k in witness else candidate(where) for k, where in PARAMETERS.items()}
        assert all(point[k] in where for k, where in PARAMETERS.items())
        z = Fraction(witness[name])
        assert z in asked.region
        return z, certain(formula, {**point, "z": z})

    if asked.monotone.outcome == "refuted":
        (a, va), (b, vb) = (at(dict(asked.monotone.witness), name) for name in ("from", "to"))
        assert a < b
        assert va > vb + slack(va, vb), asked
    if asked.concave.outcome == "refuted":
        (a, va), (c, vc), (b, vb) = (at(dict(asked.concave.witness), name) for name in ("left", "middle", "right"))
        assert a < c < b
        share = (c - a) / (b - a)
        assert vc < va + (vb - va) * share.numerator / share.denominator - slack(va, vb, vc), asked


def candidate(where: Span) -> Fraction:
    """Some value for a parameter that folded away and so is not in the witness."""
    return Fraction(_some(where))


def questions(seed: int, n: int) -> Iterator[tuple[str, Span]]:
    rng = random.Random(seed)
    for i in range(n):
        yield KINDS[i % len(KINDS)](rng), rng.choice(REGIONS)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_proof_breaks_and_every_witness_refutes(part: int) -> None:
    tried, outcomes, slow, broken = 0, Counter[str](), [], list[str]()
    for seed, (text, region) in list(enumerate(questions(SEED, HOW_MANY)))[part::PARTS]:
        asked = ask(text, region)
        outcomes.update((asked.monotone.outcome, asked.concave.outcome))
        slow += [(asked.seconds, text)] if asked.seconds > 2 else []
        try:
            with mp.workdps(90):
                tried += attack(asked, seed)
                confirm(asked)
        except Unsure:
            broken.append(f"a witness that cannot be confirmed: {asked}")
        except AssertionError as wrong:
            broken.append(str(wrong))
    print(f"\n{part + 1} of {PARTS} parts of {HOW_MANY} expressions, {dict(outcomes)}, {tried} points, slow: {sorted(slow, reverse=True)[:10]}")
    assert not broken, "\n\n".join(broken[:20])
    assert outcomes["undecided"] < 0.35 * outcomes.total()  # a procedure that decides nothing is not sound, only silent
