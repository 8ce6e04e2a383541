"""Candidates for a substitution: which values of one objective's parameters make it another, seen in floats.

Nothing here is a proof. At a few values of the parameters of `left` the parameters of `right` are fitted until the gradients (of a
loss with kinks: the differences of values along the policy) agree up to a positive factor; what is found is then recognised as
a formula of the parameters of `left`. Whoever uses a candidate proves it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, product

from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import walk
from halo.analysis.scalar import topological_scalar, variables, variables_of
from halo.analysis.values import Program
from halo.checks.scalars.inputs import is_policy
from halo.checks.scalars.view import View
from halo.compiler.graph import Node
from halo.objective.vocabulary import kinked
from halo.relations.closed_forms import recognised
from halo.relations.fitting import fit
from halo.relations.places import PLACES, places, sampled
from halo.relations.rewriting import Unreadable, attached, one_token, stops
from halo.relations.signature import Signal

CLOSE = 1e-8  # relative: gradients in floats, of exponentials that may cancel, agree to about half their digits
COMBINATIONS = 48  # of simple choices that are looked at before anything is fitted
STEPS = (0.37, 1.9)  # by which a log-probability is multiplied: up and down, and by no round number
NEAR = 0.05  # residuals of the best fit above which no value of the parameters comes near, so that pinning one is not tried either


@dataclass(frozen=True)
class Candidate:
    """Values for the parameters of the right side, and the factor by which its gradients are multiplied to be the left's."""

    values: Mapping[str, Node]
    scale: Node


class Teaching:
    """One side in floats: its gradients, or with kinks the differences of its values, at fixed points of data."""

    def __init__(
        self, view: View, losses: Sequence[Node], parameters: Sequence[Node], policy: Sequence[Node], data: Sequence[Node]
    ) -> None:
        self.kinked = any(n.op == "apply" and kinked(n.data) for loss in losses for n in topological_scalar(loss))
        self.points = [[float(point[v]) for v in data] for point in places(view.box, data, PLACES)]
        self.policy = [list(data).index(v) for v in policy]
        gradients = [view.unstopped(view.s.derivative(loss, v)) for loss in losses for v in policy]
        self.slopes = Program(gradients, [*data, *parameters], DOUBLES)
        self.frozen = _Frozen(view, losses, data, parameters)

    def __call__(self, values: Sequence[float], increments: bool) -> list[float]:
        """The vector that two objectives which teach the same have in common, up to a positive factor."""
        if not increments:
            return [x for point in self.points for x in self.slopes([*point, *values])]
        return [x for point in self.points for x in self.frozen.moves(point, self.policy, values)]


class _Frozen:
    """Losses with what is detached held at its value."""

    def __init__(self, view: View, losses: Sequence[Node], data: Sequence[Node], parameters: Sequence[Node]) -> None:
        found = list(dict.fromkeys(stop for loss in losses for stop in stops(loss)))
        symbols = {stop: view.s.variable(f"stop{i}") for i, stop in enumerate(found)}
        self.detached = Program([view.unstopped(stop) for stop in found], [*data, *parameters], DOUBLES)
        self.losses = Program([view.s.substitute(loss, symbols) for loss in losses], [*data, *parameters, *symbols.values()], DOUBLES)

    def moves(self, point: list[float], policy: list[int], values: Sequence[float]) -> list[float]:
        """Differences of each loss as one policy quantity after the other moves."""
        held = [*values, *self.detached([*point, *values])]
        base = self.losses([*point, *held])
        result = []
        for i, step in product(policy, STEPS):
            there = list(point)
            there[i] *= step
            result += [after - before for before, after in zip(base, self.losses([*there, *held]), strict=True)]
        return result


