"""Translation validation: what the generated code computes is what the file declares, or the loss is not handed out.

At a few fixed points (`samples`) the torch function runs in float64. Everything it returns, and the slope of the loss
along one direction for each example, is compared with the *declared* graph in hundreds of digits (`compiler.exact`): the
rewrites of `stability`, the printer and the helper words all stand between the two.

What is compared. A number that is undefined or past float64's range in exact arithmetic is no point of comparison. The
exact slope is a difference over a step of 1e-25 to 1e-90, taken to either side: at a kink (max(0, u) at u = 0) the two
sides disagree, any slope between them is right, and the direction is skipped. `stop` nodes keep their values in it. The
slope of z**3 at 0 comes out as the step's square: where the policy is the reference, slopes below 1e-15 count as 0.

Tolerance. Float64 keeps 16 digits and the words are good to a few units in the last place, so 1e-9 leaves room for sums
that cancel a millionfold. It is relative to the number itself; for the loss and its terms to their largest item, for a
slope to sum |g_i d_i|, because such sums may cancel to nothing.

A mismatch is looked at in three steps. With four times the digits it must stand. If the rewritten graph, in exact
arithmetic, does not give the declared number, a rewrite is wrong. Else the printed code is wrong, unless the formula is
beyond float64 for any code: its rewritten form moves as much when each step is off by one rounding, or a number on the
way leaves float64's range (for a slope, the root of that range: the product rule multiplies two of them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from halo.compiler.exact import Evaluator, Rounding
from halo.compiler.graph import LossGraph, Node, topological
from halo.compiler.indices import ExactBatch
from halo.compiler.pipeline import CompiledObjective
from halo.errors import HaloError, ObjectiveError, Place, RunFailed
from halo.loss.inputs import LossInputs, LossOutput
from halo.loss.samples import KINDS, Leaf, Sample, sample
from halo.loss.slopes import Direction, limit, part_without_slope, sides
from halo.loss.statistics import reduced

Observe = Callable[[str, LossInputs, dict[str, torch.Tensor]], torch.Tensor]

RELATIVE = 1e-9
TINY, HUGE = 2.0**-1022, 1.7e308
ROUNDINGS = 1000  # this many times the effect of rounding each step once is still the formula's own noise
DIGITS = {"ordinary": (60, 25), "at_reference": (60, 25)}  # digits, and the step's exponent
HINT = "this is a bug of halo's, please report it; LossFunction(compiled, validate=False) goes on without the check"
FAR_DIGITS = (400, 90)  # enough for 1 - sigmoid(500), as the file may write it


@dataclass
class Checked:
    """What was compared at one point: numbers, slopes; and what was not: slopes at a kink, numbers beyond float64."""

    kind: str
    values: int = 0
    slopes: int = 0
    kinks: int = 0
    beyond: int = 0


def validate(compiled: CompiledObjective, run: Callable[..., LossOutput], observe: Observe | None = None) -> list[Checked]:
    """Compares `run` with the declared graph at every point. Raises RunFailed at the first difference.

    `run` is given a batch and, of an objective with running statistics, their values; `observe` the same after the name
    of a statistic, and returns what the batch shows of it.
    """
    with torch.inference_mode(False), torch.enable_grad():
        return [_Point(compiled, sample(compiled, kind)).checked(run, observe) for kind in KINDS]


@dataclass(frozen=True)
class _Quantity:
    """One number to compare: `of` computes it exactly from a graph (declared or rewritten); `output` is what it is of."""

    what: str
    output: str
    got: float
    of: Callable[[LossGraph, Evaluator, Rounding | None], Any]
    slope: bool = False


class _Point:
    def __init__(self, compiled: CompiledObjective, batch: Sample) -> None:
        self.compiled, self.batch, self.graph = compiled, batch, compiled.declared
        self.digits, self.exponent = DIGITS.get(batch.kind, FAR_DIGITS)
        self.floor = 0.0 if self.digits == FAR_DIGITS[0] else 10.0 ** (10 - self.exponent)
        self.evaluator = self.evaluator_with(self.digits)
        self.report = Checked(batch.kind)

    def evaluator_with(self, digits: int) -> Evaluator:
        return Evaluator(self.batch.exact, {**self.compiled.parameters, **self.batch.statistics}, digits)

    def checked(self, run: Callable[..., LossOutput], observe: Observe | None) -> Checked:
        output = self.returned_by(run)
        named = _named(self.graph)
        values = self.evaluator.values(named.values(), self.batch.exact)
        largest = self.largest(values)
        for name, tensor in _by_name(output).items():
            node, numbers = named[name], tensor.detach().tolist()
            floor, indexed = (0, values[node]) if node.axes else (largest, {(): values[node]})
            for key, true in indexed.items():
                got, exactly = self.number(numbers, node, key), _value_of(self.batch.exact, name, key)
                quantity = _Quantity(name + "".join(f"[{index}]" for index in key), name, got, exactly)
                self.report.values += self.compare(quantity, true, max(abs(true), floor))
        if self.defined(values[self.graph.loss]):
            self.check_slopes(values, output)
        if observe is not None:
            self.check_statistics(observe, values)
        return self.report

    def given(self) -> dict[str, torch.Tensor]:
        """The statistics' values as a loss takes them."""
        return {name: torch.tensor(value, dtype=torch.float64, device="cpu") for name, value in self.batch.statistics.items()}

    def check_statistics(self, observe: Observe, values: dict[Node, Any]) -> None:
        """What the batch shows of each running statistic."""
        for name, running in self.graph.statistics.items():
            true, output = values[running.observed], f"statistics[{name!r}]"
            got = reduced(str(running.observed.data), observe(name, self.batch.inputs, self.given())).item()
            self.report.values += self.compare(_Quantity(output, output, got, _value_of(self.batch.exact, output, ())), true, abs(true))

    def returned_by(self, run: Callable[..., LossOutput]) -> LossOutput:
        try:
            if not self.graph.statistics:
                return run(self.batch.inputs)
            return run(self.batch.inputs, statistics=self.given())
        except HaloError:
            raise
        except Exception as error:
            message = f"objective {self.graph.name}, point {self.batch.kind!r}: the generated code does not run: {error}"
            raise RunFailed("validation", message, hint=HINT) from error

    def defined(self, true: Any) -> bool:
        """Whether float64 has this number."""
        return bool(abs(true) < HUGE)  # nan is not

    def largest(self, values: dict[Node, Any]) -> Any:
        """The largest item there is; the loss and its terms are sums of items."""
        items = [abs(x) for node in self.graph.items.values() for x in values[node].values()]
        return max((x for x in items if x < HUGE), default=0)

    def number(self, numbers: Any, node: Node, key: tuple[int, ...]) -> float:
        """The number of an output at an index; tokens lie where the sample put them."""
        where = list(key)
        if node.axes and node.axes[-1] == "token":
            where[-1] = self.places(node, key)[where[-1]]
        for index in where:
            numbers = numbers[index]
        return float(numbers)

    def places(self, node: Node, key: tuple[int, ...]) -> Any:
        assert node.tokens is not None
        slot, axis = node.tokens
        rows = self.batch.places[slot][key[0]]
        if axis:
            return rows[key[node.axes.index(axis)]]
        which = [n.data for n in topological([node]) if n.op == "select"]
        if not which:
            return rows
        return rows[self.evaluator.indices.selected(str(which[0]), key[0])]

    # -- slopes ----------------------------------------------------------------------------------------------------

    def check_slopes(self, values: dict[Node, Any], output: LossOutput) -> None:
        gradients: dict[Leaf, Any] = dict.fromkeys(self.batch.leaves)
        if output.loss.requires_grad:
            found = torch.autograd.grad(output.loss, list(self.batch.leaves.values()), allow_unused=True)
            gradients |= {leaf: grad.tolist() for leaf, grad in zip(self.batch.leaves, found, strict=True) if grad is not None}
        rng = Random(1)
        for b in range(self.batch.exact.examples):
            direction = Direction(self.batch.exact, list(self.batch.leaves), b, rng)
            left, right = sides(self.graph, self.evaluator, self.exponent, direction, None, values)
            if not self.defined(left) or not self.defined(right):
                self.report.beyond += 1
                continue
            products = list(direction.products(gradients, self.batch.places))
            got, scale = math.nan, 0.0
            if all(map(math.isfinite, products)):
                got, scale = math.fsum(products), math.fsum(map(abs, products))
            if self.is_suspicious(got, scale, left, right) and output.loss.isfinite():
                left, right = self.limits(b, direction)
                if self.is_suspicious(got, scale, left, right):
                    self.hold_parts(b)
            if self.is_kink(left, right):
                self.report.kinks += 1
                continue
            quantity = _Quantity(f"slope of the loss in example {b}", "loss", got, _slope_of(direction, self.exponent), slope=True)
            self.report.slopes += self.compare(quantity, (left + right) / 2, scale)

    def is_kink(self, left: Any, right: Any) -> bool:
        return bool(abs(right - left) > 1e-12 * (abs(left) + abs(right)) + self.floor)

    def is_suspicious(self, got: float, scale: float, left: Any, right: Any) -> bool:
        """Whether the formula itself may be the reason for what is found: a slope that is infinite, or a branch without a value.

        Not asked at the far points, where numbers leave float64 on the way.
        """
        if self.digits == FAR_DIGITS[0]:
            return False
        if math.isnan(got):
            return True
        return not self.is_kink(left, right) and not self.near(got, (left + right) / 2, RELATIVE * scale + self.floor)

    def limits(self, b: int, direction: Direction) -> tuple[Any, Any]:
        """The slopes to the left and to the right as the step goes to 0. Raises ObjectiveError where one of them is infinite."""
        evaluator = self.evaluator_with(4 * self.digits)
        base = evaluator.values(self.graph.everything(), self.batch.exact)
        steps = [sides(self.graph, evaluator, n * self.exponent, direction, None, base) for n in (1, 2, 3)]
        left, right = (limit(*slopes) for slopes in zip(*steps, strict=True))
        if left is None or right is None:
            hint = "keep roots, and powers below 1, off 0: z / sqrt(abs(z) + 0.000001) in place of sign(z) * sqrt(abs(z))"
            raise self.no_gradient(f"the slope of the loss in example {b} is infinite", hint)
        return left, right

    def hold_parts(self, b: int) -> None:
        """Raises ObjectiveError where a part of the formula has no slope, so that no code has the gradient of the whole."""
        found = part_without_slope(self.graph, self.evaluator.values(topological([self.graph.loss]), self.batch.exact))
        if found is not None:
            reason, hint = found
            raise self.no_gradient(f"{reason}, so that the gradient in example {b} comes out wrong", hint)

    def no_gradient(self, what: str, hint: str) -> ObjectiveError:
        where = "an ordinary batch"
        if self.batch.kind == "at_reference":
            where = "policy = reference"
        return ObjectiveError("no-gradient", f"{self.graph.name} at {where}: {what}", place=Place(self.compiled.objective.file), hint=hint)

    # -- comparing -------------------------------------------------------------------------------------------------

    def compare(self, quantity: _Quantity, true: Any, scale: Any) -> bool:
        """Whether there was something to compare. Raises RunFailed if it differs."""
        if not self.defined(true):
            self.report.beyond += 1
            return False
        tolerance = RELATIVE * scale + self.floor * quantity.slope
        if self.near(quantity.got, true, tolerance):
            return True
        self.look_closely(quantity, tolerance)
        self.report.beyond += 1
        return False

    def near(self, got: float, true: Any, tolerance: Any) -> bool:
        return math.isfinite(got) and bool(abs(true - got) <= tolerance + TINY)

    def look_closely(self, quantity: _Quantity, tolerance: Any) -> None:
        """Returns only if no float64 code could do better than this mismatch."""
        failure = None
        for digits in (self.digits, 4 * self.digits):
            failure = self.fault(quantity, tolerance, self.evaluator_with(digits))
            if failure is None:
                return
        assert failure is not None
        raise failure

    def fault(self, quantity: _Quantity, tolerance: Any, evaluator: Evaluator) -> RunFailed | None:
        """Which step is wrong, as far as this many digits can tell."""
        true = quantity.of(self.graph, evaluator, None)
        if not self.defined(true) or self.near(quantity.got, true, tolerance):
            return None
        rewritten = quantity.of(self.compiled.graph, evaluator, None)
        if not self.defined(rewritten) or abs(rewritten - true) > 1e-30 * abs(true) + TINY:
            return self.failure(quantity, true, "a rewrite of halo/compiler/stability.py changed its value")
        if self.leaves_float64(quantity, evaluator) or self.is_noise(quantity, evaluator, rewritten):
            return None
        return self.failure(quantity, true, "the rewritten graph is right, the code printed from it is not")

    def leaves_float64(self, quantity: _Quantity, evaluator: Evaluator) -> bool:
        """Whether a number on the way, in the rewritten graph, overflows or underflows."""
        nodes = topological([_named(self.compiled.graph)[quantity.output]])
        numbers: list[Any] = []
        for value in evaluator.values(nodes, self.batch.exact).values():
            numbers += value.values() if isinstance(value, dict) else [value]
        low, high = TINY, HUGE
        if quantity.slope:
            low, high = TINY**0.5, HUGE**0.5
        return any(not abs(x) < high or 0 < abs(x) < low for x in numbers if not isinstance(x, bool))

    def is_noise(self, quantity: _Quantity, evaluator: Evaluator, exact: Any) -> bool:
        """Whether the rewritten formula moves as much when every step of it is off by one rounding."""
        noise = [abs(quantity.of(self.compiled.graph, evaluator, _once_rounded(Random(seed))) - exact) for seed in range(3)]
        return not all(map(self.defined, noise)) or self.near(quantity.got, exact, ROUNDINGS * max(noise))

    def failure(self, quantity: _Quantity, true: Any, why: str) -> RunFailed:
        name = self.graph.name
        message = (
            f"objective {name}, point {self.batch.kind!r}: the generated code's {quantity.what} is {quantity.got!r}, "
            f"the declared formula's {float(true)!r} ({why})"
        )
        return RunFailed("validation", message, hint=HINT)


