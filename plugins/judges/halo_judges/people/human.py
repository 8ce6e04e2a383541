"""The scorer `human`: what people filled in on a blind sheet, read with its key."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo.plugin import DataError, Place, ScoreGroup, ScorerContext, SettingsError, Verdict
from halo_judges.contest import LOSS, TIE, WIN, Pair, ordered, standing
from halo_judges.options import Human
from halo_judges.people.sheet import COLUMNS, as_cell, key_of
from halo_judges.templates import written

POINTS = {"1": WIN, "1.0": WIN, "2": LOSS, "2.0": LOSS, "tie": TIE, "": None}
"""Of answer 1. Some spreadsheets write 1.0."""
NOT_FILLED, NOT_ASKED = "the sheet has no verdict on it yet", "the sheet does not compare it with all the others"


@dataclass(frozen=True)
class Line:
    """A row of the sheet as it came back: where it stands, and its cells by column."""

    place: Place
    cells: dict[str, str]


def about(options: Human) -> dict[str, Any]:
    """Scores are of one sheet, whatever of it is filled in by now."""
    return {"sheet": hashlib.sha256(_read(key_of(_named(options)))).hexdigest()[:16]}


class People:
    """Verdicts by prompt and texts. What is not filled in gives no score, and is read again next time."""

    def __init__(self, context: ScorerContext) -> None:
        self.points = verdicts(_named(context.options))

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        prompt = written(group.prompt)

        def against(text: str, other: str) -> float | str:
            pair = ordered(text, other)
            points = self.points.get((prompt, pair), NOT_ASKED)
            return points if isinstance(points, str) or pair[0] == text else 1 - points

        return Verdict(*standing(group, against))


def verdicts(sheet: Path) -> dict[tuple[str, Pair], float | str]:
    """By prompt and pair what the first text of the pair got. Raises DataError at the first row that is not as it must be."""
    key, lines = _key(key_of(sheet)), _lines(sheet)
    numbered: dict[int, Line] = {}
    for line in lines:
        number = _number(line)
        if number not in key:
            raise DataError("data-row", f"the key has no row {number}", place=line.place, hint="is it the key of another sheet?")
        if number in numbered:
            raise DataError("data-row", f"row {number} stands twice", place=line.place, hint="leave one of them")
        numbered[number] = line
    missing = sorted(key.keys() - numbered.keys())
    if missing:
        message = f"{len(missing)} of {len(key)} rows are missing, the first is row {missing[0]}"
        hint = "put it back; a row without a verdict stays, with nothing in better"
        raise DataError("data-row", message, place=Place(str(sheet)), hint=hint)
    found: dict[tuple[str, Pair], float | str] = {}
    for number, line in numbered.items():
        told = key[number]
        _check_texts(line, told)
        points, pair = _points(line), ordered(*told["answers"])
        if points is not None and pair[0] != told["answers"][0]:
            points = 1 - points
        found[(told["prompt"], pair)] = NOT_FILLED if points is None else points
    return found


def _points(line: Line) -> float | None:
    said = line.cells["better"].strip().lower()
    if said not in POINTS:
        raise DataError("data-row", f"better is {said[:40]!r}", place=line.place, hint="1, 2 or tie, or nothing")
    return POINTS[said]


def _number(line: Line) -> int:
    said = line.cells["row"].strip().removesuffix(".0")
    if not said.isdecimal():
        raise DataError("data-row", f"row is {said[:40]!r}, no number", place=line.place, hint="the column row stays as it was written")
    return int(said)


def _check_texts(line: Line, told: dict[str, Any]) -> None:
    """Where one column was sorted, verdicts would be on other answers. Letters and digits are compared: programs change the rest."""
    for column, text in zip(COLUMNS[1:4], (told["prompt"], *told["answers"]), strict=True):
        if not _same(line.cells[column], text):
            hint = "sort whole rows only, change nothing but better, and save as CSV in UTF-8"
            raise DataError("data-row", f"{column} of row {_number(line)} is not what was written there", place=line.place, hint=hint)


def _same(cell: str, text: str) -> bool:
    """White space and the apostrophe before a formula aside. Where a program saved `?` for letters that it has not, the others count."""
    one, other = ("".join(given.split()).lstrip("'") for given in (cell, as_cell(text)))
    lost = "?" in cell or "\N{REPLACEMENT CHARACTER}" in cell
    return one == other or (lost and _letters(one) == _letters(other))


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum())


def _lines(sheet: Path) -> list[Line]:
    """With the separator that the program which saved it chose. Raises DataError for a sheet without its columns."""
    data = _read(sheet)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # what Excel saves as plain CSV
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        (_, names), *rows = _cells(text, separator)
    except (csv.Error, ValueError) as problem:
        message = f"the sheet cannot be read: {problem}"
        raise DataError("data-row", message, place=Place(str(sheet)), hint="save it as CSV in UTF-8") from None
    names = [name.strip().lower() for name in names]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError("data-row", f"there is no column {missing[0]!r}", place=Place(str(sheet), 1), hint=f"it has {', '.join(COLUMNS)}")
    found = []
    for number, cells in rows:
        if any(cell.strip() for cell in cells):
            whole = dict(zip(names, [*cells, *[""] * len(names)], strict=False))
            found.append(Line(Place(str(sheet), number), whole))
    return found


def _cells(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Rows with the line of the file that each ends at. Raises csv.Error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return [(reader.line_num, cells) for cells in reader]


def _key(file: Path) -> dict[int, dict[str, Any]]:
    try:
        rows = json.loads(_read(file))["rows"]
        return {int(row["row"]): {"prompt": str(row["prompt"]), "answers": tuple(map(str, row["answers"]))} for row in rows}
    except (ValueError, KeyError, TypeError):
        hint = "halo sheet writes it beside the sheet"
        raise DataError("data-row", "this is no key of a sheet", place=Place(str(file)), hint=hint) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        hint = "a sheet and its key lie in one folder, as halo sheet wrote them"
        message = f"{file} cannot be read: {problem.strerror or problem}"
        raise SettingsError("not-found", message, place=Place("--scorer"), hint=hint) from None


def _named(options: Human) -> Path:
    if not options.sheet:
        raise SettingsError("missing-key", "human names no sheet", place=Place("--scorer"), hint="human:sheet=FILE.csv")
    return Path(options.sheet)
