"""A file, a folder that `datasets` saved, or a hub name -> rows with their places, one after another.

JSON lines (also gzipped), a JSON array, CSV, parquet, Arrow. Everything but a JSON array is read as it is asked for, so that
a set larger than memory can be streamed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from halo.data.interface import Row
from halo.errors import DataError, Place, nearest

Placed = tuple[Row, Place]
MAX_LINE = 64 << 20
"""Bytes of one line. A kilobyte of gzip may hold a gigabyte without an end of line."""


def read_rows(
    source: str, split: str = "train", subset: str | None = None, streaming: bool = False, texts: Sequence[str] = ()
) -> Iterator[Placed]:
    """Rows with `file:line` (JSON lines) or `file row N`; `texts` are columns beside TEXTS. Raises DataError for what is no row."""
    try:
        yield from _read(source, split, subset, streaming, texts)
    except OSError as problem:  # no permission, a name that is too long, a disk that fails
        raise DataError("not-found", f"it cannot be read: {problem.strerror or problem}", place=Place(source)) from None


def _read(source: str, split: str, subset: str | None, streaming: bool, texts: Sequence[str]) -> Iterator[Placed]:
    path = Path(source)
    if path.is_dir():
        yield from _numbered(map(_without_nulls, _from_disk(path, split)), source)
    elif reader := _reader(path, texts):
        if not path.is_file():
            raise DataError("not-found", f"there is no data file {source}")
        yield from reader(path)
    elif path.suffix and path.exists():
        hint = f"these are: {', '.join(READERS)}, a folder that datasets saved, a hub name"
        raise DataError("data-format", f"files ending in {path.suffix} are not read", place=Place(source), hint=hint)
    elif path.exists():
        raise DataError("data-format", "a file without an ending is not read", place=Place(source), hint=f"give {', '.join(READERS)}")
    elif source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise DataError("not-found", f"there is no data file {source}")
    else:
        yield from _numbered(map(_without_nulls, _from_hub(source, split, subset, streaming)), source)


def _reader(path: Path, texts: Sequence[str]) -> Callable[[Path], Iterator[Placed]] | None:
    """What reads files of this ending."""
    if path.suffix == ".csv":
        return _table(partial(_csv, texts=texts))
    return READERS.get(_ending(path))


def _ending(path: Path) -> str:
    if path.suffix == ".gz":
        return "".join(path.suffixes[-2:])
    return path.suffix


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json_lines(path: Path) -> Iterator[Placed]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        number = 0
        try:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                if len(line) > MAX_LINE:
                    message = f"a line of more than {MAX_LINE >> 20} MiB, which no row of feedback is"
                    raise DataError("data-row", message, place=Place(str(path), number), hint="is it a JSON array? Those end in .json")
                if line.strip():
                    yield _parsed(line, Place(str(path), number)), Place(str(path), number)
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise DataError("data-row", f"the file is damaged after line {number}: {problem}", place=Place(str(path))) from None


def _parsed(line: bytes, place: Place) -> Row:
    try:
        row = json.loads(line.decode("utf-8-sig"))  # of bytes json takes half characters too
    except UnicodeDecodeError as problem:
        raise DataError("data-row", f"not UTF-8 text (byte {problem.start})", place=place) from None
    except (ValueError, RecursionError) as problem:  # a ValueError that is no JSONDecodeError: a number of thousands of digits
        raise DataError("data-row", f"not JSON: {_wrong_with(problem)}", place=place, hint="each line is one JSON object") from None
    if not isinstance(row, dict):
        raise DataError("data-row", f"a {type(row).__name__}, not a JSON object", place=place)
    if _escaped(line):
        return _whole(row, place)
    return row


def _wrong_with(problem: Exception) -> str:
    if isinstance(problem, json.JSONDecodeError):
        return problem.msg
    if isinstance(problem, RecursionError):
        return "nested too deeply"
    return str(problem)


def _escaped(source: bytes) -> bool:
    """Whether JSON writes halves of characters as escapes."""
    return b"\\ud" in source or b"\\uD" in source


def _whole(row: Row, place: Place) -> Row:
    """The row, unless one half of a character stands without the other: no tokenizer takes it. Raises DataError."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half = f"\\u{ord(problem.object[problem.start]):04x}"
        hint = "escapes from \\ud800 to \\udfff come in pairs"
        raise DataError("data-row", f"{half} is half a character", place=place, hint=hint) from None
    return row


