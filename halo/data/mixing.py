"""Which examples an epoch has and in which order: from seed, epoch and sizes alone, so that a resumed run needs nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

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
    """

    sources: Sequence[str]
    seed: int | None
    weights: Mapping[str, float] = field(default_factory=dict)

    def epoch(self, number: int) -> list[int]:
        """The examples of an epoch (counting from 0), in order."""
        if not self.weights:
            return list(range(len(self.sources))) if self.seed is None else order(len(self.sources), self.seed, number)
        found: list[int] = []
        for name, count in _shares(len(self.sources), self.weights).items():
            own = [i for i, source in enumerate(self.sources) if source == name]
            found += [own[self._place(len(own), name, number * count + k)] for k in range(count)]
        random.Random(f"mix {self.seed} {number}").shuffle(found)
        return found

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
