"""Lists of answers to one prompt: UltraFeedback with scores; Nectar, NeMo RL and plain columns with ranks.

Sources: openbmb/UltraFeedback (github.com/OpenBMB/UltraFeedback, src/data_annotation: instruction, completions of {model,
response, overall_score, fine-grained_score, annotations}); berkeley-nest/Nectar (prompt, answers of {answer, model, rank});
NeMo RL, docs/guides/dpo.md (context, completions of {rank, completion}; any number of them here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo.plugin import (
    RANKED,
    DataError,
    DataFormat,
    Example,
    Place,
    Row,
    RowLeftOut,
    Text,
    answer_of,
    extras,
    messages_of,
    prompt_of,
    text_of,
)
from halo_formats.turns import Turns, holds_no_other, numbers_of, offered_tools, transcript_of

ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")


def entries_of(row: Row, column: str, keys: tuple[str, ...], place: Place) -> list[Mapping[str, Any]]:
    """At least two objects that have these keys. Raises DataError, or RowLeftOut for fewer than two."""
    entries = row[column]
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise DataError("data-row", f"{column} is no list of objects", place=place, hint=f"objects with {', '.join(keys)}")
    for i, entry in enumerate(entries, 1):
        lacking = [key for key in keys if key not in entry]
        if lacking:
            raise DataError("data-row", f"entry {i} of {column} has no {lacking[0]!r}", place=place, hint=f"it has {', '.join(entry)}")
    if len(entries) < 2:
        raise RowLeftOut("data-row", f"{column} has {len(entries)} entries: there is nothing to compare", place=place)
    return entries


def ranks_of(goodness: Sequence[float]) -> tuple[int, ...]:
    """1 for the highest; equal ones share a rank."""
    return tuple(1 + sum(other > one for other in goodness) for one in goodness)


def ranked(
    row: Row, used: tuple[str, ...], prompt: Text, answers: Sequence[Text], ranks: tuple[int, ...], place: Place, **more: Any
) -> Example:
    """A ranked list, with what the row holds beside the columns `used`; `own` where the answers have numbers of their own."""
    return Example(RANKED, prompt, tuple(answers), place, ranks=ranks, tools=offered_tools(row, place), **extras(row, used), **more)


def read_ultrafeedback(row: Row, place: Place) -> Example:
    """`overall_score` is the score; the fine-grained score and the four ratings are numbers of the completion's own.

    `custom_system_prompt`, under which a response was written, is left away, as in the binarized sets.
    """
    prompt = prompt_of({"prompt": row["instruction"]}, place)
    entries = entries_of(row, "completions", ("response", "overall_score"), place)
    scores = numbers_of([entry["overall_score"] for entry in entries], "overall_scores", place)
    answers = [text_of({"response": entry["response"]}, "response", place) for entry in entries]
    own = tuple({"score": score} | _ratings(entry) for entry, score in zip(entries, scores, strict=True))
    return ranked(row, ("instruction", "completions", "models"), prompt, answers, ranks_of(scores), place, own=own)


def _ratings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a completion of UltraFeedback was rated; a rating is a text, and N/A where there is none."""
    annotations = entry.get("annotations")
    found = {}
    if isinstance(entry.get("fine-grained_score"), int | float):
        found["fine_grained_score"] = entry["fine-grained_score"]
    if isinstance(annotations, Mapping):
        texts = {aspect: str(annotations[aspect].get("Rating")) for aspect in ASPECTS if isinstance(annotations.get(aspect), Mapping)}
        found |= {aspect: float(text) for aspect, text in texts.items() if text.isdecimal()}
    return found


def read_nectar(row: Row, place: Place) -> Example:
    """The prompt is a transcript of Human and Assistant turns."""
    entries = entries_of(row, "answers", ("answer", "rank"), place)
    ranks = numbers_of([entry["rank"] for entry in entries], "ranks", place)
    answers = [text_of({"answer": entry["answer"]}, "answer", place) for entry in entries]
    return ranked(row, ("prompt", "answers"), transcript_of(row, "prompt", place), answers, ranks_of([-r for r in ranks]), place)


def read_nemo(row: Row, place: Place) -> Example:
    """`context` and each `completion` are messages; the lowest rank is the best."""
    prompt: Turns = messages_of(prompt_of({"prompt": row["context"]}, place), "user")
    entries = entries_of(row, "completions", ("rank", "completion"), place)
    ranks = numbers_of([entry["rank"] for entry in entries], "ranks", place)
    answers = [answer_of(entry, "completion", prompt, place) for entry in entries]
    return ranked(row, ("context", "completions"), prompt, answers, ranks_of([-r for r in ranks]), place)


def read_ranks(row: Row, place: Place) -> Example:
    """Core's ranked rows with ranks in the place of scores: 1 is the best."""
    completions, given = row["completions"], row["ranks"]
    if not isinstance(completions, list) or not isinstance(given, list) or len(completions) != len(given) or len(given) < 2:
        raise DataError("data-row", "completions and ranks must be lists of one length, at least 2", place=place)
    ranks, prompt = numbers_of(given, "ranks", place), prompt_of(row, place)
    answers = [answer_of({"completions": one}, "completions", prompt, place) for one in completions]
    columns = extras(row, ("prompt", "completions", "ranks"))["columns"]
    lists = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == len(answers)}
    own = tuple({k: v[i] for k, v in lists.items()} for i in range(len(answers)))
    return ranked(row, ("prompt", "completions", "ranks"), prompt, answers, ranks_of([-r for r in ranks]), place, own=own)


def _of(row: Row, column: str, key: str) -> bool:
    entries = row[column]
    return isinstance(entries, list) and bool(entries) and all(isinstance(entry, Mapping) and key in entry for entry in entries)


ULTRAFEEDBACK = ("instruction", "completions")
FORMATS = (
    DataFormat("ultrafeedback", RANKED, ULTRAFEEDBACK, read_ultrafeedback, lambda row: _of(row, "completions", "response")),
    DataFormat("nectar", RANKED, ("prompt", "answers"), read_nectar, lambda row: _of(row, "answers", "answer")),
    DataFormat("nemo-ranks", RANKED, ("context", "completions"), read_nemo, lambda row: _of(row, "completions", "completion")),
    DataFormat("ranks", RANKED, ("prompt", "completions", "ranks"), read_ranks, lambda row: holds_no_other(row, "prompt", "completions")),
)
