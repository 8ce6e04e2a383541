"""The rows that both objectives of a comparison take: a column is its level, its domain and its default, whatever it is called.

A row of one objective is a row of the other if each column that both read has the same level, a domain there that holds the one
here, and the same meaning where it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, permutations

from halo.compiler.ranges import Span
from halo.objective.schema import Column, Interval
from halo.relations.rewriting import Incomparable

ORDERS = 6
"""Ways to give the columns of one objective to the other that are tried: all orders of three."""


@dataclass(frozen=True)
class Rows:
    """One way to give the same rows to both objectives.

    names        what the left calls a column of the right, where it is another name
    domains      by the left's names, what a column holds in the rows that both take
    forward      whether every row of the left is one of the right that means the same; `backward`: the other way round
    differences  the columns of both that are not declared alike
    """

    names: Mapping[str, str]
    domains: Mapping[str, Span]
    forward: bool
    backward: bool
    differences: Mapping[str, tuple[Column, Column]]

    def notes(self, left: str, right: str) -> tuple[str, ...]:
        """How rows are read for an answer to hold."""
        renamed = [f"with the column {mine} of {left} as {other} of {right}" for other, mine in self.names.items()]
        narrowed = [name for name, (mine, other) in self.differences.items() if _span(mine) != _span(other)]
        return (*renamed, *(f"where {name} lies in {self.domains[name]}, as both declare" for name in narrowed))

    def difference(self, left: str, right: str) -> str:
        """Which column keeps a row of the one from meaning the same to the other."""
        name, (mine, other) = next(iter(self.differences.items()))
        return f"the column {name} is {_declared(mine)} in {left}, {_declared(other)} in {right}"


def ways(mine: Mapping[str, Column], other: Mapping[str, Column]) -> Iterator[Rows]:
    """By name first; then columns that only one side names are matched with their like. Raises Incomparable where no row fits both."""
    yield _rows(mine, other, {})
    free, wanted = sorted(mine.keys() - other.keys()), sorted(other.keys() - mine.keys())
    if free and len(free) == len(wanted):
        for order in islice(permutations(free), ORDERS):
            if all(mine[a] == other[b] for a, b in zip(order, wanted, strict=True)):
                yield _rows(mine, other, dict(zip(wanted, order, strict=True)))


def _rows(mine: Mapping[str, Column], other: Mapping[str, Column], names: Mapping[str, str]) -> Rows:
    theirs = {names.get(name, name): column for name, column in other.items()}
    both = [name for name in mine if name in theirs]
    domains = {name: _span(column) for name, column in {**mine, **theirs}.items()}
    domains |= {name: _common(name, mine[name], theirs[name]) for name in both}
    forward, backward = (all(_takes(a[name], b[name]) for name in both) for a, b in ((mine, theirs), (theirs, mine)))
    differences = {name: (mine[name], theirs[name]) for name in both if mine[name] != theirs[name]}
    return Rows(names, domains, forward, backward, differences)


def _takes(special: Column, general: Column) -> bool:
    """Whether what a row of the special one holds is the same to the general one."""
    inside = _span(special).within(_span(general)) == _span(special)
    return inside and (special.default is None or special.default == general.default)


def _common(name: str, a: Column, b: Column) -> Span:
    """What a column holds that both read."""
    if a.level != b.level:
        raise Incomparable(f"the column {name} is one number for each {a.level} of the first, for each {b.level} of the second")
    both = _span(a).within(_span(b))
    if both is None:
        raise Incomparable(f"no row has a {name} both in {a.domain} and in {b.domain}")
    return both


def _declared(column: Column) -> str:
    if column.default is None:
        return f"in {column.domain} without a default"
    return f"in {column.domain} with the default {column.default}"


def _span(column: Column) -> Span:
    return Span.of(Interval.parse(column.domain))