def _json_array(path: Path) -> Iterator[Placed]:
    source = path.read_bytes()
    try:
        rows = json.loads(source.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise DataError("data-row", f"not UTF-8 text (byte {problem.start})", place=Place(str(path))) from None
    except (ValueError, RecursionError) as problem:
        hint = "one object per line is .jsonl"
        raise DataError("data-row", f"not JSON: {problem}", place=Place(str(path)), hint=hint) from None
    if not isinstance(rows, list):
        raise DataError("data-row", "a .json file holds one array of objects", place=Place(str(path)), hint="one object per line is .jsonl")
    escaped = _escaped(source)
    for row, place in _numbered(rows, str(path)):
        if escaped:
            _whole(row, place)
        yield row, place


# -- tables ------------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> Iterable[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


TEXTS = (
    "prompt", "chosen", "rejected", "completion", "text", "instruction", "input", "output", "response", "question", "answer",
    "system", "history", "human_ref_A", "human_ref_B", "output_1", "output_2",
)  # fmt: skip
"""Columns of a CSV file that are texts even where every field looks like a number."""


def _csv(path: Path, texts: Sequence[str] = ()) -> Iterable[Any]:
    """Numbers and true / false are told from the text, but not in columns that are texts everywhere."""
    import pyarrow
    from pyarrow import csv

    types = csv.ConvertOptions(column_types=dict.fromkeys((*TEXTS, *texts), pyarrow.string()), strings_can_be_null=False)
    with csv.open_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=types) as file:
        for batch in file:
            yield from batch.to_pylist()


def _arrow(path: Path) -> Iterable[Any]:
    """What `datasets` writes (a stream), and Arrow's own files."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as memory:
        magic = memory.read(6)
        memory.seek(0)
        if magic == b"ARROW1":
            file = pyarrow.ipc.open_file(memory)
            batches: Iterable[Any] = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            batches = pyarrow.ipc.open_stream(memory)
        for batch in batches:
            yield from batch.to_pylist()


def _without_nulls(value: Any, inside: bool = False) -> Any:
    """A row whose objects lack what they were not given.

    A table gives all objects of a column the same keys, with nulls where an object had none: arguments of other calls, parameters of
    other tools. A template would write them. The row's own columns stay.
    """
    if isinstance(value, dict):
        return {key: _without_nulls(part, True) for key, part in value.items() if part is not None or not inside}
    if isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        return [_without_nulls(part, True) for part in value]
    return value


def _table(read: Callable[[Path], Iterable[Any]]) -> Callable[[Path], Iterator[Placed]]:
    def reader(path: Path) -> Iterator[Placed]:
        import pyarrow

        try:
            yield from _numbered(map(_without_nulls, read(path)), str(path))
        except (pyarrow.ArrowException, OSError) as problem:
            first = str(problem).strip().splitlines()[0]
            raise DataError("data-row", f"the file cannot be read: {first}", place=Place(str(path)), hint="it may be cut short") from None

    return reader


READERS: dict[str, Callable[[Path], Iterator[Placed]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".jsonl.gz": _json_lines,
    ".json": _json_array,
    ".csv": _table(_csv),
    ".parquet": _table(_parquet),
    ".arrow": _table(_arrow),
}
"""By the file's ending."""


# -- datasets ----------------------------------------------------------------------------------------------------------


def _from_disk(path: Path, split: str) -> Iterable[Any]:
    """What `save_to_disk` wrote, or a folder of data files, whose names say which split they are of."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except FileNotFoundError:
        try:
            loaded = datasets.load_dataset(str(path), streaming=True)
        except Exception as problem:  # whatever datasets makes of files that are none of data
            first = _first_line(problem)
            hint = "give a file, a save_to_disk folder or a folder of data files"
            raise DataError("data-format", f"the folder {path} holds no data: {first}", hint=hint) from None
    except Exception as problem:  # whatever datasets makes of JSON beside the rows that is damaged
        raise DataError("data-format", f"the folder {path} cannot be read: {_first_line(problem)}", hint="save it again") from None
    return _split(loaded, split, str(path))


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _from_hub(name: str, split: str, subset: str | None, streaming: bool) -> Iterable[Any]:
    import datasets

    try:
        loaded = datasets.load_dataset(name, subset, streaming=streaming)
    except Exception as problem:  # the hub's own errors: no network, no such set, gated, ...
        first = _first_line(problem)
        raise DataError("not-found", f"{name!r} is no file here and cannot be had from the hub: {first}") from None
    return _split(loaded, split, name)


def _split(loaded: Any, split: str, source: str) -> Iterable[Any]:
    if not isinstance(loaded, dict):
        return loaded  # type: ignore[no-any-return]
    if split not in loaded:
        raise DataError("not-found", f"{source} has no split {split!r}", hint=nearest(split, loaded))
    return loaded[split]  # type: ignore[no-any-return]


def _numbered(rows: Iterable[Any], source: str) -> Iterator[Placed]:
    for number, row in enumerate(rows, 1):
        place = Place(f"{source} row {number}")
        if not isinstance(row, dict):
            raise DataError("data-row", f"a {type(row).__name__}, not an object", place=place)
        yield row, place
