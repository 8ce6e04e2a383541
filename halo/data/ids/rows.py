"""Examples that a sampler wrote as rows of ids, checked against their texts and the template in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from halo.data.columns import OLD_LOGP
from halo.data.examples import Example, Text
from halo.data.ids.columns import Ids
from halo.data.text.template import Template
from halo.data.tokenized import Finish, Numbers, TokenizedExample
from halo.errors import DataError, ModelError

TEXTS = "--sampled-ids false makes ids of the texts"


@dataclass(frozen=True)
class TokenRow:
    """Ids of a whole row, which of them are scored, and the first that is (never the very first: nothing predicts it)."""

    ids: list[int]
    scored: list[bool]
    first: int
    finish: Finish = ""
    temperature: float = 1.0


@contextmanager
def placed(example: Example) -> Iterator[None]:
    """Around a template, which does not know the row: its messages get the row's place."""
    try:
        yield
    except (DataError, ModelError) as problem:
        raise type(problem)(problem.code, problem.message, place=problem.place or example.place, hint=problem.hint) from None


def check_prompt(example: Example, template: Template, control: str) -> None:
    """Raises DataError for ids of a prompt that are not those that this tokenizer and template make of it."""
    if example.ids is None:
        return
    with placed(example):
        own = tuple(template.prompt_ids(example.prompt, example.tools, control))
    if own != example.ids.prompt:
        message = "the prompt's ids are not those of this tokenizer and template: it was sampled with others"
        raise DataError("data-row", message, place=example.place, hint=f"sample again, or {TEXTS}")


def row_of_ids(
    example: Example, slot: str, place: int, completion: Text, template: Template, mismatched: Ids | None = None
) -> TokenRow | None:
    """The row of a slot's completion, where a sampler wrote it; `mismatched`: what it wrote for another prompt.

    Raises DataError where the ids are not those of the text.
    """
    found, at = mismatched, 0
    if slot != "mismatched":
        if slot not in example.kind.completions:
            return None
        found, at = example.ids, example.kind.place_of(slot, place)
    if found is None or example.ids is None:
        return None
    prompt, ids = example.ids.prompt, found.completions[at]
    said = ids[:-1] if found.finishes[at] == "end" else ids
    if isinstance(completion, str) and template.tokenizer.decode(list(said), clean_up_tokenization_spaces=False) != completion:
        message = f"the text of {slot} is not that of its ids: it was edited"
        raise DataError("data-row", message, place=example.place, hint=TEXTS)
    scored = [False] * len(prompt) + [True] * len(ids)
    return TokenRow([*prompt, *ids], scored, len(prompt), found.finishes[at], found.temperatures[at])


def with_logps(result: TokenizedExample, example: Example) -> TokenizedExample:
    """The example with the log-probs under the sampler, where ids came with them, whether or not the objective reads them."""
    if result.origin != "ids" or not example.ids or not all(OLD_LOGP in numbers for numbers in example.own):
        return result
    own: dict[str, tuple[Numbers, ...]] = {}
    for slot in result.tails:
        if slot not in example.kind.completions:
            continue
        places = [example.kind.place_of(slot, k) for k in range(len(result.tails[slot]))]
        logps = [example.own[place][OLD_LOGP] for place in places]
        if any(len(found) != len(example.ids.completions[place]) for found, place in zip(logps, places, strict=True)):
            message = f"{OLD_LOGP} has not one number for each of its tokens"
            raise DataError("data-row", message, place=example.place, hint=TEXTS)
        own[slot] = tuple({OLD_LOGP: tuple(map(float, found))} for found in logps)
    return replace(result, own=own, sampled_by=tuple(sorted(set(example.ids.weights))))
