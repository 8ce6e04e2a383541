"""Which examples an epoch has and in which order: from seed, epoch and sizes alone, so that a resumed run needs nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from halo.errors import DataError, Place

WINDOW = 50  # steps whose examples are sorted by length together: long enough to match lengths, short enough to stay shuffled


def order(size: int, seed: int, epoch: int) -> list[int]:
    """The order of one pass over a set, from seed and epoch alone."""
    indices = list(range(size))
    random.Random(f"order {seed} {epoch}").shuffle(indices)
    return indices


@dataclass(frozen=True)
class Mix:
    """What is seen of a training set, epoch by epoch.

    sources  each example's set; weights  shares by set, or {}: every example once an epoch; seed  None keeps the data's order

    With weights an epoch has as many examples as the sets together. A set whose share is larger than its size is passed
    over again, one whose share is smaller goes on in the next epoch where it stopped: no row is ever left out for good.
    Without a seed the sets still take turns at random, each in its own order.

    Raises DataError for a set of no examples, or of which an epoch would have none.
    """

    sources: Sequence[str]
    seed: int | None
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, count in _shares(len(self.sources), self.weights).items():
            if name not in self.sources:
                message = f"no example of the set {name!r} is left to train on"
                raise DataError("no-rows", message, place=Place("data"), hint="leave the set out")
            if not count:
                message = f"the weight of the set {name!r} gives it not one of the {len(self.sources)} examples of an epoch"
                raise DataError("no-rows", message, place=Place("data"), hint="give it more weight, or leave it out")

    def epoch(self, number: int) -> list[int]:
        """The examples of an epoch (counting from 0), in order."""
        if not self.weights:
            if self.seed is None:
                return list(range(len(self.sources)))
            return order(len(self.sources), self.seed, number)
        shares = _shares(len(self.sources), self.weights)
        examples: dict[str, Iterator[int]] = {}
        for name, count in shares.items():
            own = [i for i, source in enumerate(self.sources) if source == name]
            examples[name] = iter([own[self._place(len(own), name, number * count + k)] for k in range(count)])
        turns = [name for name, count in shares.items() for _ in range(count)]
        random.Random(f"mix {self.seed} {number}").shuffle(turns)
        return [next(examples[name]) for name in turns]

    def _place(self, size: int, name: str, position: int) -> int:
        """Where in a set of this size the given position of its endless passes lies."""
        lap, place = divmod(position, size)
        if self.seed is None:
            return place
        key = (size, self.seed, name, lap)
        if key not in _laps:
            _laps.clear()
            indices = list(range(size))
            random.Random(f"lap {self.seed} {name} {lap}").shuffle(indices)
            _laps[key] = indices
        return _laps[key][place]


_laps: dict[tuple[int, int, str, int], list[int]] = {}
"""The lap in use, kept because its places are asked for one after another."""


def _shares(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the ratio of the weights that add up to the total."""
    ends = [round(total * part / sum(weights.values())) for part in accumulate(weights.values())]
    return {name: high - low for name, low, high in zip(weights, [0, *ends], ends, strict=False)}


def grouped(indices: Sequence[int], lengths: Sequence[int], per_step: int, seed: int, epoch: int) -> list[int]:
    """The same examples, so that those of a step are about as long as one another and the steps come in random order.

    Windows of WINDOW steps are sorted by length; the first step has the longest examples, so that memory runs out at once or never.
    """
    steps: list[list[int]] = []
    for start in range(0, len(indices), WINDOW * per_step):
        window = sorted(indices[start : start + WINDOW * per_step], key=lambda i: -lengths[i])
        steps += [window[k : k + per_step] for k in range(0, len(window), per_step)]
    whole, ragged = [s for s in steps if len(s) == per_step], [s for s in steps if len(s) < per_step]
    random.Random(f"groups {seed} {epoch}").shuffle(whole)
    if whole:
        longest = max(range(len(whole)), key=lambda k: lengths[whole[k][0]])
        whole[0], whole[longest] = whole[longest], whole[0]
    return [i for step in [*whole, *ragged] for i in step]
