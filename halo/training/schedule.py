"""Which examples a step sees, from seed, sizes and step number alone: a resumed run needs nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from halo.data.preparing import order
from halo.training.settings import Settings


@dataclass(frozen=True)
class Schedule:
    """size: examples; per_step: of the effective batch; per_epoch, total: steps; seed: None keeps the data's order."""

    size: int
    per_step: int
    per_epoch: int
    total: int
    seed: int | None
    world: int

    @classmethod
    def of(cls, settings: Settings, size: int, world: int) -> Schedule:
        """The last step of an epoch may be smaller; `Step` fills up for ranks that have no example left."""
        per_step = settings.per_device_train_batch_size * settings.gradient_accumulation_steps * world
        per_epoch = math.ceil(size / per_step)
        total = settings.max_steps if settings.max_steps > 0 else max(1, math.ceil(per_epoch * settings.num_train_epochs))
        return cls(size, per_step, max(1, per_epoch), total, settings.seed if settings.shuffle else None, world)

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""
        return step / self.per_epoch

    def indices(self, step: int) -> list[int]:
        """The whole effective batch of a step (counting from 0)."""
        epoch, position = divmod(step, self.per_epoch)
        return _order(self.size, self.seed, epoch)[position * self.per_step : (position + 1) * self.per_step]

    def of_rank(self, step: int, rank: int, micro: int) -> list[list[int]]:
        """This rank's contiguous share, in micro-batches of at most `micro` examples."""
        indices = self.indices(step)
        low, high = (len(indices) * r // self.world for r in (rank, rank + 1))
        own = indices[low:high]
        return [own[i : i + micro] for i in range(0, len(own), micro)]


@lru_cache(maxsize=2)
def _order(size: int, seed: int | None, epoch: int) -> list[int]:
    return list(range(size)) if seed is None else order(size, seed, epoch)
