"""A name or file -> a recipe: `extends` resolved, `--set` over it, every option known to its command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from halo.errors import Place, SettingsError, nearest
from halo.objective.document import Document, Mark, read_document
from halo.objective.document import Path as Keys
from halo.objective.loading import first_error, is_path, read_text
from halo.plugin.recipes import find_recipe
from halo.recipes.schema import OPTIONS, Recipe

NOT_INHERITED = ("recipe", "extends", "title", "paper", "notes")
MOST = 8
"""Recipes that extend one another."""


@dataclass(frozen=True)
class Loaded:
    """A recipe and where its values stand."""

    recipe: Recipe
    marks: Mapping[Keys, Mark]
    file: str

    def place(self, *keys: str) -> Place:
        """Of a value, or the nearest that encloses it."""
        for end in range(len(keys), 0, -1):
            if mark := self.marks.get(keys[:end]):
                return mark.place()
        return Place(self.file)


def load_recipe(source: str, changes: Mapping[str, Any], embedded: bool) -> Loaded:
    """`changes`: by key with dots, as `--set` has them; embedded: its `miniature` counts. Raises SettingsError."""
    document = _document(source)
    values, marks = _extended(document, (source,))
    if embedded:
        values = merged(values, values.get("miniature") or {})
    for key, value in changes.items():
        values = merged(values, _nested(key, value, values))
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as problem:
        raise first_error(problem, Recipe, dict(marks), document.name, SettingsError) from None
    loaded = Loaded(recipe, marks, document.name)
    for name, stage in recipe.stages.items():
        for option in stage.options:
            if option not in OPTIONS[stage.kind]:
                place, hint = loaded.place("stages", name, stage.kind, option), nearest(option, OPTIONS[stage.kind])
                raise SettingsError("unknown-key", f"a {stage.kind} stage has no {option!r}", place=place, hint=hint)
    return loaded


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Maps within maps; `none` removes a key."""
    found = dict(base)
    for key, value in own.items():
        before = found.get(key)
        if value == "none":
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            found[key] = merged(before, value)
        else:
            found[key] = value
    return found


def read_change(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML has it. Raises SettingsError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SettingsError("wrong-value", f"{text!r} is not KEY=VALUE", place=Place("--set"), hint="such as --set drawn.n=8")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


def _nested(key: str, value: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """`drawn.n` is `stages.drawn.sample.n`; `rounds` is itself. Raises SettingsError for a stage that is not there."""
    first, _, option = key.partition(".")
    if not option:
        if first not in Recipe.model_fields:
            raise SettingsError("unknown-setting", f"there is no {first!r}", place=Place("--set"), hint=nearest(first, Recipe.model_fields))
        return {first: value}
    stages = values.get("stages") or {}
    if first not in stages:
        raise SettingsError("unknown-setting", f"there is no stage {first!r}", place=Place("--set"), hint=nearest(first, stages))
    kind = next(iter(stages[first]))
    return {"stages": {first: {kind: {option: value}}}}


def _document(source: str) -> Document:
    """Of a file, or of a shipped or plugged-in recipe."""
    if is_path(source):
        file = Path(source)
        return read_document(read_text(file, SettingsError, "recipe"), file.name, SettingsError, home=file.parent)
    found = find_recipe(source)
    if found is None:
        message = f"there is no recipe named {source!r}"
        raise SettingsError("not-found", message, place=Place("halo loop"), hint=nearest(source, find_recipe.names()))
    return read_document(read_text(found, SettingsError, "recipe"), found.name, SettingsError, home=found.parent)


def _extended(document: Document, seen: tuple[str, ...]) -> tuple[dict[str, Any], dict[Keys, Mark]]:
    """The values over those of what they extend, and the marks of both."""
    own: dict[str, Any] = document.value
    base_name = own.get("extends")
    if base_name is None:
        return own, document.marks
    place = document.marks[("extends",)].place()
    if not isinstance(base_name, str) or is_path(base_name) or base_name in seen or len(seen) > MOST:
        raise SettingsError("cycle", f"{base_name!r} cannot be extended here", place=place, hint="extends names another recipe")
    try:
        base, marks = _extended(_document(base_name), (*seen, base_name))
    except SettingsError as problem:
        if problem.code != "not-found":
            raise
        raise SettingsError(problem.code, problem.message, place=place, hint=problem.hint) from None
    kept = {key: value for key, value in base.items() if key not in NOT_INHERITED}
    return merged(kept, own), {**{keys: mark for keys, mark in marks.items() if keys}, **document.marks}
