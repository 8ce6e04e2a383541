"""A file of rows -> prompts as ids, each once. What cannot be answered is kept apart, with why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halo.data.examples import Text
from halo.data.formats import prompt_of, tools_of
from halo.data.reading import Reader, Source, rows_of
from halo.data.text.template import Template
from halo.errors import DataError, Place, RowLeftOut
from halo.progress import counted
from halo.sampling.plan import Prompt, prompt_key


@dataclass
class Prompts:
    """kept: those that are asked; left_out: rows with a `reason` and a `place`."""

    kept: list[Prompt] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


def read_prompts(
    source: Source, formats: Any, template: Template | None, limit: int | None, say: Callable[[str], None], split: str = "train"
) -> Prompts:
    """Of a set in any format, or of rows with a `prompt`. Raises DataError for a row that is built wrongly, and if none can be used.

    template  None: the prompts are not made ids, since no model reads them
    limit     ids that a prompt may have, beside what is written behind it
    """
    found, seen = Prompts(), dict[str, Place]()
    reader = Reader(formats, source.format, source.columns, source.name)
    for row, place in counted(rows_of(source, split), f"{source.label}: prompts read", say):
        try:
            prompt, tools = _prompt(reader, row, place)
        except RowLeftOut as problem:
            found.left_out.append({"place": str(place), "reason": problem.message})
            continue
        key = prompt_key(prompt, tools)
        ids = tuple(_ids(template, prompt, tools, place)) if template else ()
        reason = ""
        if key in seen:
            reason = f"the same prompt as {seen[key]}"
        elif limit is not None and len(ids) > limit:
            reason = f"a prompt of {len(ids)} tokens, of which at most {limit} leave room for an answer"
        if reason:
            found.left_out.append({"place": str(place), "prompt": prompt, "reason": reason})
            continue
        seen[key] = place
        found.kept.append(Prompt(key, prompt, ids, len(found.kept) + 1, dict(row)))
    if not found.kept:
        first = found.left_out[0]
        raise DataError("no-rows", f"no prompt is left: {first['reason']}", place=Place(first["place"]), hint="look at the data")
    return found


def _prompt(reader: Reader, row: Mapping[str, Any], place: Place) -> tuple[Text, tuple[Mapping[str, Any], ...]]:
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


def _ids(template: Template, prompt: Text, tools: Any, place: Place) -> list[int]:
    try:
        return template.prompt_ids(prompt, tools)
    except DataError as problem:
        raise DataError(problem.code, problem.message, place=problem.place or place, hint=problem.hint) from None
