"""A name, a file, YAML text or a mapping -> `Objective`: the validated declaration and the place of every value in it."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from halo.errors import HaloError, ObjectiveError, Place, nearest
from halo.objective.document import Document, Mark, Path, read_document
from halo.objective.formula import Formula, FormulaError, parse
from halo.objective.schema import Declaration, Interval

MERGED_BY_NAME = ("parameters", "let", "statistics", "columns", "regularizers", "terms", "aliases", "control")
NOT_INHERITED = ("halo", "name", "title", "paper", "notes", "expect")
MAX_EXTENDS, MAX_BYTES = 8, 200_000

Find = Callable[[str], FilePath | None]


@dataclass(frozen=True)
class Objective:
    """A declaration with places. `values` is what `halo show --stage objective` prints: extends resolved, as written."""

    declaration: Declaration
    values: dict[str, Any] = field(repr=False)
    marks: dict[Path, Mark] = field(repr=False)
    file: str

    @property
    def name(self) -> str:
        return self.declaration.name

    def place(self, path: Path, offset: int = 0) -> Place:
        """Where the value at `path` stands (or its nearest enclosing value), `offset` characters into it."""
        for end in range(len(path), -1, -1):
            if mark := self.marks.get(path[:end]):
                value = _at(self.values, path) if end == len(path) else None
                return mark.place(offset, value if isinstance(value, str) else None)
        return Place(self.file)

    def key_place(self, path: Path) -> Place:
        """Where the key (or list entry) at the end of `path` stands."""
        mark = self.marks.get((*path, "")) or self.marks.get(path)
        if mark is None:
            return self.place(path)
        return mark.place()

    def formula(self, path: Path, text: str | int | float) -> Formula:
        """Parses the formula at `path`. Raises ObjectiveError at its very column."""
        try:
            return parse(text)
        except FormulaError as problem:
            place = self.place(path, problem.offset)
            raise ObjectiveError(problem.code, problem.message, place=place, hint=problem.hint) from None

    def with_parameters(self, changes: Mapping[str, float]) -> dict[str, float]:
        """The parameters' values, defaults replaced by `changes`. Raises ObjectiveError for an unknown or bad one."""
        declared = self.declaration.parameters
        for name, value in changes.items():
            if name not in declared:
                hint = nearest(name, declared)
                raise ObjectiveError("unknown-name", f"{self.name} has no parameter {name!r}", place=Place(self.file), hint=hint)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ObjectiveError("wrong-value", f"{name}={value!r} is not a number", place=Place(self.file))
        values = {}
        for name, parameter in declared.items():
            given = changes.get(name, parameter.default)  # an int may be past the floats
            domain = Interval.parse(parameter.domain)
            if abs(given) > sys.float_info.max or given not in domain:
                place = Place(self.file) if name in changes else self.place(("parameters", name, "default"))
                raise _outside(name, given, parameter.domain, place, f"the default is {_shown(parameter.default)}")
            values[name] = domain.nearest(given)
        return values

    def check_suggested(self) -> None:
        """Raises ObjectiveError for a value worth a search, or a column's default, that its own domain leaves out."""
        for name, parameter in self.declaration.parameters.items():
            for index, value in enumerate(parameter.search or ()):
                if value not in Interval.parse(parameter.domain):
                    place = self.place(("parameters", name, "search", index))
                    raise _outside(f"{name}'s search value", value, parameter.domain, place, "a search tries values of the domain")
        for name, column in self.declaration.columns.items():
            default = column.default
            if default is not None and default not in Interval.parse(column.domain):
                place = self.place(("columns", name, "default"))
                raise _outside(f"{name}'s default", default, column.domain, place, "it stands for a row's number, which is in the domain")

    def to_yaml(self, parameters: Mapping[str, float] | None = None) -> str:
        """The declaration as YAML, with `extends` resolved; `parameters` become its defaults."""
        values = dict(self.values)
        if parameters:
            declared = values["parameters"].items()
            values["parameters"] = {name: {**one, "default": _as_declared(one["default"], parameters[name])} for name, one in declared}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def load(source: str | FilePath | Mapping[str, Any], find: Find = lambda name: None) -> Objective:
    """Reads an objective. `find` maps the name of a shipped or plugged-in objective to its file.

    A mapping is taken as it is; text with a line break is YAML; text with `/` or ending in .yaml is a file; any other
    is a name. Raises ObjectiveError.
    """
    document = _document(source, find)
    values, marks = _extended(document, find, ())
    try:
        declaration = Declaration.model_validate(values)
    except ValidationError as problem:
        raise first_error(problem, Declaration, marks, document.name, ObjectiveError) from None
    objective = Objective(declaration, values, marks, document.name)
    objective.with_parameters({})
    objective.check_suggested()
    return objective


