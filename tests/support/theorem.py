"""Statements about named quantities, decided for all their values: what the pages of `docs/theorems` are written in.

A `Setting` declares quantities with their ranges and names what is built from them. `holds` decides `left <= right` (or
`==`, `<`, `>=`, `>`) for every value of the quantities; `possible` decides whether premises can hold together, since from
premises that contradict one another everything follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from halo.analysis.curvature import Calculus
from halo.analysis.decide import PROVED, REFUTED, UNDECIDED, Verdict
from halo.analysis.identity import is_zero, named, nonzero_point, number, shown
from halo.analysis.numbers.doubles import DOUBLES
from halo.analysis.points import points
from halo.analysis.ranges import POSITIVE, Span
from halo.analysis.scalar import Scalars, is_number, variables
from halo.analysis.sign import sign_of
from halo.analysis.values import sure_value, surely_below, values
from halo.checks.scalars.inputs import SUMMED
from halo.checks.scalars.view import View
from halo.compiler.graph import LossGraph, Node
from halo.objective.schema import Interval


@dataclass(frozen=True)
class Answer:
    """A statement and what was found of it."""

    statement: str
    verdict: Verdict

    def __str__(self) -> str:
        line = f"{self.verdict.outcome}: {self.statement}"
        return line if self.verdict.proved and not self.verdict.witness else f"{line}\n    {self.verdict.reason}"


class Setting:
    """Quantities by name: free ones with a range (`beta="(0, inf)"`), and what is defined from them."""

    def __init__(self, **ranges: str) -> None:
        self.s, self.box, self.names = Scalars(), dict[Node, Span](), dict[str, Node]()
        for name, domain in ranges.items():
            self.names[name] = self.s.variable(name)
            self.box[self.names[name]] = Span.of(Interval.parse(domain))

    def let(self, name: str, meaning: str | Node) -> None:
        """Names a formula of what is already named."""
        if name in self.names:
            raise ValueError(f"{name} is already named")
        self.names[name] = self.scalar(meaning)

    def distribution(self, name: str, n: int) -> None:
        """name1 ... namen: any n positive numbers, each divided by their sum. Every distribution of full support is one."""
        weights = [self.s.variable(f"{name}_weight{i}") for i in range(1, n + 1)]
        self.box |= dict.fromkeys(weights, POSITIVE)
        total = self._sum(weights)
        for i, weight in enumerate(weights, 1):
            self.names[weight.data] = weight
            self.let(f"{name}{i}", self.s.call("div", weight, total))

    def scalar(self, meaning: str | Node) -> Node:
        """A formula over the names."""
        return self.s.formula(meaning, **self.names) if isinstance(meaning, str) else meaning

    def slope(self, of: str, along: str) -> Node:
        """The derivative of a formula along a free quantity."""
        return self.s.derivative(self.scalar(of), self.names[along])

    def at(self, formula: str, **values: str) -> Node:
        """The formula with free quantities replaced."""
        return self.s.substitute(self.scalar(formula), {self.names[name]: self.scalar(value) for name, value in values.items()})

    def loss(self, graph: LossGraph, **meanings: str) -> Node:
        """The loss an objective gives one example: `chosen_logp`, `chosen_ref_logp`, `beta`, ... say what it reads."""
        loss = View(graph).alone_loss()
        words = {summed: word for word, summed in SUMMED.items()}
        keys = {v: "_".join(filter(None, (v.slot, words.get(v.data, v.data)))) for v in variables(loss)}
        return self.s.substitute(loss, {v: self.scalar(meanings.get(key, key)) for v, key in keys.items()})

    def holds(self, statement: str, **first: str) -> Answer:
        """Whether it is true for every value of the free quantities; `first` is a point to try before others."""
        left, relation, right = self._read(statement)
        tried = {self.names[name]: [Fraction(value)] for name, value in first.items()}
        return Answer(statement, self._refuted(left, relation, right, tried) or self._proved(left, relation, right))

    def possible(self, *statements: str) -> Answer:
        """Whether they can all be true at once: a point where they are, or a combination of them that cannot be."""
        read = [self._read(statement) for statement in statements]
        used = variables(self._sum([side for left, _, right in read for side in (left, right)]))
        text = " and ".join(statements)
        for point in points(self.box, used, 256):
            if all(self._true_at(point, *parts) for parts in read):
                return Answer(text, Verdict(PROVED, f"at {_listed(point)}", witness=named(point)))
        choices = [(1, -1) if relation == "==" else (1,) for _, relation, _ in read]
        for signs in product(*((*choice, 0) for choice in choices)):
            terms = [self.s.call("mul", self.s.number(k), self._gap(*parts)) for k, parts in zip(signs, read, strict=True) if k]
            total = self._sum(terms)
            strict = any(k and relation in ("<", ">") for k, (_, relation, _) in zip(signs, read, strict=True))
            if terms and self._contrary(total, strict):
                return Answer(text, Verdict(REFUTED, f"contradictory: added up they say {shown(total)} {'>' if strict else '>='} 0"))
        return Answer(text, Verdict(UNDECIDED, "no point was found, and no contradiction"))

    # -- how ---------------------------------------------------------------------------------------------------------------

    def _read(self, statement: str) -> tuple[Node, str, Node]:
        left, relation, right = re.split(r"(<=|>=|==|<|>)", statement)
        return self.scalar(left), relation, self.scalar(right)

    def _sum(self, terms: list[Node]) -> Node:
        total = self.s.number(0)
        for term in terms:
            total = self.s.call("add", total, term)
        return total

    def _gap(self, left: Node, relation: str, right: Node) -> Node:
        """What the statement says is 0, >= 0 or > 0."""
        return self.s.call("sub", left, right) if relation in (">", ">=") else self.s.call("sub", right, left)

    def _refuted(self, left: Node, relation: str, right: Node, first: dict[Node, list[Fraction]]) -> Verdict | None:
        gap = self._gap(left, relation, right)
        tried = points(self.box, list(dict.fromkeys(variables(left) + variables(right))), 256, first)
        if relation == "==":
            found = None if is_zero(self.s, gap, self.box) else nonzero_point(gap, self.box)
            tried = [*tried[: 1 if first else 0], *([{**tried[0], **found[0]}] if found else [])]
        for point in tried:
            if relation != "==" and float(values([gap], point, DOUBLES)[gap]) > 1e-9:
                continue
            both = [sure_value(side, point) for side in (left, right)]
            low, high = both[::-1] if relation in (">", ">=") else both
            if surely_below(high, low) or (relation == "==" and surely_below(low, high)):
                sides = {"left": number(both[0]), "right": number(both[1])}
                return Verdict(REFUTED, f"at {_listed(point)}: {sides['left']} and {sides['right']}", witness={**named(point), **sides})
        return None

    def _proved(self, left: Node, relation: str, right: Node) -> Verdict:
        gap = self._gap(left, relation, right)
        if not Calculus(self.box).shape(gap).defined:
            return Verdict(UNDECIDED, "not shown to be defined everywhere")
        if relation == "==":
            same = is_zero(self.s, gap, self.box)
            return Verdict(PROVED, "an identity: the difference vanishes") if same else Verdict(UNDECIDED, "not seen to be equal")
        for step, form in (("", gap), (" of exp of both sides", self._gap(self.s.call("exp", left), relation, self.s.call("exp", right)))):
            sign = sign_of(form, self.box, strict=relation in ("<", ">"))
            if sign == 1 or (sign == 0 and relation in ("<=", ">=")):
                return Verdict(PROVED, f"the difference{step} is {'> 0' if relation in ('<', '>') else '>= 0'} by the signs of its factors")
        return Verdict(UNDECIDED, "no counterexample was found, and no proof")

    def _contrary(self, total: Node, strict: bool) -> bool:
        """Whether a sum of premises is nowhere >= 0 (strict: nowhere > 0)."""
        if not Calculus(self.box).shape(total).defined:
            return False
        sign = sign_of(total, self.box, strict=not strict)
        return sign == -1 or (sign == 0 and strict)

    def _true_at(self, point: dict[Node, Fraction], left: Node, relation: str, right: Node) -> bool:
        gap = self.s.substitute(self._gap(left, relation, right), {v: self.s.number(x) for v, x in point.items()})
        if is_number(gap):
            return bool(gap.data == 0 if relation == "==" else gap.data >= 0 if "=" in relation else gap.data > 0)
        value = sure_value(gap, {})
        return is_zero(self.s, gap, {}) is True if relation == "==" else value is not None and surely_below(value * 0, value)


def total(pattern: str, n: int) -> str:
    """The pattern summed over i = 1 ... n, and over j = 1 ... n where it has a `{j}`."""
    indices = range(1, n + 1)
    pairs = product(indices, indices if "{j}" in pattern else (0,))
    return " + ".join(f"({pattern.format(i=i, j=j)})" for i, j in pairs)


def _listed(point: dict[Node, Fraction]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in named(point).items())
