"""What is trained on: an example as ids, with marks of what is scored, and what a sampler said of them.

Text becomes such an example in `tokenizing`, where the boundary of prompt and completion is verified. Ids that a sampler wrote are
taken as they are (`from_ids`): decoded and tokenized again they might be others, and their log-probs with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from halo.errors import DataError, Place
from halo.objective.feedback import Feedback

Numbers = Mapping[str, float | tuple[float, ...]]
"""A completion's columns by name: a number, or one for each scored token."""
Origin = Literal["text", "ids"]
"""Where an example's tokens come from: text that was tokenized here, or ids that a sampler wrote."""
Finish = Literal["", "end", "stop", "length"]
"""How a completion ended: nobody sampled it; with the end-of-sequence token; at a stop text; where it was cut."""


@dataclass(frozen=True)
class Tail:
    """One completion: its ids start with the last token of the shared prefix; `scored` marks what counts.

    temperature  of the distribution that its log-probs are of; 1 is the model's own
    """

    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    finish: Finish = ""
    temperature: float = 1.0


@dataclass(frozen=True)
class TokenizedExample:
    """An example as ids. A whole row is `prefix + tail.ids`. `tails` maps a slot to its completions (several in a list).

    id       the same for the same example, wherever it stands: of a text's content, or the sampler's name for it
    columns  the example's numbers that the objective wants; own: by slot, for each completion its own, of which some have one for
             each scored token: a sampler's `old_logp`, the mass that it kept, advantages, returns
    weight   how many times it stands in its batch
    round    of a recipe, in which it was sampled; 0 is data
    tensors  what the model reads beside ids, by the name of its argument: torch tensors, joined along their first dimension
    ref_logps  what the reference gives where it is known beforehand, by slot and completion: `logp`, and words of its own, by token
    sampled_by  whose ids they are: the first digits of weights' fingerprints
    source   the set that the example is of, where several are mixed
    """

    prefix: tuple[int, ...]
    tails: Mapping[str, tuple[Tail, ...]]
    place: Place
    prompt_key: str
    desirable: bool | None = None
    ranks: tuple[int, ...] = ()
    columns: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, tuple[Numbers, ...]] = field(default_factory=dict)
    ref_logps: Mapping[str, tuple[Mapping[str, tuple[float, ...]], ...]] | None = None
    source: str = ""
    id: str = ""
    origin: Origin = "text"
    sampled_by: tuple[str, ...] = ()
    weight: float = 1.0
    round: int = 0
    tensors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return len(self.prefix) + max((len(tail.ids) for tails in self.tails.values() for tail in tails), default=0)


@dataclass(frozen=True)
class Sampled:
    """A completion that a sampler wrote: its ids behind the prompt's, how it ended, and what was said of it.

    numbers  by name, one number or one for each id: `score`, `old_logp` (at the temperature, in nats), advantages, returns
    """

    ids: tuple[int, ...]
    finish: Finish
    temperature: float = 1.0
    numbers: Numbers = field(default_factory=dict)


def from_ids(kind: Feedback, prompt: Sequence[int], completions: Sequence[Sampled], place: Place, **more: Any) -> TokenizedExample:
    """An example of a kind from a prompt's ids and what was sampled behind them, every id of which is scored.

    more  further fields of the example, such as `id`, `round`, `weight`, `desirable`, `prompt_key`; ranks follow from scores
    Raises DataError for a number of completions that the kind has not, for an empty one, and for numbers that are not one for each id.
    """
    least, most = kind.count
    if not least <= len(completions) <= most:
        message = f"{len(completions)} completions make no {kind} example"
        raise DataError("data-row", message, place=place, hint=f"{kind.meaning}: {least} to {most:g}")
    if not prompt:
        raise DataError("data-row", "a prompt without a token cannot be answered", place=place, hint="a prompt has at least its BOS token")
    for completion in completions:
        _check(completion, place)
    if kind.has_ranks and "ranks" not in more:
        more["ranks"] = _ranks(completions)
    which = {slot: completions[number : number + 1] for number, slot in enumerate(kind.completions)}
    if kind.is_list:
        which = {kind.completions[0]: completions}
    tails = {slot: tuple(_tail(prompt[-1], one) for one in own) for slot, own in which.items()}
    numbers = {slot: tuple(one.numbers for one in own) for slot, own in which.items()}
    fields = {"prompt_key": str(tuple(prompt)), "origin": "ids", **more}
    return TokenizedExample(tuple(prompt[:-1]), tails, place, own=numbers, **fields)


def _tail(before: int, completion: Sampled) -> Tail:
    """Behind the prompt's last token, which is not scored."""
    scored = (False, *[True] * len(completion.ids))
    return Tail((before, *completion.ids), scored, completion.finish, completion.temperature)


def _check(completion: Sampled, place: Place) -> None:
    if not completion.ids:
        raise DataError("data-row", "a sampled completion has no token", place=place, hint="leave it out")
    for name, numbers in completion.numbers.items():
        if isinstance(numbers, tuple) and len(numbers) != len(completion.ids):
            message = f"{name} has {len(numbers)} numbers, the completion {len(completion.ids)} tokens"
            raise DataError("data-row", message, place=place, hint="one number, or one for each token")


def _ranks(completions: Sequence[Sampled]) -> tuple[int, ...]:
    """1 for the highest score; equal scores share a rank."""
    scores = [completion.numbers["score"] for completion in completions]
    return tuple(1 + sum(other > score for other in scores) for score in scores)  # type: ignore[operator]
