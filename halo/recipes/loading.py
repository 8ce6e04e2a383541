"""A name or file -> a recipe: `extends` resolved, `--set` over it, every option known to its command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from halo.errors import Place, SettingsError, nearest
from halo.objective.document import Document, Mark, read_document
from halo.objective.document import Path as Keys
from halo.objective.loading import first_error, is_path, read_text
from halo.plugin.recipes import find_recipe
from halo.recipes.schema import KINDS, OPTIONS, Recipe
from halo.starter.defaults import EMBEDDED

NOT_INHERITED = ("recipe", "extends", "title", "paper", "notes")
FLAGS = ("model", "prompts", "held_out", "seed", "rounds")
"""Keys that have a flag of their own."""
MOST = 8
"""Recipes that extend one another."""


@dataclass(frozen=True)
class Loaded:
    """A recipe and where its values stand. changed: the keys that `--set` and its like gave, and how these are called."""

    recipe: Recipe
    marks: Mapping[Keys, Mark]
    file: str
    changed: Mapping[Keys, Place]

    def place(self, *keys: str) -> Place:
        """Of a value, or the nearest that encloses it."""
        for end in range(len(keys), 0, -1):
            if place := self.changed.get(keys[:end]):
                return place
            if mark := self.marks.get(keys[:end]):
                return mark.place()
        return Place(self.file)


def load_recipe(source: str, changes: Mapping[str, Any], embedded: bool) -> Loaded:
    """`changes`: by key with dots, as `--set` has them; embedded: its `miniature` counts where no model is named. Raises SettingsError."""
    document = _document(source)
    values: dict[str, Any]
    marks: Mapping[Keys, Mark]
    values, marks = _extended(document, (source,))
    check_texts(changes, Place("--set"))
    if embedded and changes.get("model", values.get("model")) in (None, EMBEDDED):
        values, marks = _in_miniature(values, marks)
    changed = dict[Keys, Place]()
    for key, value in changes.items():
        place, nested = _place_of(key), _nested(key, value, values)
        changed[_path(nested, value)] = place
        values = merged(values, nested)
    loaded = Loaded(_validated(_without_none(values), marks, changed, document.name), marks, document.name, changed)
    for name, stage in loaded.recipe.stages.items():
        for option in stage.options:
            if option not in OPTIONS[stage.kind]:
                place, hint = loaded.place("stages", name, stage.kind, option), nearest(option, OPTIONS[stage.kind])
                raise SettingsError("unknown-key", f"a {stage.kind} stage has no {option!r}", place=place, hint=hint)
    return loaded


def _in_miniature(values: dict[str, Any], marks: Mapping[Keys, Mark]) -> tuple[dict[str, Any], Mapping[Keys, Mark]]:
    """The values with what the miniature says over them, and its places. Raises SettingsError for one that is no mapping."""
    small = values.get("miniature")
    if small in (None, "none"):
        return values, marks
    if not isinstance(small, Mapping):
        place = marks[("miniature",)].place()
        raise SettingsError("wrong-value", "miniature: it is a mapping of keys of this file", place=place, hint="miniature: {rounds: 1}")
    return merged(values, small), {**marks, **{keys[1:]: mark for keys, mark in marks.items() if keys[0:1] == ("miniature",) and keys[1:]}}


def _validated(values: Mapping[str, Any], marks: Mapping[Keys, Mark], changed: Mapping[Keys, Place], file: str) -> Recipe:
    """Raises SettingsError at the place of what is wrong."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as problem:
        error = first_error(problem, Recipe, dict(marks), file, SettingsError)
        places = [changed[keys] for one in problem.errors() for keys in changed if one["loc"][: len(keys)] == keys]
        place = places[0] if places else error.place
        raise SettingsError(error.code, error.message, place=place, hint=error.hint) from None


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Maps within maps; `none` removes a key. Of another thing that is named (`name:`) no option of the one before it stays."""
    found = dict(base)
    for key, value in own.items():
        before = found.get(key)
        if value == "none":
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping) and not _is_another(value, before):
            found[key] = merged(before, value)
        else:
            found[key] = value
    return found


def _is_another(value: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return isinstance(value.get("name"), str) and value["name"] != before.get("name")


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is taken away where nothing stood. The miniature's own `none` are of the recipe that it changes."""
    kept = {key: value for key, value in values.items() if value != "none"}
    return {key: _without_none(value) if isinstance(value, Mapping) and key != "miniature" else value for key, value in kept.items()}


