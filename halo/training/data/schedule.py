"""Which examples a step sees, from seed, sizes and step number alone: a resumed run needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from halo.data.tokenized import TokenizedExample
from halo.training.data.mixing import Mix, grouped
from halo.training.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """per_step: examples of the effective batch; per_epoch, total: steps; lengths: of the examples, to group them by, or ()."""

    per_step: int
    per_epoch: int
    total: int
    mix: Mix
    lengths: Sequence[int] = ()
    _epochs: dict[int, list[int]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, settings: Settings, examples: Sequence[TokenizedExample], world: int) -> Schedule:
        """The last step of an epoch may be smaller; `Step` fills up for ranks that have no example left."""
        per_step, size = step_size(settings, world), len(examples)
        per_epoch = math.ceil(size / per_step)
        total = settings.max_steps
        if total <= 0:
            total = max(1, math.ceil(per_epoch * settings.num_train_epochs))
        weights = {one.name: one.weight for one in settings.sources(settings.data) if one.weight is not None and one.name}
        mix = Mix([e.source for e in examples], settings.seed if settings.shuffle else None, weights)
        lengths = [e.longest for e in examples if settings.group_by_length]
        return cls(per_step, max(1, per_epoch), total, mix, lengths)

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""
        return step / self.per_epoch

    def indices(self, step: int) -> list[int]:
        """The whole effective batch of a step (counting from 0)."""
        epoch, position = divmod(step, self.per_epoch)
        return self._order(epoch)[position * self.per_step : (position + 1) * self.per_step]

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._epochs:
            self._epochs.clear()
            order = self.mix.epoch(epoch)
            if self.lengths:
                order = grouped(order, self.lengths, self.per_step, self.mix.seed or 0, epoch)
            self._epochs[epoch] = order
        return self._epochs[epoch]


def step_size(settings: Settings, world: int) -> int:
    """Examples of an effective batch."""
    return settings.per_device_train_batch_size * settings.gradient_accumulation_steps * world


def share(batch: Sequence[T], rank: int, world: int, micro: int) -> list[list[T]]:
    """A rank's contiguous share of an effective batch, in micro-batches of at most `micro` examples."""
    low, high = (len(batch) * r // world for r in (rank, rank + 1))
    return [list(batch[i : min(i + micro, high)]) for i in range(low, high, micro)]
