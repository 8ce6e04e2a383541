"""Whether the numbers of a point can occur together: a token's log-prob beside the sum that it is in, a position beside a length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from halo.analysis.curvature import Box
from halo.analysis.ranges import REALS, Span
from halo.checks.scalars.inputs import INPUT_SPANS, SUM_OF, SUMMED
from halo.compiler.graph import Node

Point = Mapping[Node, Fraction]


def can_occur(point: Point, box: Box) -> bool:
    """Whether completions with these numbers can be written down. Of a reduction that stays a variable that is not known."""
    if any(v.op == "reduce" for v in point):
        return False
    slots = {v.slot for v in point if v.op == "input"}
    return all(_one_completion({v: x for v, x in point.items() if v.op == "input" and v.slot == slot}, box) for slot in slots)


def _one_completion(numbers: Point, box: Box) -> bool:
    by_name = {(str(v.data), "token" in v.axes): x for v, x in numbers.items()}
    tokens = {name: x for (name, of_token), x in by_name.items() if of_token}
    whole = {name: x for (name, of_token), x in by_name.items() if not of_token}
    spans = {str(v.data): box.get(v, REALS) for v in numbers if "token" in v.axes}
    return any(_fits(int(n), tokens, whole, spans) for n in _lengths(tokens, whole))


def _lengths(tokens: Mapping[str, Fraction], whole: Mapping[str, Fraction]) -> Iterator[Fraction]:
    """How many tokens there may be: as many as the point says, or enough for the position that it names."""
    if "length" in whole:
        yield whole["length"]
        return
    yield from (Fraction(n) for n in (1, 2, 3))
    if "position" in tokens:
        yield tokens["position"]
        yield tokens["position"] + 1


def _fits(n: int, tokens: Mapping[str, Fraction], whole: Mapping[str, Fraction], spans: Mapping[str, Span]) -> bool:
    if "positions" in whole and whole["positions"] != Fraction(n * (n + 1), 2):
        return False
    if "position" in tokens and not 1 <= tokens["position"] <= n:
        return False
    for name, x in tokens.items():
        total = _total(name, n, whole)
        span = INPUT_SPANS.get(name, spans[name])
        if name != "position" and total is not None and not _rest_fits(total - x, n - 1, span):
            return False
    return True


def _total(name: str, n: int, whole: Mapping[str, Fraction]) -> Fraction | None:
    """The sum over the tokens that the point names, under any of its names."""
    if f"mean of {name}" in whole:
        return n * whole[f"mean of {name}"]
    return whole.get(SUMMED.get(name, f"{SUM_OF}{name}"))


def _rest_fits(rest: Fraction, others: int, span: Span) -> bool:
    """Whether so many other tokens, each in the range, add up to what is left of the sum."""
    if others == 0:
        return rest == 0
    return rest in Span(others * span.low, others * span.high, span.low_open, span.high_open)
