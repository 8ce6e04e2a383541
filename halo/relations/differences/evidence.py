"""Two losses held against each other at exact data: the gradients of the one as numbers, those of the other over its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mpmath import mp, mpf

from halo.analysis.identity import number
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import walk
from halo.analysis.ranges import REALS
from halo.analysis.scalar import is_number, variables_of
from halo.analysis.values import Program, sure_value
from halo.checks.scalars.cases import has_kinks, settled
from halo.checks.scalars.inputs import is_moved_word, is_policy
from halo.compiler.graph import Node, topological
from halo.compiler.graph_text import text
from halo.relations.differences.attainable import attainable, can_be_vouched_for
from halo.relations.differences.conventions import Conventions, switches
from halo.relations.differences.probes import Place, Point, Probes
from halo.relations.places import sampled
from halo.relations.rewriting import two_tokens
from halo.relations.signature import MARK, Signal
from halo.relations.substitution import short

CHOICES = 14
"""Values of the right's parameters at which floats say what is worth a proof: its cost is small beside one proof in vain."""
SECOND = "2; the first has log π = log ref = -1, and the numbers are of the second"
LOG_SIZE = Fraction(10)
"""log V of a vocabulary of 22,000 tokens, where a reference is uniform."""


@dataclass(frozen=True)
class Slope:
    """One gradient at one place (by its number): the left's number, the right's scalar over its parameters."""

    name: str
    point: int
    left: mpf
    right: Node


