"""A sheet on which people say which of two answers is better, without knowing whose they are, and its key, which lies apart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from halo.plugin import DataError, Place, SettingsError
from halo_judges.templates import written

COLUMNS = ("row", "prompt", "answer 1", "answer 2", "better")
LONGEST = 32_000
"""Characters of a cell: spreadsheets hold 32,767 and cut the rest without a word."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would compute."""


@dataclass(frozen=True)
class Entry:
    """A row of the sheet: two answers to a prompt, in the order in which they are shown, and where each comes from."""

    prompt: str
    texts: tuple[str, str]
    whose: tuple[str, str]


@dataclass(frozen=True)
class Told:
    """A completion of a folder of samples."""

    prompt: str
    text: str
    sample: int
    whose: str


def read_samples(folder: Path) -> dict[str, list[Told]]:
    """The completions of a finished folder by prompt. Raises SettingsError, DataError."""
    file = folder / "samples.jsonl"
    if not (folder / "stage.json").is_file() or not file.is_file():
        raise SettingsError("not-found", f"{folder} is no finished folder of samples", hint="halo sample writes one")
    found: dict[str, list[Told]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
        try:
            row = json.loads(line)
            told = Told(written(row["prompt"]), row["completion"], int(row["sample"]), f"{folder} {row['sample']}")
        except (ValueError, KeyError, TypeError):
            raise DataError("data-row", "this is no row of samples", place=Place(str(file), number)) from None
        found.setdefault(str(row["prompt_id"]), []).append(told)
    return found


def entries_of(folders: Sequence[Path], seed: int) -> tuple[list[Entry], int]:
    """What is compared, and how many comparisons are left out since both answers are equal or one is too long for a cell.

    Of one folder every two completions of a prompt; of several their completions of the same index, every two folders.
    """
    entries, seen, left_out = list[Entry](), set[tuple[str, str, str]](), 0
    for one, other in _compared([read_samples(folder) for folder in folders]):
        first, second = sorted((one, other), key=lambda told: told.text)
        if first.text == second.text or max(map(len, (first.prompt, first.text, second.text))) > LONGEST:
            left_out += 1
        elif (key := (first.prompt, first.text, second.text)) not in seen:
            seen.add(key)
            if hashlib.sha256(json.dumps([seed, *key]).encode()).digest()[0] % 2:  # a coin of the seed and the texts alone
                first, second = second, first
            entries.append(Entry(first.prompt, (first.text, second.text), (first.whose, second.whose)))
    return entries, left_out


def _compared(folders: Sequence[dict[str, list[Told]]]) -> Iterator[tuple[Told, Told]]:
    for key, own in folders[0].items():
        if len(folders) == 1:
            yield from combinations(own, 2)
            continue
        for index in sorted({told.sample for told in own}):
            yield from combinations([told for folder in folders for told in folder.get(key, []) if told.sample == index], 2)


def drawn(entries: Sequence[Entry], count: int, seed: int) -> list[Entry]:
    """So many of them, in their order; all of them for 0."""
    if not count or count >= len(entries):
        return list(entries)
    return [entries[place] for place in sorted(random.Random(seed).sample(range(len(entries)), count))]


def write(entries: Sequence[Entry], sheet: Path, seed: int) -> Path:
    """The sheet, and its key for its owner alone; returns the key. Raises SettingsError where either is there already, OSError."""
    key = key_of(sheet)
    for file in (sheet, key):
        if file.exists():
            message = f"{file} is there already, and may hold verdicts"
            raise SettingsError("output-folder", message, place=Place("--out"), hint="choose another")
    rows = [{"row": number, "prompt": one.prompt, "answers": one.texts, "whose": one.whose} for number, one in enumerate(entries, 1)]
    told = json.dumps({"kind": "sheet", "seed": seed, "rows": rows}, indent=1) + "\n"
    table = as_csv([(number, one.prompt, *one.texts, "") for number, one in enumerate(entries, 1)])
    _placed([(key, told, 0o600), (sheet, table, 0o666)])
    return key


def _placed(files: Sequence[tuple[Path, str, int]]) -> None:
    """Both files whole, or none of them."""
    drafts = [file.with_name(f".{file.name}.draft") for file, _, _ in files]
    try:
        for draft, (_, text, mode) in zip(drafts, files, strict=True):
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
        for draft, (file, _, _) in zip(drafts, files, strict=True):
            draft.replace(file)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def key_of(sheet: Path) -> Path:
    """Where the key of a sheet lies."""
    return sheet.with_suffix(".key.json")


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """With a byte order mark, by which spreadsheets know UTF-8, and lines that end as they expect it."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    writer.writerows([[as_cell(cell) for cell in row] for row in rows])
    return "\ufeff" + stream.getvalue()


def as_cell(cell: Any) -> str:
    """A text that a spreadsheet would compute becomes one by an apostrophe; what no cell can hold goes."""
    text = "".join(letter for letter in str(cell) if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cs"))
    text = re.sub(r"([;\t])(?=[=+\-@])", r"\1 ", text)  # where `;` parts cells, what follows it begins one
    return f"'{text}" if text.startswith(FORMULA) else text
