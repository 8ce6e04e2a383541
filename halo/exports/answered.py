"""A folder of samples as questions with their answers: what every benchmark's file is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo.errors import DataError, Place
from halo.files.lines import Lines
from halo.sampling.rows import PROMPTS, SAMPLES


@dataclass(frozen=True)
class Answered:
    """A completion with the whole conversation. asked, answers: each turn's, in their order; index: of the first answer.

    tokens  of the last answer, the one that ends it with them; None of a text that nobody sampled
    """

    asked: tuple[str, ...]
    answers: tuple[str, ...]
    index: int
    tokens: int | None


@dataclass
class Question:
    """A row of the data: its columns, the prompt_id of its first turn, its completions by index, each to its last turn."""

    columns: Mapping[str, Any]
    key: str
    place: Place
    completions: list[Answered] = field(default_factory=list)

    def identity(self, *names: str) -> Any:
        """The first of these columns that the row has, as it stands there; else the prompt_id."""
        return next((self.columns[name] for name in names if self.columns.get(name) is not None), self.key)

    def answer_id(self, made: str) -> str:
        """22 hexadecimal digits: of what was asked and what it was sampled with."""
        return hashlib.sha256(f"{self.key} {self.identity('question_id', 'uid')} {made}".encode()).hexdigest()[:22]


def questions_of(folder: Path) -> list[Question]:
    """All of a finished folder, in the order of the data. Raises DataError for a prompt that is no conversation of user and assistant.

    A conversation's completion stands there once, with its last turn: earlier answers are in its prompt.
    """
    told = {row["prompt_id"]: row for row in Lines(folder / PROMPTS)}
    last: dict[tuple[int, int], tuple[int, dict[str, Any]]] = {}
    for number, row in enumerate(Lines(folder / SAMPLES), 1):
        last[(row["row"], row.get("first_sample", row["sample"]))] = (number, row)  # turns stand in their order: a later one counts
    found: dict[int, Question] = {}
    for (data_row, index), (number, row) in sorted(last.items()):
        place = Place(str(folder / SAMPLES), number)
        first = row.get("conversation", row["prompt_id"])
        question = found.setdefault(data_row, Question(told[row["prompt_id"]]["columns"], first, place))
        asked, answers = _sides(row["prompt"], place)
        tokens = len(row["tokens"]) if "tokens" in row else None
        question.completions.append(Answered(asked, (*answers, row["completion"]), index, tokens))
    return list(found.values())


def _sides(prompt: Any, place: Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The user's texts and the assistant's in a prompt: one more of the user's. Raises DataError."""
    turns: Sequence[Mapping[str, Any]] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    roles = ["assistant" if number % 2 else "user" for number in range(len(turns))]
    if [turn["role"] for turn in turns] != roles or len(turns) % 2 == 0 or not all(isinstance(turn["content"], str) for turn in turns):
        said = ", ".join(str(turn["role"]) for turn in turns)
        hint = "these tools read texts of the user and the assistant in turn, the user's first and last"
        raise DataError("data-row", f"the prompt is a conversation of {said}", place=place, hint=hint)
    return tuple(str(turn["content"]) for turn in turns[::2]), tuple(str(turn["content"]) for turn in turns[1::2])