def _as_declared(default: float, value: float) -> float:
    """The value, as it was written where it is the same number."""
    return default if value == default else value


def _outside(what: str, value: float, domain: str, place: Place, hint: str) -> ObjectiveError:
    return ObjectiveError("out-of-domain", f"{what} = {_shown(value)} is outside its domain {domain}", place=place, hint=hint)


def _shown(value: float) -> str:
    """A number for a message; an int past the floats is not written out."""
    try:
        return f"{value:g}"
    except OverflowError:
        return "a number past the floats"


def _document(source: str | FilePath | Mapping[str, Any], find: Find) -> Document:
    if isinstance(source, Mapping):
        text = yaml.safe_dump(dict(source), sort_keys=False, width=10_000)
        return read_document(text, str(source.get("name", "objective")))
    if isinstance(source, str) and "\n" in source:
        return read_document(source, "objective")
    if isinstance(source, FilePath) or is_path(source):
        file = FilePath(source)
        return read_document(read_text(file, ObjectiveError, "objective"), file.name, home=file.parent)
    found = find(source)
    if found is None:
        hint = "a name is a shipped or plugged-in objective; a file has a '/' or ends in .yaml"
        beside = f"did you mean ./{source}.yaml?" if _is_file(f"{source}.yaml") else ""
        raise ObjectiveError("not-found", f"there is no objective named {source!r}", hint=beside or _hint_of(find, source) or hint)
    return read_document(read_text(found, ObjectiveError, "objective"), found.name, home=found.parent)


def _is_file(name: str) -> bool:
    try:
        return FilePath(name).is_file()
    except (OSError, ValueError):  # a name that is too long, a NUL
        return False


def is_path(source: str) -> bool:
    """Whether a source that is no YAML text is a file, and not a name."""
    return "/" in source or source.endswith((".yaml", ".yml"))


def _hint_of(find: Find, name: str) -> str:
    names = getattr(find, "names", None)
    if names is None:
        return ""
    return nearest(name, names())


def read_text(path: FilePath, error: type[HaloError], what: str) -> str:
    """The text of a regular file of at most MAX_BYTES, or one clear message."""
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise error("not-found", f"{path} is a folder, and the {what} is a file")
        if not stat.S_ISREG(kind.st_mode):
            raise error("not-found", f"{path} is no regular file")
        if kind.st_size > MAX_BYTES:
            raise error("formula-limit", f"{path} has {kind.st_size:,} bytes; at most {MAX_BYTES:,} are read")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error("not-found", f"there is no {what} file {path}") from None
    except UnicodeDecodeError as problem:
        raise error("yaml-syntax", f"not UTF-8 text (byte {problem.start})", place=Place(str(path))) from None
    except OSError as problem:  # no permission, a loop of links, a name that is too long
        raise error("not-found", f"the {what} file {path} cannot be read: {problem.strerror}") from None
    except ValueError:  # a NUL
        raise error("not-found", f"{str(path)!r} is no name of a file") from None


def _extended(document: Document, find: Find, seen: tuple[str, ...]) -> tuple[dict[str, Any], dict[Path, Mark]]:
    """The document's values over those of what it extends, and the marks of both."""
    own: dict[str, Any] = document.value
    base_name = own.get("extends")
    if base_name is None:
        return own, document.marks
    place = document.marks[("extends",)].place()
    if not isinstance(base_name, str) or base_name in seen or len(seen) > MAX_EXTENDS:
        raise ObjectiveError("cycle", f"{base_name!r} cannot be extended here", place=place, hint="extends names another objective")
    base_document = _base_document(document, base_name, find, place)
    base, base_marks = _extended(base_document, find, (*seen, base_name))
    merged = {key: value for key, value in base.items() if key not in NOT_INHERITED}
    marks = {path: mark for path, mark in base_marks.items() if path and path[0] not in NOT_INHERITED} | {(): document.marks[()]}
    for key, value in own.items():
        _merge(merged, marks, document, key, value)
    return merged, marks


def _base_document(document: Document, name: str, find: Find, place: Place) -> Document:
    """What a file extends: a name, or a file of its own folder's tree, whose text no message quotes."""
    try:
        if "\n" not in name and is_path(name):
            file = _at_home(document.home or FilePath(), name, place)
            return read_document(read_text(file, ObjectiveError, "objective"), file.name, home=file.parent, foreign=True)
        return _document(name, find)
    except ObjectiveError as problem:
        if problem.place is None or problem.code == "not-found":
            raise ObjectiveError(problem.code, problem.message, place=place, hint=problem.hint) from None
        if is_path(name) and problem.place.file != place.file:
            said = f"{name} is no objective (line {problem.place.line or 1})"
            raise ObjectiveError(problem.code, said, place=place, hint=f"look at it with halo show {name}") from None
        raise