@dataclass
class Search:
    """Looks for parameters of `right` that make it `left`."""

    left: Signal
    right: Signal
    best: float = field(default=math.inf, init=False)

    def __post_init__(self) -> None:
        view, sides = self.left.view, (self.left, self.right)
        losses = short(view, self.left.alone, self.right.alone)
        read = variables_of([*losses[0], *losses[1]])
        shared = {v for v in read if v.op == "parameter"}
        self.names = {side.view.mark: {n: p for n, p in side.free.items() if p in shared} for side in sides}
        self.given = [*self.names[self.left.view.mark].values()]
        extra = sorted((p for p in shared if p.data == "log V"), key=lambda p: str(p.data))
        self.given += [p for p in extra if p not in self.given]
        self.wanted = list(self.names[self.right.view.mark].values())
        data = [v for v in read if v.op != "parameter"]
        self.policy = [v for v in data if is_policy(v)]
        self.s, self.box = view.s, view.box
        self.reach = [set[Node]().union(*map(attached, pair)) for pair in losses]
        if any(v.op == "reduce" for v in data):
            raise Unreadable("a reduction that is not written out")
        own = [p for p in self.given if p not in extra]
        self.sides = [
            Teaching(view, losses[0], [*own, *extra], self.policy, data),
            Teaching(view, losses[1], [*self.wanted, *extra], self.policy, data),
        ]
        self.extra = [self.given.index(p) for p in extra]
        self.increments = any(side.kinked for side in self.sides)

    # -- how well a choice fits ------------------------------------------------------------------------------------------

    def target(self, given: Sequence[float]) -> list[float]:
        """What is to be met, at values of the parameters of the left."""
        return self.sides[0](given, self.increments)

    def fit(self, target: list[float], given: Sequence[float], wanted: Sequence[float]) -> tuple[float, float, list[float]]:
        """The distance left over (1: nothing fits), the factor, and the residuals."""
        there = self.sides[1]([*wanted, *(given[i] for i in self.extra)], self.increments)
        if not all(map(math.isfinite, [*target, *there])):
            return math.inf, math.nan, []
        size, dot = math.fsum(x * x for x in there), math.fsum(a * b for a, b in zip(target, there, strict=True))
        whole = math.sqrt(math.fsum(x * x for x in target))
        if not (0 < size < math.inf) or not (0 < whole < math.inf):
            return math.inf, math.nan, []
        scale = dot / size
        rest = [(a - scale * b) / whole for a, b in zip(target, there, strict=True)]
        return math.sqrt(math.fsum(r * r for r in rest)), scale, rest

    def fitted(
        self, target: list[float], given: Sequence[float], start: Sequence[float], pinned: Mapping[int, float]
    ) -> list[float] | None:
        """Values within the domains that fit, found from one start."""
        first = [pinned.get(i, value) for i, value in enumerate(start)]
        free = [i for i in range(len(first)) if i not in pinned]
        found = fit(lambda values: self.fit(target, given, values)[2], first, free, self._inside)
        if found is None:
            return None
        self.best = min(self.best, found.error)
        scale = self.fit(target, given, found.values)[1]
        if found.error < CLOSE and scale > 0:
            return found.values
        return None

    def _inside(self, i: int, value: float) -> float:
        span = self.box[self.wanted[i]]
        low, high = float(span.low), float(span.high)
        tight = 1e-9 * (high - low if span.bounded else 1)  # an open end is approached and not reached
        if span.low_open:
            low += tight
        if span.high_open:
            high -= tight
        return min(max(value, low), high)

    # -- candidates ------------------------------------------------------------------------------------------------------

    def values_of_left(self) -> list[list[float]]:
        """Values of the left's parameters: a first choice, each moved alone, and all moved."""
        spans = [self.box[p] for p in self.given]
        numbers = list(islice(walk(77), 2 * len(spans)))
        first = [float(sampled(span, n)) for span, n in zip(spans, numbers, strict=False)]
        second = [float(sampled(span, n + 331)) for span, n in zip(spans, numbers, strict=False)]
        if not first:
            return [first]
        alone = [[*first[:i], second[i], *first[i + 1 :]] for i in range(len(first))]
        return [first, *alone, second]

    def candidates(self) -> Iterator[Candidate]:
        """The simple ones first: same names, special values, renamings; then fitted ones."""
        if not self.reach[0] or not self.reach[0] <= self.reach[1]:
            return
        self.rows = self.values_of_left()
        self.targets = [self.target(row) for row in self.rows]
        for combination in islice(product(*(self._choices(p) for p in self.wanted)), COMBINATIONS):
            wanted = [self._number(choice, self.rows[0]) for choice in combination]
            if self.fit(self.targets[0], self.rows[0], wanted)[0] < CLOSE:
                yield from self._named([[self._number(choice, row) for choice in combination] for row in self.rows], combination)
        yield from self._fitted_ones()

    def _choices(self, wanted: Node) -> list[Node]:
        name, span = _plain(wanted, self.right), self.box[wanted]
        own = [p for p in self.given if _plain(p, self.left) == name]
        ends = [Fraction(e) for e, is_open in ((span.low, span.low_open), (span.high, span.high_open)) if not is_open]
        numbers = [x for x in dict.fromkeys([*ends, Fraction(1), Fraction(1, 2), *self.left.view.first.get(wanted, [])]) if x in span]
        return [*own, *(self.s.number(x) for x in numbers), *(p for p in self.given if p not in own)]

    def _number(self, choice: Node, row: Sequence[float]) -> float:
        if choice.op == "number":
            return float(choice.data)
        return row[self.given.index(choice)]

    def _fitted_ones(self) -> Iterator[Candidate]:
        """With all free, then with one held at a special value (where more than one choice fits)."""
        pins: list[dict[int, float]] = [{}]
        if len(self.wanted) > 1:
            pins += [{i: float(c.data)} for i, p in enumerate(self.wanted) for c in self._choices(p) if c.op == "number"]
        for pinned in pins:
            solved = self._all_rows(pinned)
            if solved:
                yield from self._named(solved, None)
            if not pinned and self.best > NEAR:
                return

    def _all_rows(self, pinned: Mapping[int, float]) -> list[list[float]]:
        starts = [[float(self.left.view.first[p][0]) for p in self.wanted], [float(sampled(self.box[p], 400)) for p in self.wanted]]
        first = next((x for start in starts if (x := self.fitted(self.targets[0], self.rows[0], start, pinned))), None)
        if first is None:
            return []
        solved = [first]
        for row, target in zip(self.rows[1:], self.targets[1:], strict=True):
            x = self.fitted(target, row, first, pinned)
            if x is None:
                return []
            solved.append(x)
        return solved

    def _named(self, solved: list[list[float]], formulas: Sequence[Node] | None) -> Iterator[Candidate]:
        """The fitted numbers as formulas, if they are recognised."""
        scales = []
        for row, target, x in zip(self.rows, self.targets, solved, strict=True):
            error, scale, _ = self.fit(target, row, x)
            if error > CLOSE or scale <= 0:
                return
            scales.append(scale)
        found: list[Node | None] = []
        if formulas is not None:
            found += formulas
        else:
            found += [recognised(self.s, self.given, self.rows, column) for column in zip(*solved, strict=True)]
        scale_formula = recognised(self.s, self.given, self.rows, scales)
        if scale_formula is not None and all(f is not None for f in found):
            names = list(self.names[self.right.view.mark])
            yield Candidate({name: f for name, f in zip(names, found, strict=True) if f is not None}, scale_formula)


def short(view: View, *sides: Sequence[Node]) -> list[tuple[Node, ...]]:
    """Both losses; where one has a sum over tokens that is not linear, on completions of one token: then it is its only summand."""
    if not any(v.op == "reduce" for losses in sides for loss in losses for v in variables(loss)):
        return [tuple(losses) for losses in sides]
    return [tuple(one_token(view, loss) for loss in losses) for losses in sides]


def _plain(parameter: Node, side: Signal) -> str:
    return str(parameter.data).removesuffix(side.view.mark)
