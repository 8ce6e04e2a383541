"""A file, a `datasets` folder or a hub name -> rows with their places -> examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from halo.data.examples import Example
from halo.data.interface import DataFormat, Row
from halo.errors import DataError, Place, RowLeftOut, nearest


def read_examples(
    source: str, formats: Sequence[DataFormat], split: str = "train", format_name: str | None = None
) -> tuple[list[Example], list[DataError], DataFormat]:
    """All examples of a source, the rows that had to be left out, and the format that was found.

    A row that is no JSON object, is of another format than the first, or has another type in a column than its format
    allows raises DataError; one for which the format raises RowLeftOut is returned among the left-out ones.
    """
    rows = read_rows(source, split)
    first = next(rows, None)
    if first is None:
        raise DataError("empty-file", "there are no rows", place=Place(source))
    form = _format(first, formats, format_name)
    examples, left_out = list[Example](), list[DataError]()
    for row, place in _chained(first, rows):
        _check_format(row, place, form, first, formats if format_name is None else ())
        try:
            examples.append(form.read(row, place))
        except RowLeftOut as problem:
            left_out.append(problem)
    return examples, left_out, form


def read_rows(source: str, split: str = "train") -> Iterator[tuple[Row, Place]]:
    """Rows with `file:line` (JSONL) or `file row N`. Raises DataError for what is no row."""
    path = Path(source)
    if path.is_dir():
        yield from _numbered(_from_disk(path, split), source)
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(path)
    elif path.suffix == ".json":
        yield from _numbered(_json_array(path), source)
    elif path.suffix and path.exists():
        raise DataError("data-format", f"files ending in {path.suffix} are not read", place=Place(source), hint="give .jsonl or .json")
    elif path.suffix or source.startswith((".", "/")):
        raise DataError("not-found", f"there is no data file {source}")
    else:
        yield from _numbered(_from_hub(source, split), source)


def _json_lines(path: Path) -> Iterator[tuple[Row, Place]]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise DataError("not-found", f"there is no data file {path}") from None
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.strip():
            yield _parsed(line, Place(str(path), number)), Place(str(path), number)


def _parsed(line: bytes, place: Place) -> Row:
    try:
        row = json.loads(line)
    except UnicodeDecodeError as problem:
        raise DataError("data-row", f"not UTF-8 text (byte {problem.start})", place=place) from None
    except (json.JSONDecodeError, RecursionError) as problem:
        what = problem.msg if isinstance(problem, json.JSONDecodeError) else "nested too deeply"
        raise DataError("data-row", f"not JSON: {what}", place=place, hint="each line is one JSON object") from None
    if not isinstance(row, dict):
        raise DataError("data-row", f"a {type(row).__name__}, not a JSON object", place=place)
    return row


def _json_array(path: Path) -> Iterable[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError("not-found", f"there is no data file {path}") from None
    except ValueError as problem:
        raise DataError("data-row", f"not JSON: {problem}", place=Place(str(path))) from None
    if not isinstance(rows, list):
        raise DataError("data-row", "a .json file holds one array of objects", place=Place(str(path)), hint="one object per line is .jsonl")
    return rows


def _from_disk(path: Path, split: str) -> Iterable[Any]:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except FileNotFoundError:
        raise DataError(
            "data-format", f"the folder {path} was not saved by datasets", hint="give a .jsonl file or a save_to_disk folder"
        ) from None
    return _split(loaded, split, str(path))


def _from_hub(name: str, split: str) -> Iterable[Any]:
    import datasets

    try:
        return _split(datasets.load_dataset(name), split, name)
    except Exception as problem:  # the hub's own errors: no network, no such set, gated, ...
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise DataError("not-found", f"{name!r} is no file here and cannot be had from the hub: {first}") from None


def _split(loaded: Any, split: str, source: str) -> Iterable[Any]:
    if not isinstance(loaded, dict):
        return loaded  # type: ignore[no-any-return]
    if split not in loaded:
        raise DataError("not-found", f"{source} has no split {split!r}", hint=nearest(split, loaded))
    return loaded[split]  # type: ignore[no-any-return]


def _numbered(rows: Iterable[Any], source: str) -> Iterator[tuple[Row, Place]]:
    for number, row in enumerate(rows, 1):
        place = Place(f"{source} row {number}")
        if not isinstance(row, dict):
            raise DataError("data-row", f"a {type(row).__name__}, not an object", place=place)
        yield row, place


def _format(first: tuple[Row, Place], formats: Sequence[DataFormat], name: str | None) -> DataFormat:
    row, place = first
    if name is not None:
        chosen = next((form for form in formats if form.name == name), None)
        if chosen is None:
            raise DataError("data-format", f"there is no data format {name!r}", hint=nearest(name, [f.name for f in formats]))
        return chosen
    fitting = [form for form in formats if _fits(form, row)]
    widest = [form for form in fitting if all(set(other.columns) <= set(form.columns) for other in fitting)]
    if len(widest) == 1:
        return widest[0]
    if fitting:
        names = ", ".join(form.name for form in widest or fitting)
        message = f"the columns {', '.join(row)} fit several formats: {names}"
        raise DataError("data-format", message, place=place, hint="--data-format says which")
    known = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in sorted(formats, key=lambda form: -_likeness(form, row))[:3])
    raise DataError("data-format", f"the columns {', '.join(row)} are of no known format", place=place, hint=f"nearest are {known}")


def _likeness(form: DataFormat, row: Row) -> float:
    """How like a row's columns are to a format's: 1 where it has them all."""
    return sum(max((SequenceMatcher(None, c, have).ratio() for have in row), default=0.0) for c in form.columns) / len(form.columns)


def _fits(form: DataFormat, row: Row) -> bool:
    return all(column in row for column in form.columns) and form.fits(row)


def _check_format(row: Row, place: Place, form: DataFormat, first: tuple[Row, Place], formats: Sequence[DataFormat]) -> None:
    """Raises DataError for a row that lacks a column of its set's format, or that is of another of the `formats`.

    A row with further columns may be of another format of the same kind: a pair with scores is still a pair.
    """
    missing = [column for column in form.columns if column not in row]
    if not missing and form.fits(row) and row.keys() == first[0].keys():
        return
    try:
        other = _format((row, place), formats, None)
    except DataError:
        other = form
    lacking = f"the column {missing[0]!r} is missing" if missing else ""
    if other is not form and (missing or not form.fits(row) or other.kind != form.kind):
        message = f"{lacking}{', and ' if lacking else ''}this row is of format {other.name}, the first ({first[1]}) of {form.name}"
        raise DataError("data-format", message, place=place, hint="a set holds rows of one format")
    if missing:
        raise DataError("data-row", lacking, place=place, hint=nearest(missing[0], row))


def _chained(first: tuple[Row, Place], rest: Iterator[tuple[Row, Place]]) -> Iterator[tuple[Row, Place]]:
    yield first
    yield from rest
