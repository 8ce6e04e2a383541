"""Sets of rows -> examples: columns renamed, the format found by the first row, rows that cannot be trained on set apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from halo.data.examples import Example
from halo.data.files import TEXTS, Placed, read_rows
from halo.data.interface import DataFormat, Row
from halo.errors import DataError, Place, RowLeftOut, nearest
from halo.options import Named, parts
from halo.progress import counted


def _as_map(value: Any) -> Any:
    """`KNOWN=YOURS,...` as a mapping. Raises ValueError."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part]
    if not all(equals and known and own for known, equals, own in pairs):
        raise ValueError(f"{value!r} is not KNOWN=YOURS,...")
    twice = [known for known, _, _ in pairs if sum(known == other for other, _, _ in pairs) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice")
    return {known: own for known, _, own in pairs}


Renamed = Annotated[dict[str, str], BeforeValidator(_as_map)]
"""The type of a setting that says which of somebody's columns a known one is read from."""


class Source(BaseModel):
    """One set of rows, as a mapping or as the text `PATH` or `PATH@WEIGHT`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="file, datasets folder or hub name")
    name: str = Field("", description="what metrics call it; left out: the file's name")
    weight: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="its share of the examples seen, against the other sets' weights; left out: its size"
    )
    format: Named | None = Field(None, description="a format's name, if it cannot be told from the columns")
    columns: dict[str, str] = Field({}, description="column a format knows -> column that the rows have")
    split: str | None = None
    subset: str | None = Field(None, description="configuration of a hub set")

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        path, at, weight = value.rpartition("@")
        if at and _is_number(weight):
            return {"path": path, "weight": float(weight)}
        return {"path": value}

    @property
    def label(self) -> str:
        """Its name in metrics and lines."""
        return self.name or Path(self.path).name.split(".")[0] or self.path


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class Reader:
    """Turns the rows of one set into examples. `format` is known once a row was read."""

    def __init__(
        self, formats: Sequence[DataFormat], name: Named | None = None, columns: Mapping[str, str] | None = None, label: str = ""
    ) -> None:
        self._formats, self._columns, self._label = formats, columns or {}, label
        self._name: str | None = None
        self._options: Mapping[str, Any] = {}
        if name is not None:
            self._name, self._options = parts(name)
        self.format: DataFormat | None = None
        self._first: Placed | None = None
        self._read: Callable[[Row, Place], Example] | None = None

    def read(self, row: Row, place: Place) -> Example:
        """The row's example. Raises DataError, and RowLeftOut for a row that nothing can be learnt from."""
        row = self.renamed(row, place)
        if self.format is None or self._first is None or self._read is None:
            self.format, self._first = _format((row, place), self._formats, self._name), (row, place)
            self._read = self.format.configured(self._options).read
        _check_format(row, place, self.format, self._first, self._formats if self._name is None else ())
        example = self._read(row, place)
        if not self._label:
            return example
        return replace(example, source=self._label)

    def examples(self, rows: Iterable[Placed], left_out: Callable[[RowLeftOut, Place], None]) -> Iterator[Example]:
        """The examples of all rows; each row that nothing can be learnt from is given to `left_out` with its reason. Raises DataError."""
        for row, place in rows:
            try:
                example = self.read(row, place)
            except RowLeftOut as problem:
                left_out(problem, place)
            else:
                yield example

    def renamed(self, row: Row, place: Place) -> Row:
        """The row with its columns under the names that formats know. Raises DataError for one that is not there."""
        if not self._columns:
            return row
        for known, own in self._columns.items():
            if own not in row:
                raise DataError("data-row", f"there is no column {own!r} to read {known} from", place=place, hint=nearest(own, row))
        moved = set(self._columns.values())
        return {k: v for k, v in row.items() if k not in moved} | {known: row[own] for known, own in self._columns.items()}


def read_examples(
    source: str | Source,
    formats: Sequence[DataFormat],
    split: str = "train",
    format_name: Named | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Example], list[DataError], DataFormat]:
    """All examples of a source, the rows that had to be left out, and the format that was found.

    A row that is no JSON object, is of another format than the first, or has another type in a column than its format
    allows raises DataError; one for which the format raises RowLeftOut is returned among the left-out ones.
    """
    one = Source.model_validate(source) if isinstance(source, str) else source
    reader = Reader(formats, one.format or format_name, one.columns, one.name)
    left_out: list[DataError] = []
    rows = counted(rows_of(one, split), f"{one.label}: rows read", say)
    examples = list(reader.examples(rows, lambda problem, place: left_out.append(problem)))
    assert reader.format is not None
    return examples, left_out, reader.format


def rows_of(source: Source, split: str = "train", streaming: bool = False) -> Iterator[Placed]:
    """A set's rows. Raises DataError if there are none."""
    texts = [own for known, own in source.columns.items() if known in TEXTS]
    rows = read_rows(source.path, source.split or split, source.subset, streaming, texts)
    first = next(rows, None)
    if first is None:
        raise DataError("empty-file", "there are no rows", place=Place(source.path))
    yield first
    yield from rows


def named(sources: Iterable[Source]) -> list[Source]:
    """The sources with the names that metrics use, where there are several. Raises DataError if two have one name."""
    given = list(sources)
    if len(given) == 1:
        return given
    labels = [source.label for source in given]
    for label in labels:
        if labels.count(label) > 1:
            raise DataError("duplicate-key", f"two sets are called {label!r}", place=Place("data"), hint="give each a name")
    weights = [source.weight is not None for source in given]
    if any(weights) and not all(weights):
        missing = labels[weights.index(False)]
        raise DataError("missing-key", f"the set {missing!r} has no weight", place=Place("data"), hint="give every set one, or none")
    return [source.model_copy(update={"name": label}) for source, label in zip(given, labels, strict=True)]


def _format(first: Placed, formats: Sequence[DataFormat], name: str | None) -> DataFormat:
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
    hint = f"nearest are {known}; --data-columns KNOWN=YOURS,... renames yours"
    raise DataError("data-format", f"the columns {', '.join(row)} are of no known format", place=place, hint=hint)


def _likeness(form: DataFormat, row: Row) -> float:
    """How like a row's columns are to a format's: 1 where it has them all."""
    return sum(max((SequenceMatcher(None, c, have).ratio() for have in row), default=0.0) for c in form.columns) / len(form.columns)


def _fits(form: DataFormat, row: Row) -> bool:
    return all(column in row for column in form.columns) and form.fits(row)


def _check_format(row: Row, place: Place, form: DataFormat, first: Placed, formats: Sequence[DataFormat]) -> None:
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
    lacking = [f"the column {column!r} is missing" for column in missing[:1]]
    if other is not form and (missing or not form.fits(row) or other.kind is not form.kind):
        message = ", and ".join([*lacking, f"this row is of format {other.name}, the first ({first[1]}) of {form.name}"])
        raise DataError("data-format", message, place=place, hint="a set holds rows of one format")
    if missing:
        raise DataError("data-row", lacking[0], place=place, hint=nearest(missing[0], row))