def _at_home(home: FilePath, name: str, place: Place) -> FilePath:
    """The file of that name, seen from the folder that it must lie in or under. Raises ObjectiveError."""
    try:
        root, found = home.resolve(), (home / name).resolve()
    except (OSError, RuntimeError, ValueError) as problem:  # a loop of links, a NUL
        raise ObjectiveError("not-found", f"{name!r} leads nowhere: {problem}", place=place) from None
    if not found.is_relative_to(root):
        hint = "copy it there, or make it known by name: halo new plugin NAME --kind objectives"
        raise ObjectiveError("not-found", f"{name} lies outside of the folder of the file that extends it", place=place, hint=hint)
    return found


def _merge(merged: dict[str, Any], marks: dict[Path, Mark], document: Document, key: str, value: Any) -> None:
    """Puts one key of a file over the base: named maps merge by name (`none` removes), all else is replaced whole."""
    if key in MERGED_BY_NAME and isinstance(value, dict) and isinstance(merged.get(key), dict):
        combined = dict(merged[key])
        for name, item in value.items():
            _replace_marks(marks, document, (key, name))
            if item == "none":
                combined.pop(name, None)
            else:
                combined[name] = item
        merged[key] = combined
    else:
        _replace_marks(marks, document, (key,))
        merged[key] = value


def _replace_marks(marks: dict[Path, Mark], document: Document, prefix: Path) -> None:
    size = len(prefix)
    for path in [path for path in marks if path[:size] == prefix]:
        del marks[path]
    marks.update({path: mark for path, mark in document.marks.items() if path[:size] == prefix})


def first_error(problem: ValidationError, model: type[BaseModel], marks: dict[Path, Mark], file: str, error: type[HaloError]) -> HaloError:
    """The most telling of pydantic's errors, in our words and at its place."""
    errors = problem.errors()
    chosen = max(errors, key=lambda e: (e["type"] == "extra_forbidden", len([p for p in e["loc"] if p in _flat(marks)])))
    path = tuple(part for part in chosen["loc"] if not _is_union_branch(part, chosen["loc"], marks))
    mark = _nearest_mark(marks, path, key=chosen["type"] == "extra_forbidden")
    place = mark.place() if mark else Place(file)
    key = str(path[-1]) if path else ""
    if chosen["type"] == "extra_forbidden":
        return error("unknown-key", f"unknown key {key!r}", place=place, hint=nearest(key, _fields(model, path[:-1])))
    if chosen["type"] == "missing":
        return error("missing-key", f"the key {key!r} is missing", place=place)
    if chosen["type"] == "string_type" and isinstance(chosen["input"], (int, float)):
        return error("wrong-value", f"{key}: {chosen['input']!r} is read as a number", place=place, hint="quote it")
    message = chosen["msg"].removeprefix("Value error, ")
    return error("wrong-value", f"{key}: {message[:1].lower()}{message[1:]}", place=place)


def _flat(marks: dict[Path, Mark]) -> set[str | int]:
    return {part for path in marks for part in path}


def _is_union_branch(part: str | int, loc: tuple[str | int, ...], marks: dict[Path, Mark]) -> bool:
    """pydantic adds the branch of a union to `loc`; only parts that stand in the file, or the last one, are ours."""
    if part in _flat(marks):
        return False
    return part != loc[-1] or str(part).startswith(("dict[", "list[", "str", "int", "float"))


def _nearest_mark(marks: dict[Path, Mark], path: Path, key: bool) -> Mark | None:
    if key and (*path, "") in marks:
        return marks[(*path, "")]
    return next((marks[path[:end]] for end in range(len(path), -1, -1) if path[:end] in marks), None)


def _fields(model: type[BaseModel], path: Iterable[str | int]) -> set[str]:
    """The keys known at `path` below `model`, following its fields' own models."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in path:
        node = _child(schema, node, str(part))
    return set(node.get("properties", {}))


def _child(schema: dict[str, Any], node: dict[str, Any], part: str) -> dict[str, Any]:
    child = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    for candidate in [child, *child.get("anyOf", [])]:
        if "$ref" in candidate:
            found: dict[str, Any] = schema["$defs"][candidate["$ref"].rsplit("/", 1)[-1]]
            return found
        if "properties" in candidate or isinstance(candidate.get("additionalProperties"), dict):
            return dict(candidate)
    return dict(child) if isinstance(child, dict) else {}


def _at(values: Any, path: Path) -> Any:
    for part in path:
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not in_list and not (isinstance(values, dict) and part in values):
            return None
        values = values[part]
    return values