def _slope_of(direction: Direction, exponent: int) -> Callable[[LossGraph, Evaluator, Rounding | None], Any]:
    def slope(graph: LossGraph, evaluator: Evaluator, rounding: Rounding | None) -> Any:
        base = evaluator.values([graph.loss], direction.batch, None, rounding)
        left, right = sides(graph, evaluator, exponent, direction, rounding, base)
        return (left + right) / 2

    return slope


def _value_of(batch: ExactBatch, name: str, key: tuple[int, ...]) -> Callable[[LossGraph, Evaluator, Rounding | None], Any]:
    def value(graph: LossGraph, evaluator: Evaluator, rounding: Rounding | None) -> Any:
        node = _named(graph)[name]
        found = evaluator.values([node], batch, None, rounding)[node]
        return found[key] if node.axes else found

    return value


def _once_rounded(rng: Random) -> Rounding:
    """Every computed number off by about one rounding of float64, by the same factor whenever it is computed again."""
    factors: dict[tuple[Node, int], float] = {}

    def rounding(node: Node, index: int, x: Any) -> Any:
        if node.op == "number" and node.data.denominator == 1:
            return x
        off = factors.setdefault((node, index), rng.choice((-1, 1)) * rng.uniform(0.5, 1) * 2.0**-53)
        return x + x * off

    return rounding


GROUPS = ("terms", "items", "rewards", "reference_points")


def _named(graph: LossGraph) -> dict[str, Node]:
    """Every output by a name that the declared and the rewritten graph share."""
    observed = {f"statistics[{name!r}]": running.observed for name, running in graph.statistics.items()}
    return _by_name(graph) | observed


def _by_name(whole: LossGraph | LossOutput) -> dict[str, Any]:
    """The loss, and the members of every group, as the code names them."""
    return {"loss": whole.loss} | {f"{group}[{name!r}]": one for group in GROUPS for name, one in getattr(whole, group).items()}
