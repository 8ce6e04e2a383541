"""Whether a data format keeps its contract: it knows its own rows, reads them into sound examples, and refuses bad ones at their place."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from halo.data.formats import FORMATS
from halo.data.reading import read_examples
from halo.errors import DataError
from halo.objective.feedback import DEMONSTRATIONS, data_kinds
from halo.plugin import DataFormat, Example, Place, Row
from halo.testing.parts import Trained, require, train_steps
from halo.testing.samples import SAMPLES

REFUSAL = 'DataError("data-row", "what is wrong", place=place)'


def check_format(
    form: DataFormat,
    rows: Sequence[Row],
    *,
    optional: Collection[str] = (),
    unread: Collection[str] = (),
    among: Sequence[DataFormat] = FORMATS,
) -> None:
    """Raises AssertionError unless the format keeps its contract on `rows`: good rows as a JSON file holds them, two or more.

    optional  those of the format's columns that may be null or empty
    unread    those that only tell its rows apart, and may hold anything
    among     formats that the rows must be told apart from; core's by default
    """
    _check_declaration(form)
    require(len(rows) >= 2, f"the format {form.name}: two or more sample rows are wanted, there are {len(rows)}")
    others = [other for other in among if other.name != form.name]
    for number, row in enumerate(rows, 1):
        _check_told_apart(form, row, number, others)
        _check_read(form, row, Place("sample", number))
    for name, samples in SAMPLES.items():
        for row in samples:
            _check_left_alone(form, name, row, others)
    for number, row in enumerate(rows, 1):
        for damage in _damages(form, row, optional, unread):
            _check_refused(form, *damage, Place("sample", number))
    _check_missing(form, rows)
    _check_trains(form, rows)


def _check_declaration(form: DataFormat) -> None:
    require(isinstance(form, DataFormat), f"{form!r} is no DataFormat")
    kinds = data_kinds()
    require(form.kind in kinds, f"the format {form.name}: its kind is {form.kind!r}; it would be one of {', '.join(map(str, kinds))}")
    sound = isinstance(form.columns, tuple) and form.columns and all(isinstance(column, str) for column in form.columns)
    require(
        sound, f"the format {form.name}: columns is {form.columns!r}; a tuple of names, with a comma also where there is one: ('text',)"
    )


# -- whose row is it ---------------------------------------------------------------------------------------------------


def _told(row: Row, formats: Sequence[DataFormat]) -> str:
    """The format that a file beginning with this row is read as, or why there is none."""
    stand_ins = [replace(form, read=lambda row, place: Example(DEMONSTRATIONS, "p", ("c",), place)) for form in formats]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text(json.dumps(row) + "\n")
        try:
            return read_examples(str(file), stand_ins)[2].name
        except DataError as problem:
            return problem.message


def _check_told_apart(form: DataFormat, row: Row, number: int, others: list[DataFormat]) -> None:
    missing = [column for column in form.columns if column not in row]
    require(not missing, f"the format {form.name}: sample row {number} lacks its column {', '.join(missing)}")
    require(form.fits(row) is True, f"the format {form.name}: fits says {form.fits(row)!r} of sample row {number}, and True would be right")
    told = _told(row, [*others, form])
    hint = "columns that no other format has, or a `fits` that looks at the values' types, tell them apart"
    require(told == form.name, f"the format {form.name}: sample row {number} is not taken for it: {told}; {hint}")


def _check_left_alone(form: DataFormat, name: str, row: Row, others: list[DataFormat]) -> None:
    """A row of core's is read as before now that there is one format more."""
    if name in (other.name for other in others):
        told = _told(row, [*others, form])
        hint = "name a column that only your rows have, or look at types in `fits`"
        require(told == name, f"the format {form.name} takes a row of core's format {name} ({', '.join(row)}): {told}; {hint}")


# -- what is read ------------------------------------------------------------------------------------------------------


def _check_read(form: DataFormat, row: Row, place: Place) -> None:
    before = copy.deepcopy(row)
    try:
        example, again = form.read(row, place), form.read(row, place)
    except Exception as problem:  # anything at all: it is a good row
        raise AssertionError(f"the format {form.name}: reading the good row {place} raised {problem!r}") from problem
    require(row == before, f"the format {form.name}: reading changed the row {place}; a row may be read again, build new values")
    require(example == again, f"the format {form.name}: reading the row {place} twice gave two examples; chance has no place in a format")
    for wrong in _unsound(form, example, place):
        raise AssertionError(f"the format {form.name}: the example of {place} has {wrong}")


def _unsound(form: DataFormat, example: Any, place: Place) -> Iterator[str]:
    """What does not fit together in an example."""
    if not isinstance(example, Example):
        yield f"the type {type(example).__name__}; `read` returns an Example"
        return
    if example.kind is not form.kind:
        yield f"the kind {example.kind!r}, and the format says {form.kind!r}"
    if example.place != place:
        yield f"the place {example.place!r}; pass on the `place` that `read` is given"
    least, most = form.kind.count
    count = len(example.completions) if isinstance(example.completions, tuple) else -1
    if not least <= count <= most:
        wanted = "a tuple of two or more" if most > 2 else f"a tuple of {least}"
        yield f"completions {example.completions!r}; {form.kind} examples have {wanted}"
        return
    if not isinstance(example.texts, Mapping):
        yield f"texts {example.texts!r}; a mapping from role to text"
        return
    completions = {f"completion {k}": text for k, text in enumerate(example.completions)}
    for name, text in {"prompt": example.prompt, **completions, **example.texts}.items():
        if not _is_text(text):
            yield f"as {name} {text!r}; a text is a str or a tuple of {{role, content}} messages, as `text_of` and `answer_of` give it"
    if bool(form.kind.labels) != isinstance(example.desirable, bool):
        yield f"desirable={example.desirable!r}; True or False in labelled examples, None in all others"
    yield from _unsound_ranks(form, example)
    if len(example.own) not in (0, count):
        yield f"{len(example.own)} entries in own and {count} completions; one mapping for each completion, or () for none"
    if not all(isinstance(numbers, Mapping) for numbers in (*example.own, example.columns)):
        yield "in own or columns something that is no mapping from name to number"


