"""Rows -> tokenized examples, for trainers that are not halo's: the same formats, conversions and counts as in `halo train`.

This is the only place of the room that calls `halo.data`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo.compiler.pipeline import CompiledObjective
from halo.data.columns import wanted_columns
from halo.data.conversion import convert
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.tokenizing import Template, TokenizedExample
from halo.errors import DataError, Place
from halo.plugin.registry import supplied

Rows = str | Path | Iterable[Mapping[str, Any]]
"""A file, a `datasets` folder or a hub name; or the rows themselves, a `datasets.Dataset` among them."""


@dataclass(frozen=True)
class Reader:
    """How rows become examples of the kind that an objective wants. `say` is given one line about each set."""

    tokenizer: Any
    chat_template: str
    max_length: int | None
    seed: int
    say: Callable[[str], None]

    def tokenized(self, rows: Rows, compiled: CompiledObjective, data_format: str | None) -> list[TokenizedExample]:
        """Reads, converts and tokenizes; draws mismatched completions. Raises DataError or ModelError."""
        if isinstance(rows, str | Path):
            return self._read(str(rows), compiled, data_format)
        with tempfile.TemporaryDirectory() as folder:  # rows have one door: what reads a file says what is wrong with a row
            file = Path(folder) / "rows.jsonl"
            file.write_text("".join(map(_line, rows)))
            try:
                return self._read(str(file), compiled, data_format)
            except DataError as problem:
                problem.place = problem.place and Place("row", problem.place.line)
                raise

    def _read(self, source: str, compiled: CompiledObjective, data_format: str | None) -> list[TokenizedExample]:
        needs = compiled.graph.needs
        template = Template.of(self.tokenizer, self.chat_template)
        examples, left_out, form = read_examples(source, [item.thing for item in supplied("format")], format_name=data_format)
        if not examples:
            raise left_out[0]
        converted, sentence = convert(examples, compiled.graph.feedback)
        columns = wanted_columns(compiled.objective.declaration.columns, needs)
        result, report = prepare(converted, template, needs.slots, needs.control, self.max_length, self.seed, columns)
        notes = [f"{len(examples)} rows of format {form.name}", sentence, str(report)]
        notes += [f"{len(left_out)} rows left out, the first: {left_out[0]}"] if left_out else []
        self.say("data       " + "; ".join(filter(None, notes)))
        return result


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(row)) + "\n"
    except (TypeError, ValueError) as problem:
        raise DataError("data-row", f"a row is no JSON object: {problem}", hint="texts, numbers, and lists and mappings of them") from None
