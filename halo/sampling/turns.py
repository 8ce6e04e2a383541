"""Conversations of several turns: each question follows the model's own answers to those before it.

A turn is asked when every answer of the turn before it stands, so that its batches are planned from all of its requests. Each turn of each
completion is a prompt of its own, with the conversation so far as messages: scorers and pairing need to know no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halo.data.examples import Text
from halo.data.formats import messages_of
from halo.data.text.template import Template
from halo.errors import DataError, Place, RowLeftOut
from halo.sampling.plan import Prompt, Turn, prompt_key

EMPTY = "empty"
"""What stands for the finish of an earlier answer that says nothing."""
Answers = Mapping[tuple[str, int], Mapping[str, Any]]
"""The rows of a turn, by prompt_id and index."""


@dataclass(frozen=True)
class Conversation:
    """A row of the data: its questions, its tools, its number among the rows that are asked (from 1), the row itself, where it stands."""

    questions: tuple[str, ...]
    tools: tuple[Mapping[str, Any], ...]
    number: int
    row: Mapping[str, Any]
    place: Place

    @property
    def first(self) -> str:
        """The key of the first turn: that of its question asked alone."""
        return prompt_key(self.questions[0], self.tools)

    @property
    def key(self) -> str:
        """The key of all its questions."""
        return prompt_key(self.questions, self.tools)

    def turn_key(self, number: int, sample: int) -> str:
        """Of a later turn: the questions up to it and the index of the first answer. Another model's answers change nothing in it."""
        return prompt_key([*self.questions[:number], sample], self.tools)

    def before(self, number: int, sample: int) -> tuple[str, int]:
        """Where the answer stands that a turn follows."""
        return (self.first, sample) if number == 2 else (self.turn_key(number - 1, sample), 0)


@dataclass
class NextTurn:
    """prompts: those that are asked; left_out: those that cannot be, with why."""

    prompts: list[Prompt] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


def questions_of(row: Mapping[str, Any], columns: Mapping[str, str], place: Place) -> tuple[str, ...] | None:
    """The column `turns`: texts, or objects with a text as `content`. None where there is none, or another column was named.

    Raises RowLeftOut for an empty question, DataError for a column that was named and is something else, or where there is a prompt too.
    """
    if "turns" not in row or "prompt" in columns:
        return None
    value = row["turns"]
    said = value if isinstance(value, list) else []
    texts = tuple(text for text in map(_text, said) if text is not None)
    if not texts or len(texts) < len(said):
        if "turns" in columns:
            raise DataError("data-row", f"turns is {type(value).__name__}", place=place, hint="a list of texts, one for each question")
        return None
    if "prompt" in row and "turns" not in columns:
        hint = "--data-columns prompt=prompt or turns=turns says which is asked"
        raise DataError("data-format", "the row has a prompt and turns", place=place, hint=hint)
    if not all(text.strip() for text in texts):
        raise RowLeftOut("data-row", "a question of the conversation is empty", place=place)
    return texts


def _text(one: Any) -> str | None:
    """Of a question as MT-Bench has it, a text, or as Arena-Hard has it, an object with a text as `content`; None for anything else."""
    found = one.get("content") if isinstance(one, Mapping) else one
    return found if isinstance(found, str) else None


def next_turn(
    conversations: Sequence[Conversation], number: int, count: int, answers: Answers, template: Template | None, limit: int | None
) -> NextTurn:
    """The prompts of a turn from the second on, from all answers of the turn before it. Raises HaloError where the template refuses.

    count  completions of each conversation; limit: ids that a prompt may have
    """
    found, seen = NextTurn(), set[str]()
    for conversation, sample in _paths(conversations, number, count):
        key, answer = conversation.turn_key(number, sample), answers.get(conversation.before(number, sample))
        if key in seen or answer is None:  # its beginning is another's too, or was left out with a reason of its own
            continue
        seen.add(key)
        messages = _continued(answer, conversation.questions[number - 1])
        ids = prompt_ids(template, messages, conversation.tools, conversation.place)
        if limit is not None and len(ids) > limit:
            reason = f"a prompt of {len(ids)} tokens in turn {number}, of which at most {limit} leave room for an answer"
            told = {"place": str(conversation.place), "prompt": messages, "reason": reason, "turn": number, "first_sample": sample}
            found.left_out.append(told)
            continue
        earlier = (*answer.get("earlier", ()), answer["finish"] if str(answer["completion"]).strip() else EMPTY)
        turn = Turn(number, conversation.first, sample, earlier)
        found.prompts.append(Prompt(key, messages, ids, conversation.number, dict(conversation.row), turn))
    return found


def prompt_ids(template: Template | None, prompt: Text, tools: Sequence[Mapping[str, Any]], place: Place) -> tuple[int, ...]:
    """What a completion of the prompt follows in training; nothing without a template, where no model here reads it.

    Raises DataError, with the place, for one that cannot be written.
    """
    if template is None:
        return ()
    try:
        return tuple(template.prompt_ids(prompt, tools))
    except DataError as problem:
        raise DataError(problem.code, problem.message, place=problem.place or place, hint=problem.hint) from None


def _paths(conversations: Sequence[Conversation], number: int, count: int) -> Iterator[tuple[Conversation, int]]:
    """Each conversation that has such a turn, once for each of its completions."""
    for conversation in conversations:
        if len(conversation.questions) >= number:
            yield from ((conversation, sample) for sample in range(count))


def _continued(answer: Mapping[str, Any], question: str) -> tuple[Mapping[str, Any], ...]:
    prompt = answer["prompt"]
    before = messages_of(prompt if isinstance(prompt, str) else tuple(prompt), "user")
    return (*before, {"role": "assistant", "content": answer["completion"]}, {"role": "user", "content": question})
