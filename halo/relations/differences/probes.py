"""Where the gradients of two objectives are compared to tell them apart: points that are alike or near first, far ones last.

Small numbers with small denominators: the exponentials of such have a common base, and an algebra meets few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from halo.analysis.curvature import Box
from halo.analysis.points import walk
from halo.analysis.ranges import REALS
from halo.checks.scalars.inputs import SUM_OF
from halo.compiler.graph import Node
from halo.relations.differences.attainable import SHARE, is_word
from halo.relations.places import places, sampled

Point = Mapping[Node, Fraction]


@dataclass(frozen=True)
class Place:
    """One point of data. `level`: the completions are alike; `near`: little is moved; `far`: what only intervals are asked of."""

    point: Point
    group: Literal["level", "near", "far"]


@dataclass(frozen=True)
class Probes:
    """For losses that read `data`, of which `policy` is what has gradients."""

    box: Box
    data: Sequence[Node]
    policy: Sequence[Node]

    @property
    def words(self) -> bool:
        """Whether sums over the vocabulary are among them, which need two tokens to be free of each other."""
        return any(map(is_word, self.data))

    def places(self) -> Iterator[Place]:
        """A few points; each with one quantity moved; and far ones. What is near and alike is looked at first."""
        base = [{v: self._coarse(v, x) for v, x in point.items()} for point in places(self.box, self.data, 3)]
        level = [*self._level(base[0])]
        related = [*self._related(base[0])]
        yield Place(related[0], "near")
        for point in level:
            yield Place(point, "level")
        for point in (*related[1:], *self._moved(base[0])):
            yield Place(point, "near")
        for point in (*base[1:], *self._far(base)):
            yield Place(point, "far")

    def _level(self, base: Point) -> Iterator[Point]:
        """All completions alike, all less likely, and one of them longer and less likely."""
        alike: dict[str, Fraction] = {}
        for v, x in base.items():
            alike.setdefault(str(v.data), x)
        alike["length"] = Fraction(1 + self.words)
        level = {v: alike[str(v.data)] for v in base}
        yield level
        yield _changed(level, self.policy, _lowered)
        for v in self.policy:
            lengths = [w for w in level if w.data == "length" and w.slot == v.slot]
            yield {**_changed(level, lengths, _doubled), v: level[v] - 1}

    def _related(self, base: Point) -> Iterator[Point]:
        """Points that share with the first what a loss may depend on alone: differences, log ratios, means per token."""
        logs = [v for v in self.data if str(v.data).startswith("log ")]
        scaled = [v for v in self.data if v in logs or v.data == "length"]
        yield _changed(base, self.policy, _lowered)
        for slot in dict.fromkeys(v.slot for v in self.policy):
            yield _changed(base, [v for v in logs if v.slot == slot], _lowered)
            yield _changed(base, [v for v in scaled if v.slot == slot], _doubled)
        yield _changed(base, scaled, _doubled)
        for v in self.policy:  # equal steps
            for k in range(1, 4):
                yield {**base, v: base[v] - 3 * k}

    def _moved(self, base: Point) -> Iterator[Point]:
        """The first point, and it with each quantity moved alone."""
        numbers = walk(5)
        yield base
        for v in self.data:
            if v.data == "length":
                yield {**base, v: base[v] * 2}
            else:
                x = sampled(self.box.get(v, REALS), next(numbers))
                for moved in (self._coarse(v, x - 2), self._coarse(v, x)):
                    yield {**base, v: moved}

    def _far(self, base: Sequence[Point]) -> Iterator[Point]:
        """Other points with one log-probability a good deal larger or smaller."""
        for v in self.policy:
            yield {**base[1], v: base[1][v] * 16}
            yield {**base[1], v: base[1][v] / 4}
            yield {**base[2], v: base[2][v] * 200}

    def _coarse(self, v: Node, x: Fraction) -> Fraction:
        """A near number with a small denominator: a half, else an eighth; a length is a power of 2."""
        if v.data == "length":
            return Fraction(2) ** max(int(x) % 3, int(self.words))
        if v.data == "vocab_size":
            return Fraction(2) ** (10 + int(x) % 3)
        if v.data == SHARE:  # little: most tokens are likely
            return (x / 16).limit_denominator(64)
        if str(v.data).startswith(f"{SUM_OF}kl"):  # far enough for policies that differ from the reference
            return x.limit_denominator(2) + 6
        for denominator in (2, 8):
            near = Fraction(round(denominator * x), denominator)
            if near and near in self.box.get(v, REALS):
                return near
        return x


def _changed(base: Point, names: Iterable[Node], change: Callable[[Fraction], Fraction]) -> dict[Node, Fraction]:
    """The point with some of its quantities moved."""
    return {**base, **{v: change(base[v]) for v in names}}


def _doubled(x: Fraction) -> Fraction:
    return x * 2


def _lowered(x: Fraction) -> Fraction:
    return x - 2
