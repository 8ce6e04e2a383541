"""A file of rows -> prompts as ids, each once. What cannot be answered is kept apart, with why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halo.data.examples import Text
from halo.data.formats import prompt_of, tools_of
from halo.data.reading import Reader, Source, rows_of
from halo.data.text.template import Template
from halo.errors import DataError, Place, RowLeftOut
from halo.progress import counted
from halo.sampling.plan import Prompt, Turn, prompt_key
from halo.sampling.turns import Conversation, prompt_ids, questions_of

Tools = tuple[Mapping[str, Any], ...]


@dataclass
class Prompts:
    """kept: those that are asked first; left_out: rows with a `reason` and a `place`; conversations: rows with several questions."""

    kept: list[Prompt] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def keys(self) -> list[list[Any]]:
        """What is asked, in its order."""
        return [[one.key, one.number] for one in self.kept] + [[one.key, one.number] for one in self.conversations]

    @property
    def turns(self) -> int:
        """Of the longest conversation."""
        return max((len(conversation.questions) for conversation in self.conversations), default=1)


def read_prompts(
    source: Source,
    formats: Any,
    template: Template | None,
    limit: int | None,
    say: Callable[[str], None],
    split: str = "train",
    given: bool = False,
) -> Prompts:
    """Of a set in any format, or of rows with a `prompt` or with `turns`. Raises DataError for a row that is built wrongly, and if none
    can be used.

    template  None: the prompts are not made ids, since no model reads them
    limit     ids that a prompt may have, beside what is written behind it
    given     the rows hold the completions: a prompt that stands again with others is kept, under a key of its own
    """
    found = _Reading(template, limit, given)
    reader = Reader(formats, source.format, source.columns, source.name)
    for row, place in counted(rows_of(source, split), f"{source.label}: prompts read", say):
        try:
            questions = questions_of(renamed := reader.renamed(row, place), source.columns, place)
            if questions is not None and len(questions) > 1:
                found.enter_conversation(questions, tools_of(renamed, place), row, place)
            elif questions is not None:
                found.enter(questions[0], tools_of(renamed, place), row, place)
            else:
                found.enter(*_prompt(reader, row, place), row, place)
        except RowLeftOut as problem:
            found.prompts.left_out.append({"place": str(place), "reason": problem.message})
    if not found.prompts.kept:
        first = found.prompts.left_out[0]
        raise DataError("no-rows", f"no prompt is left: {first['reason']}", place=Place(first["place"]), hint="look at the data")
    return found.prompts


class _Reading:
    """What was read so far: a prompt that stands twice is asked once, and so are equal beginnings of conversations."""

    def __init__(self, template: Template | None, limit: int | None, given: bool = False) -> None:
        self.template, self.limit, self.given = template, limit, given
        self.same: dict[str, set[str]] = {}  # of given completions, by prompt the rows that were read
        self.prompts, self.seen, self.rows = Prompts(), dict[str, Place](), 0

    def enter(self, prompt: Text, tools: Tools, row: Mapping[str, Any], place: Place) -> None:
        """A prompt that is asked by itself."""
        key = self._key(prompt, tools, row)
        if key in self.seen:
            self.leave_out(prompt, f"the same prompt as {self.seen[key]}", place)
        elif (ids := self.fitting(prompt, tools, place)) is not None:
            self.rows += 1
            self.seen[key] = place
            self.prompts.kept.append(Prompt(key, prompt, ids, self.rows, dict(row)))

    def _key(self, prompt: Text, tools: Tools, row: Mapping[str, Any]) -> str:
        """Of the prompt; where it stands again with other completions that are given, of how often it stood before too."""
        key = prompt_key(prompt, tools)
        if not self.given:
            return key
        rows, told = self.same.setdefault(key, set()), json.dumps(row, sort_keys=True, default=str)
        if told in rows or not rows:
            rows.add(told)
            return key
        rows.add(told)
        return prompt_key([key, len(rows)], tools)

    def enter_conversation(self, questions: tuple[str, ...], tools: Tools, row: Mapping[str, Any], place: Place) -> None:
        """A conversation, and its first question unless that is asked already."""
        if self.template is not None and not self.template.chat:
            hint = "use a tokenizer with a chat template"
            raise DataError("data-format", "the data holds conversations of several turns", place=place, hint=hint)
        one, asked = Conversation(questions, tools, self.rows + 1, row, place), ({"role": "user", "content": questions[0]},)
        if one.key in self.seen:
            self.leave_out(asked, f"the same conversation as {self.seen[one.key]}", place)
            return
        if one.first not in self.seen:
            ids = self.fitting(asked, tools, place)
            if ids is None:
                return
            self.prompts.kept.append(Prompt(one.first, asked, ids, one.number, dict(row), Turn(1, one.first)))
            self.seen[one.first] = place
        self.rows += 1
        self.seen[one.key] = place
        self.prompts.conversations.append(one)

    def fitting(self, prompt: Text, tools: Tools, place: Place) -> tuple[int, ...] | None:
        """The ids of a prompt, none without a template; None for one that leaves no room for an answer, which is left out."""
        ids = prompt_ids(self.template, prompt, tools, place)
        if self.limit is not None and len(ids) > self.limit:
            self.leave_out(prompt, f"a prompt of {len(ids)} tokens, of which at most {self.limit} leave room for an answer", place)
            return None
        return ids

    def leave_out(self, prompt: Text, reason: str, place: Place) -> None:
        self.prompts.left_out.append({"place": str(place), "prompt": prompt, "reason": reason})


def _prompt(reader: Reader, row: Mapping[str, Any], place: Place) -> tuple[Text, Tools]:
    """Of the column, or of what the row's format says is the prompt. Raises RowLeftOut, DataError."""
    renamed = reader.renamed(row, place)
    if "prompt" in renamed:
        return prompt_of(renamed, place), tools_of(renamed, place)
    try:
        example = reader.read(row, place)
    except DataError as problem:
        if problem.code != "data-format":
            raise
        hint = "--data-columns prompt=YOURS reads it from a column of yours"
        raise DataError("data-format", f"there is no column 'prompt' among {', '.join(row)}", place=place, hint=hint) from None
    return example.prompt, example.tools
