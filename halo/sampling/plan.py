"""What is asked for, and in which batches: planned from all requests, never from those that are left, so that a restart repeats it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from halo.completions.sampling import Request
from halo.data.examples import Text

MOST_PARTS, PART = 8, 64
"""Files that requests are written to, whatever the number of processes, and requests from which there is a further one."""


@dataclass(frozen=True)
class Turn:
    """Which turn of a conversation a prompt is.

    number        from 1
    conversation  the key of the first turn; conversations with the same first question share it
    first_sample  the index of the first answer that this turn goes on from; None in the first turn
    earlier       how each earlier answer ended: its `finish`, or `empty` for one that says nothing
    """

    number: int
    conversation: str
    first_sample: int | None = None
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt of the data: its text or messages, its ids, the number of its row (from 1), and what else the row holds.

    turn  where it is part of a conversation that is sampled turn by turn
    """

    key: str
    text: Text
    ids: tuple[int, ...]
    number: int
    row: dict[str, Any]
    turn: Turn | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """Where it stands: rows as in the data, a row's turns one after the other, each turn by the index of the first answer."""
        if self.turn is None:
            return self.number, 1, 0
        return self.number, self.turn.number, self.turn.first_sample or 0


def prompt_key(text: Text | Sequence[str | int], tools: Any = ()) -> str:
    """16 hexadecimal digits of a prompt, or of the questions of a conversation, and its tools: the same wherever it stands."""
    return hashlib.sha256(json.dumps([text, tools], sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """Requests in parts, and batches of a part. `together`: all requests of a prompt are in one batch, which may be larger then.

    Which requests a part has, and in which order, follows from prompts and count alone; the size of a batch changes memory and speed.
    """

    prompts: Sequence[Prompt]
    count: int
    size: int
    seed: int
    together: bool = False

    @property
    def parts(self) -> int:
        """How many files requests are written to, each by one process."""
        return max(1, min(MOST_PARTS, len(self.prompts) * self.count // PART))

    def batches(self, part: int) -> list[list[Request]]:
        """The longest prompts first, so that memory runs out at once or never, and prompts of like length together."""
        longest_first = sorted(self.prompts, key=lambda prompt: (-len(prompt.ids), prompt.number))
        groups = [self._requests(prompt) for prompt in longest_first[part :: self.parts]]
        if self.together:
            return [[request for group in batch for request in group] for batch in _cut(groups, max(1, self.size // self.count))]
        return _cut([request for group in groups for request in group], self.size)

    def _requests(self, prompt: Prompt) -> list[Request]:
        return [Request(prompt.key, k, prompt.ids, noise_key(self.seed, prompt.key, k), prompt.row, prompt.text) for k in range(self.count)]


def noise_key(seed: int, prompt: str, index: int) -> int:
    """128 bits for the completion of that index of a prompt."""
    return int.from_bytes(hashlib.sha256(f"halo {seed} {prompt} {index}".encode()).digest()[:16], "little")


T = TypeVar("T")


def _cut(items: list[T], size: int) -> list[list[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
