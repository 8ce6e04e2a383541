"""Exact slopes of a loss along a direction; where they are infinite, and which part of a formula has none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from halo.compiler.exact import Evaluator, Rounding
from halo.compiler.graph import LossGraph, Node, topological
from halo.compiler.graph_text import text
from halo.compiler.indices import ExactBatch, Row
from halo.loss.samples import Leaf


class Direction:
    """A random direction in what depends on the policy in one example: log-probs, and full-vocabulary words."""

    def __init__(self, batch: ExactBatch, leaves: list[Leaf], b: int, rng: Random) -> None:
        self.batch, self.b = batch, b
        rows = batch.rows
        self.steps = {(slot, name): [[_step(rng) for _ in row.logp] for row in _rows_of(rows[slot][b])] for slot, name in leaves}

    def moved(self, by: Any) -> ExactBatch:
        """The batch a step along the direction, in the numbers of `by`."""
        rows: dict[str, Any] = dict(self.batch.rows)
        for (slot, name), all_steps in self.steps.items():
            there = rows[slot][self.b]
            new = [_moved(row, name, [by * step for step in steps]) for row, steps in zip(_rows_of(there), all_steps, strict=True)]
            rows[slot] = list(rows[slot])
            rows[slot][self.b] = new[0] if isinstance(there, Row) else new
        return replace(self.batch, rows=rows)

    def products(self, gradients: dict[Leaf, Any], places: dict[str, Any]) -> Iterator[float]:
        """g_i d_i for every token that has a gradient."""
        for (slot, name), steps in self.steps.items():
            if gradients[slot, name] is not None:
                own, where = gradients[slot, name][self.b], places[slot][self.b]
                if isinstance(self.batch.rows[slot][self.b], Row):
                    own, where = [own], [where]
                for row, row_places, row_steps in zip(own, where, steps, strict=False):
                    yield from (row[place] * step for place, step in zip(row_places, row_steps, strict=True))


def _moved(row: Row, name: str, by: list[Any]) -> Row:
    """The row with one of its quantities moved token by token."""
    if name == "logp":
        return replace(row, logp=[x + step for x, step in zip(row.logp, by, strict=True)])
    return replace(row, columns={**row.columns, name: [x + step for x, step in zip(row.columns[name], by, strict=True)]})


def _rows_of(rows: Any) -> list[Row]:
    return [rows] if isinstance(rows, Row) else rows


def _step(rng: Random) -> float:
    return rng.choice((-1, 1)) * rng.uniform(0.5, 1)


def sides(
    graph: LossGraph, evaluator: Evaluator, exponent: int, direction: Direction, rounding: Rounding | None, base: dict[Node, Any]
) -> tuple[Any, Any]:
    """The slopes of the loss to the left and to the right; `base` holds its value and those of the `stop` nodes."""
    h = evaluator.m.mpf(10) ** -exponent
    stops = {node: value for node, value in base.items() if node.op == "stop"}
    below, above = (evaluator.values([graph.loss], direction.moved(s * h), stops, rounding)[graph.loss] for s in (-1, 1))
    return (base[graph.loss] - below) / h, (above - base[graph.loss]) / h


def limit(first: Any, second: Any, third: Any) -> Any:
    """Of slopes over the steps h, h**2 and h**3, that over none; None if it is infinite.

    Near a root or power a slope is L + c h**a, and the three lie in geometric progression: L is found exactly (Aitken). Where a
    is below 0 they grow apart; beside x log(x) they keep their distance.
    """
    before, after = second - first, third - second
    if abs(before) <= 1e-15 * abs(first):
        return third
    if abs(after) > (1 - 1e-6) * abs(before):
        return None
    return third - after**2 / (after - before)


def part_without_slope(graph: LossGraph, values: dict[Node, Any]) -> tuple[str, str] | None:
    """A part of the loss that has no slope of its own at these values, with the reason, and what to do; None if each has one.

    The gravest reason first: a formula with a kink may be harmless where another has no value.
    """
    parts = [node for node in topological([graph.loss]) if node.op == "apply"]
    for holds, reason, hint in _REASONS:
        for node in parts:
            if holds(node, values):
                return f"{text(node, graph.labels, top=True)} {reason}", hint
    return None


def _has_no_value(node: Node, values: dict[Node, Any]) -> bool:
    return not all(abs(x) < math.inf for x in _numbers(values[node]))


def _is_steep(node: Node, values: dict[Node, Any]) -> bool:
    """Whether a number is the root or the power of 0."""
    return node.data in ("sqrt", "pow") and any(x == 0 for x in _numbers(values[node.args[0]]))


def _is_kink(node: Node, values: dict[Node, Any]) -> bool:
    """Whether a number lies where the pieces of a function meet: at 0, or at a bound that is one number for all."""
    if node.data in ("relu", "abs", "sign"):
        return any(x == 0 for x in _numbers(values[node.args[0]]))
    if node.data not in ("min", "max", "clip"):
        return False
    bounds = [values[argument] for argument in node.args if not argument.axes]
    return any(x in bounds for argument in node.args if argument.axes for x in _numbers(values[argument]))


_REASONS = (
    (_has_no_value, "has no value, though no branch takes it", "give it one: z / where(abs(z) > 0.001, z, 1)"),
    (_is_steep, "is infinitely steep where it is 0", "keep it off 0: z / sqrt(abs(z) + 0.000001) in place of sign(z) * sqrt(abs(z))"),
    (_is_kink, "has a kink there", "write parts whose kinks cancel as one formula: relu(x) - relu(-x) is x"),
)


def _numbers(value: Any) -> list[Any]:
    """The numbers of a node, one for each index or only one."""
    if isinstance(value, dict):
        return list(value.values())
    return [value]