def read_change(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as a recipe's file has it, without YAML's traps. Raises SettingsError."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise SettingsError("wrong-value", f"{text!r} is not KEY=VALUE", place=Place("--set"), hint="such as --set drawn.n=8")
    place = Place(f"--set {key}")
    if not value.strip():
        raise SettingsError("wrong-value", "a value is missing", place=place, hint=f"--set {key}=none takes it away")
    check_texts(text, place)
    try:
        found = read_document(f"value: {value}", f"--set {key}", SettingsError).value
    except SettingsError as problem:
        hint = f"in quotes it is a text: --set '{key}=\"{value}\"'"
        raise SettingsError(problem.code, problem.message, place=place, hint=hint) from None
    if list(found) != ["value"]:
        raise SettingsError("wrong-value", f"{value!r} is more than one value", place=place, hint="give --set once for each")
    return key, found["value"]


def check_texts(value: Any, place: Place) -> None:
    """Raises SettingsError for a text, somewhere within, that is no name of a file and no line of a terminal: a NUL, half a letter."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            check_texts(key, place)
            check_texts(one, place)
    elif isinstance(value, list | tuple):
        for one in value:
            check_texts(one, place)
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise SettingsError("wrong-value", f"{value!r} holds a NUL, or what is no UTF-8 text", place=place, hint="take it out")


def _place_of(key: str) -> Place:
    """What a change is called on the command line."""
    return Place(f"--{key.replace('_', '-')}" if key in FLAGS else f"--set {key}")


def _path(nested: Mapping[str, Any], value: Any) -> Keys:
    """The keys that lead to a value."""
    keys, inner = list[str](), nested
    while inner is not value and isinstance(inner, Mapping):
        key = next(iter(inner))
        keys.append(key)
        inner = inner[key]
    return tuple(keys)


def _nested(key: str, value: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """`drawn.n` is `stages.drawn.sample.n`; `rounds` is itself. Raises SettingsError for a stage that is not there."""
    first, *options = key.split(".")
    place = _place_of(key)
    if not options:
        if first not in Recipe.model_fields:
            raise SettingsError("unknown-setting", f"there is no {first!r}", place=place, hint=nearest(first, Recipe.model_fields))
        return {first: value}
    stages = values.get("stages")
    if not isinstance(stages, Mapping):
        raise SettingsError("wrong-value", "the recipe has no stages by name", place=place, hint="stages: {drawn: {sample: {n: 3}}}")
    if first not in stages:
        raise SettingsError("unknown-setting", f"there is no stage {first!r}", place=place, hint=nearest(first, stages))
    stage = stages[first]
    kind = next((kind for kind in stage if kind in KINDS), None) if isinstance(stage, Mapping) else None
    if kind is None:
        raise SettingsError("wrong-value", f"the stage {first} is none of {', '.join(KINDS)}", place=place, hint="mend the recipe")
    nested = value
    for option in reversed(options):
        nested = {option: nested}
    return {"stages": {first: {kind: nested}}}


def _document(source: str) -> Document:
    """Of a file, or of a shipped or plugged-in recipe."""
    if is_path(source):
        return _read(Path(source))
    found = find_recipe(source)
    if found is None:
        message = f"there is no recipe named {source!r}"
        raise SettingsError("not-found", message, place=Place("halo loop"), hint=nearest(source, find_recipe.names()))
    return _read(found)


def _read(file: Path) -> Document:
    try:
        document = read_document(read_text(file, SettingsError, "recipe"), file.name, SettingsError, home=file.parent)
    except SettingsError as problem:
        if problem.code != "empty-file":
            raise
        hint = "a recipe needs a name and stages: halo new recipe NAME writes one"
        raise SettingsError(problem.code, problem.message, place=problem.place, hint=hint) from None
    for key, value in document.value.items():
        check_texts([key, value], document.marks[(key,)].place())
    return document


def _extended(document: Document, seen: tuple[str, ...]) -> tuple[dict[str, Any], dict[Keys, Mark]]:
    """The values over those of what they extend, and the marks of both."""
    own: dict[str, Any] = document.value
    base_name = own.get("extends")
    if base_name is None:
        return own, document.marks
    place = document.marks[("extends",)].place()
    if not isinstance(base_name, str) or is_path(base_name):
        hint = "extends: rrhf; a recipe of one's own has a name once a plugin supplies its folder (docs/plugins.md)"
        raise SettingsError("wrong-value", f"extends takes the name of a recipe, not {base_name!r}", place=place, hint=hint)
    if base_name in seen or len(seen) > MOST:
        raise SettingsError("cycle", f"{base_name!r} cannot be extended here", place=place, hint="extends names another recipe")
    try:
        base, marks = _extended(_document(base_name), (*seen, base_name))
    except SettingsError as problem:
        if problem.code != "not-found":
            raise
        raise SettingsError(problem.code, problem.message, place=place, hint=problem.hint) from None
    kept = {key: value for key, value in base.items() if key not in NOT_INHERITED}
    return merged(kept, own), {**{keys: mark for keys, mark in marks.items() if keys}, **document.marks}