@dataclass(frozen=True)
class Witness:
    """Why no choice fits, and the exact numbers: data, parameters of the left, gradients of both (the right at its defaults)."""

    reason: str
    numbers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Evidence:
    """The left at its defaults, the right at any values of `wanted`; `losses` stand for those of one example, if they are given."""

    left: Signal
    right: Signal
    losses: tuple[tuple[Node, ...], tuple[Node, ...]] | None = None

    def __post_init__(self) -> None:
        view = self.left.view
        self.s, self.box = view.s, view.box
        self.tokens = ""
        both = self.losses or self._short()
        read, mine = variables_of([*both[0], *both[1]]), set(self.left.free.values())
        parameters = sorted((v for v in read if v.op == "parameter"), key=lambda v: str(v.data))
        self.given = {v: view.first.get(v, [LOG_SIZE])[0] for v in parameters if v in mine or v.data == "log V"}
        self.wanted = [v for v in parameters if v not in self.given]
        numbers = {v: self.s.number(x) for v, x in self.given.items()}
        data = [v for v in read if v.op != "parameter"]
        self.policy = [v for v in data if is_policy(v)]
        self.probes = Probes(self.box, data, self.policy)
        self.slopes: list[tuple[str, Node, Node]] = []
        self.places: list[Place] = []
        for label, *losses in zip(_labels(len(both[0])), *both, strict=True):
            for v in self.policy:
                of_left, of_right = (self.s.substitute(view.unstopped(self.s.derivative(loss, v)), numbers) for loss in losses)
                if not (is_number(of_left, 0) and is_number(of_right, 0)):
                    self.slopes.append((f"d loss/d {text(v, {})}{label}", of_left, of_right))
        gaps = [self.s.substitute(gap, numbers) for losses in both for gap in switches(self.s, [view.unstopped(loss) for loss in losses])]
        self.conventions = Conventions(self.s, self.box, gaps)
        self.defaults = {v: view.first[v][0] for v in self.wanted}

    def gradients(self) -> list[Slope]:
        """Those of the left that are known at the places, beside the right's; none where a word of a loss cannot be vouched for.

        Sums over the vocabulary are no free numbers beside log-probabilities: data with them is what a policy can have.
        """
        if not can_be_vouched_for(self.policy):
            return []
        self.places = [place for place in self.probes.places() if self._can_occur(place.point)]
        found: list[Slope] = []
        for i, place in enumerate(self.places):
            here = self._there(place.point)
            if self.conventions.speak(here):
                continue
            for name, mine, other in self.slopes:
                value = sure_value(self.s.substitute(mine, here), {})
                if value is not None and mp.isfinite(value):
                    found.append(Slope(name, i, value, self._at(other, here)))
        return found

    def _can_occur(self, point: Point) -> bool:
        return all(x in self.box.get(v, REALS) for v, x in point.items()) and attainable(point)

    def _short(self) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """Both losses, where they have sums over tokens that are not linear on the fewest tokens that keep what is moved free."""
        sides = self.left.alone, self.right.alone
        whole = [node for side in sides for node in side]
        if not any(v.op == "reduce" for v in variables_of(whole)):
            return sides
        self.tokens = "1"
        if any(map(is_moved_word, topological(whole))):
            self.tokens = SECOND
            left, right = (tuple(two_tokens(self.left.view, node) for node in side) for side in sides)
            return left, right
        left, right = short(self.left.view, *sides)
        return left, right

    def _there(self, point: Point) -> dict[Node, Node]:
        """The point as what is substituted."""
        return {v: self.s.number(x) for v, x in point.items()}

    def _at(self, right: Node, here: Mapping[Node, Node]) -> Node:
        """A gradient of the right at a place, with the kinks settled that no parameter switches there."""
        there = self.s.substitute(right, here)
        if has_kinks(there):
            return settled(self.s, there, self.box, by_algebra=False)
        return there

    def floats(self, slopes: Sequence[Slope]) -> list[list[float]]:
        """The right's gradients at a few choices of its parameters: what these do not suggest is not tried."""
        program, numbers = Program([slope.right for slope in slopes], self.wanted, DOUBLES), walk(11)
        rows = [[float(self.defaults[v]) for v in self.wanted]]
        if self.wanted:
            for k in range(CHOICES):
                size = 4 ** (k % 5 - 2)  # from a sixteenth to sixteen times what is usual
                rows.append([float(sampled(self.box[v], next(numbers))) * size for v in self.wanted])
        kept = [row for row in rows if all(Fraction(x) in self.box[v] for v, x in zip(self.wanted, row, strict=True))]
        return [program(row) for row in kept]

    def vanishes(self, slope: Slope) -> bool:
        """Whether the left's gradient is exactly 0: a literal after substitution."""
        here = self._there(self.places[slope.point].point)
        return any(name == slope.name and is_number(self.s.substitute(mine, here), 0) for name, mine, _ in self.slopes)

    def said(self, reason: str, slopes: Sequence[Slope]) -> Witness:
        """What is against the right in words, with every number that is needed to see it."""
        numbers = {"tokens of a completion": self.tokens} if self.tokens else {}
        numbers |= {f"{{left}} {plain(v)}": str(x) for v, x in self.given.items()}
        numbers |= {f"{{right}} {plain(v)}": str(x) for v, x in self.defaults.items()}
        used = list(dict.fromkeys(slope.point for slope in slopes))
        ends = {place: f" ({n})" for n, place in enumerate(used, 1)}
        if len(used) == 1:
            ends = {used[0]: ""}
        for place in used:
            numbers |= {text(v, {}) + ends[place]: str(x) for v, x in self.places[place].point.items()}
        for slope in slopes:
            name, other = f"{slope.name}{ends[slope.point]}", sure_value(slope.right, self.defaults)
            numbers[f"{{left}} {name}"] = number(slope.left)
            numbers[f"{{right}} {name}"] = "none" if other is None else number(other)
        return Witness(reason, numbers)

    @property
    def whatever(self) -> str:
        """For which values of the parameters, in words."""
        if not self.wanted:
            return ""
        return f" for all {', '.join(map(plain, self.wanted))}"


def plain(parameter: Node) -> str:
    """The name of a parameter of either side."""
    return str(parameter.data).removesuffix(MARK)


def _labels(count: int) -> list[str]:
    if count == 1:
        return [""]
    return [" (desirable)", " (undesirable)"]
