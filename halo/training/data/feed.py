"""What a run is fed with: a table of examples, or a stream that is read as training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from halo.data.streaming import Stream
from halo.data.tokenizing import TokenizedExample
from halo.training.data.schedule import Schedule


class Feed(Protocol):
    """Effective batches by step number. `total` steps; `per_epoch` steps, 0 where an epoch has no end that is known.

    Its state is saved with every checkpoint and restored before the first batch that is asked for.
    """

    @property
    def total(self) -> int: ...

    @property
    def per_epoch(self) -> int: ...

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""

    def batch(self, step: int) -> list[TokenizedExample]:
        """The whole effective batch of a step (counting from 0), the same on every rank."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors by name: what seed, settings and the step's number do not say."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a state back."""


class _Stateless:
    """Seed, settings and the step's number say all."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take."""


@dataclass(frozen=True)
class Table(_Stateless):
    """Examples in memory, in the order of the schedule."""

    examples: list[TokenizedExample]
    schedule: Schedule

    @property
    def total(self) -> int:
        return self.schedule.total

    @property
    def per_epoch(self) -> int:
        return self.schedule.per_epoch

    def epoch(self, step: int) -> float:
        return self.schedule.epoch(step)

    def batch(self, step: int) -> list[TokenizedExample]:
        return [self.examples[i] for i in self.schedule.indices(step)]

    def reached(self) -> list[int]:
        """The examples that a run will see, by index."""
        return sorted({i for step in range(self.total) for i in self.schedule.indices(step)})


@dataclass
class Flow(_Stateless):
    """A stream, `per_step` examples at a time. A step that lies further on is reached by reading what is before it."""

    stream: Stream
    per_step: int
    total: int
    per_epoch: int = 0
    _reading: Iterator[TokenizedExample] | None = field(default=None, repr=False)
    _next: int = 0

    def epoch(self, step: int) -> float:
        """Whole passes over the set that is furthest behind."""
        laps = [self.stream.laps.get(source.label, 0) for source in self.stream.sources]
        return float(min(laps))

    def batch(self, step: int) -> list[TokenizedExample]:
        if self._reading is None or step < self._next:
            self._reading, self._next = iter(self.stream), 0
        skipped = (step - self._next) * self.per_step
        self._next = step + 1
        return list(islice(self._reading, skipped, skipped + self.per_step))