def _unsound_ranks(form: DataFormat, example: Example) -> Iterator[str]:
    ranks = example.ranks
    if not form.kind.has_ranks:
        if ranks:
            yield f"ranks {ranks}; only ranked examples have them (pairs: the chosen completion comes first)"
    elif len(ranks) != len(example.completions) or not all(type(rank) is int for rank in ranks) or min(ranks) != 1:
        yield f"ranks {ranks} of {len(example.completions)} completions; a whole number for each, 1 for the best"


def _is_text(text: Any) -> bool:
    if isinstance(text, str):
        return True
    turns = isinstance(text, tuple) and bool(text)
    return turns and all(isinstance(m, Mapping) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in text)


# -- what is refused ---------------------------------------------------------------------------------------------------


def _wrong_values(value: Any) -> list[Any]:
    """What can surely not stand where `value` does."""
    if isinstance(value, bool):
        return ["?", [7], {}]
    if isinstance(value, int | float):
        return ["?", ["?"], {}]
    if isinstance(value, str):
        return [7, [7], {"a": 1}]
    if isinstance(value, list):
        return [7, {"a": 1}, ["?" if isinstance(entry, bool | int | float) else 7 for entry in value]]
    return [7, "?", [7]]


def _damages(
    form: DataFormat, row: Row, optional: Collection[str], unread: Collection[str]
) -> Iterator[tuple[dict[str, Any], str, bool, bool]]:
    """Damaged rows, what was done, whether it must be refused, and whether an empty completion would do instead."""
    for column, value in row.items():
        must = column in form.columns and column not in unread
        yield {**row, column: None}, f"null in {column}", must and column not in optional, False
        for wrong in _wrong_values(value):
            yield {**row, column: wrong}, f"{wrong!r} in {column}", must, False
        if isinstance(value, str | list | Mapping):
            yield {**row, column: type(value)()}, f"an empty {type(value).__name__} in {column}", must and column not in optional, True
        if column not in form.columns:
            yield {key: kept for key, kept in row.items() if key != column}, f"no {column}, which `columns` does not name", False, False


def _check_refused(form: DataFormat, row: dict[str, Any], what: str, must: bool, may_be_empty: bool, place: Place) -> None:
    fits = _called(lambda: form.fits(row), form, "fits", what, place)
    require(isinstance(fits, bool), f"the format {form.name}: `fits` returned {fits!r} for a row with {what}; True or False")
    example = _called(lambda: form.read(row, place), form, "read", what, place)
    if isinstance(example, DataError):
        right = example.place == place
        require(right, f"the format {form.name}: a row with {what} is refused at {example.place}, not at its place {place}; {REFUSAL}")
        return
    empty = may_be_empty and isinstance(example, Example) and any(not completion for completion in example.completions)
    hint = f"raise {REFUSAL}; check_format(optional=..., unread=...) name columns that may be so"
    require(not must or empty, f"the format {form.name}: a row with {what} was read as {str(example)[:200]}; {hint}")
    for wrong in _unsound(form, example, place):
        raise AssertionError(f"the format {form.name}: of a row with {what} the example has {wrong}; or raise {REFUSAL}")


def _called(function: Callable[[], Any], form: DataFormat, name: str, what: str, place: Place) -> Any:
    """The result, or the DataError of `read`; whatever else is raised would be a traceback for a user."""
    try:
        return function()
    except Exception as problem:
        if name == "read" and isinstance(problem, DataError):
            return problem
        right = REFUSAL if name == "read" else "True or False"
        message = f"the format {form.name}: `{name}` raised {problem!r} for a row with {what} at {place}; what would be right: {right}"
        raise AssertionError(message) from problem


def _check_missing(form: DataFormat, rows: Sequence[Row]) -> None:
    """In a file whose second row lacks a column, that row is named."""
    for column in form.columns:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.jsonl"
            bad = {key: value for key, value in rows[1].items() if key != column}
            file.write_text(f"{json.dumps(rows[0])}\n{json.dumps(bad)}\n")
            try:
                read_examples(str(file), [form])
                refused = None
            except DataError as problem:
                refused = problem.place
        require(refused == Place(str(file), 2), f"the format {form.name}: a row without its column {column} was not refused at its line")


def _check_trains(form: DataFormat, rows: Sequence[Row]) -> None:
    """A real objective takes a step on the sample, and no row is left out."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        supplies = (("format", form),)
        size = min(len(rows), 4)
        name = form.kind.objective
        more = {"data": str(file), "data_format": form.name, "max_steps": 1, "per_device_train_batch_size": size}
        ran: Trained = train_steps(name, supplies=supplies, **more)
    data = "; ".join(line for line in ran.said if line.startswith("data"))
    require(
        ran.examples == len(rows),
        f"the format {form.name}: of {len(rows)} sample rows {ran.examples} are trained on ({data}); give rows that are",
    )
    seen = ran.steps[-1]
    sound = math.isfinite(seen["loss"]) and 0 < seen["grad_norm"] < math.inf
    require(
        sound,
        f"the format {form.name}: a step of {name} on the sample has the loss {seen['loss']} and the gradient norm {seen['grad_norm']}",
    )
