"""Small batches without their numbers: which examples, with which labels and ranks, and how many tokens each completion has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from halo.compiler.graph import LossGraph
from halo.objective.feedback import Feedback

LENGTHS = ((1, 1), (2, 1), (1, 3), (2, 2), (3, 2))
"""Of the first two completions of an example. Further ones have as many tokens as the second."""


@dataclass(frozen=True)
class Outline:
    """One example: the lengths of its completions by slot, its label or the ranks of its list."""

    lengths: Mapping[str, tuple[int, ...]]
    label: str = ""
    ranks: tuple[int, ...] = ()


def outlines(graph: LossGraph, examples: int, lists_of: int | None = None) -> Iterator[list[Outline]]:
    """Batches of so many examples: every choice of labels, lists with and without equal ranks, lengths that differ.

    `lists_of` keeps to lists of that many completions, none as good as another.
    """
    feedback = graph.feedback
    slots = tuple(dict.fromkeys([*feedback.completions, *graph.needs.slots]))
    marks = [Outline({}, label) for label in feedback.labels] or [Outline({})]
    if feedback.is_list:
        marks = [Outline({}, ranks=ranks) for ranks in _rankings(lists_of)]
    for lengths in LENGTHS:
        for chosen in product(marks, repeat=examples):
            turned = [lengths if e % 2 == 0 else lengths[::-1] for e in range(examples)]
            yield [_outline(feedback, slots, mark, own) for mark, own in zip(chosen, turned, strict=True)]


def _rankings(lists_of: int | None) -> list[tuple[int, ...]]:
    if lists_of is not None:
        return [tuple(range(1, lists_of + 1))]
    return [(1, 2), (1, 1), (1, 2, 3), (1, 2, 2)]


def _outline(feedback: Feedback, slots: tuple[str, ...], mark: Outline, lengths: tuple[int, int]) -> Outline:
    first, second = lengths
    found = {}
    for place, slot in enumerate(slots):
        if feedback.several(slot):
            found[slot] = (first, *(second for _ in mark.ranks[1:]))
        else:
            found[slot] = (first if place == 0 else second,)
    return Outline(found, mark.label, mark.ranks)
