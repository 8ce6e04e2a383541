"""What a run is fed with: a table of examples, a stream that is read as training goes on, or what the policy itself writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from halo.data.streaming import Stream
from halo.data.tokenized import TokenizedExample
from halo.errors import RunFailed
from halo.training.data.schedule import Schedule


class Feed(Protocol):
    """Effective batches by step number. `total` steps, 0 where nobody knows: then the first batch without an example is the end.
    `per_epoch` steps, 0 where an epoch has no end that is known.

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


class PolicyView(Protocol):
    """The policy as it is before a step, as far as a feed may look at it: every rank must, or none, since one that lies in parts is
    put together by all of them."""

    @property
    def step(self) -> int:
        """The steps that it has taken."""

    def fingerprint(self) -> str:
        """Of its weights as they are (`state_fingerprint`)."""

    def generating(self) -> AbstractContextManager[Any]:
        """The model whole and ready to write, for as long as this lasts."""


@runtime_checkable
class OnlineFeed(Feed, Protocol):
    """One whose examples come from the policy as it is: it is shown it before every batch that is asked for."""

    def see(self, policy: PolicyView) -> None:
        """Called before `batch` of every step."""


@dataclass(frozen=True)
class Table:
    """Examples in memory, in the order of the schedule. Its state is which examples these are: a resumed run goes on with the same."""

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

    def state_dict(self) -> dict[str, Any]:
        return {"examples": self._digest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises RunFailed for another table's state."""
        if state.get("examples", self._digest) != self._digest:
            message = "the data holds other examples than it did when the run was started, or in another order"
            raise RunFailed("resume", message, hint="resume with the data as it was, or give --resume-anyway")

    @cached_property
    def _digest(self) -> str:
        """Of all examples' ids in their order."""
        return hashlib.sha256("\n".join(example.id for example in self.examples).encode()).hexdigest()


@dataclass
class Flow:
    """A stream, `per_step` examples at a time. A step that lies further on is reached by reading what is before it."""

    stream: Stream
    per_step: int
    total: int
    per_epoch: int = 0
    _reading: Iterator[TokenizedExample] | None = field(default=None, repr=False)
    _next: int = 0
    _seen: Any = field(default_factory=hashlib.sha256, repr=False)
    _expected: tuple[int, str] = (0, "")

    def epoch(self, step: int) -> float:
        """Whole passes over the set that is furthest behind."""
        laps = [self.stream.laps.get(source.label, 0) for source in self.stream.sources]
        return float(min(laps))

    def batch(self, step: int) -> list[TokenizedExample]:
        """Raises RunFailed where a resumed run reads other examples on its way there than it was trained on."""
        if self._reading is None or step < self._next:
            self._reading, self._next, self._seen = iter(self.stream), 0, hashlib.sha256()
        while self._next < step:
            self._read()
        if self._expected[0] == step and self._expected[1] not in ("", self._seen.hexdigest()):
            message = f"the stream gives other examples in its first {step} steps than it did when the run was trained on them"
            raise RunFailed("resume", message, hint="resume with the data as it was, or give --resume-anyway")
        return self._read()

    def _read(self) -> list[TokenizedExample]:
        assert self._reading is not None, "batch begins it"
        found = list(islice(self._reading, self.per_step))
        for example in found:
            self._seen.update(f"{example.id}\n".encode())
        self._next += 1
        return found

    def state_dict(self) -> dict[str, Any]:
        """How many steps were read and what: the stream is read again from its beginning."""
        return {"consumed": [self._next, self._seen.hexdigest()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What the first so many steps must be."""
        steps, digest = state.get("consumed", (0, ""))
        self._expected = (int(steps), str(digest))
