"""Rows as a parquet file, group by group: a set that is larger than memory can be written, and any tool reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from halo.errors import DataError, Place

PARQUET = ".parquet"
"""What the name of such a file ends with."""
ROWS = 4096
"""Rows of a group."""
Rows = Callable[[], Iterable[Mapping[str, Any]]]
"""Gives the rows from the first one on, each time that it is called."""


def write_parquet(file: Path, rows: Rows, place: Place) -> None:
    """All rows, with every column that one of them has; null where a row has not. They are read twice: a column's type follows from all.

    Raises DataError, with the place, for a column that holds texts here and lists there, or text that UTF-8 has no bytes for.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schemas = [pa.schema([(name, pa.array(values).type) for name, values in group.items()]) for group in _groups(rows())]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with parquet.ParquetWriter(file, schema) as writer:
            for group in _groups(rows()):
                size = len(next(iter(group.values())))
                columns = [pa.array(group.get(field.name, [None] * size), type=field.type) for field in schema]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError) as problem:
        message = f"the rows are no table: {next(iter(str(problem).splitlines()), '')}"
        raise DataError("data-row", message, place=place, hint="a column of parquet has one type; JSON lines take them") from None


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, list[Any]]]:
    """The columns of so many rows at a time, in the order in which they are met."""
    left = iter(rows)
    while group := list(islice(left, ROWS)):
        names = dict.fromkeys(name for row in group for name in row)
        yield {name: [row.get(name) for row in group] for name in names}
