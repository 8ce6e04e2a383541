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
from halo.data.conversion import gather
from halo.data.preparing import prepare
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
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
        template = Template.of(self.tokenizer, self.chat_template)
        found = gather(source, [item.thing for item in supplied("format")], compiled.graph.feedback, form=data_format)
        result, report = prepare(found.examples, Preparation.of(compiled, template, self.max_length, self.seed))
        notes = [f"{found.rows} rows of format {found.form.name}", found.sentence, str(report), *report.oddities(template)]
        if found.left_out:
            notes.append(f"{len(found.left_out)} rows left out, the first: {found.left_out[0]}")
        self.say("data       " + "; ".join(filter(None, notes)))
        return result


def _line(row: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(row)) + "\n"
    except (TypeError, ValueError) as problem:
        raise DataError("data-row", f"a row is no JSON object: {problem}", hint="texts, numbers, and lists and mappings of them") from None
