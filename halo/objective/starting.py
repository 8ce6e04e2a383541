"""A file to start from: another objective written out, every key with what it means. The words are the schema's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from halo.objective.loading import Objective
from halo.objective.schema import Declaration

SCHEMA_FILE = "objective.schema.json"
LEFT_OUT = ("name", "title", "paper", "notes", "extends", "aliases")
"""What belongs to the objective that is started from, not to the new one."""


def starting_text(name: str, base: Objective) -> str:
    """The text of a new objective file: the base with `extends` resolved, under a new name."""
    head = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        f"# Started from {base.name}. z = reward - reference_point - margin; an item's loss is weight * sign * value + constant.",
        "# docs/language.md has every key and word.",
        f"name: {name}",
        f"title: {name}, started from {base.name}",
        f"notes: Not published; started from {base.name}. Say where it comes from, or give its paper.",
    ]
    return "\n".join([*head, *(line for key, value in base.values.items() if key not in LEFT_OUT for line in _entry(key, value))]) + "\n"


def _entry(key: str, value: Any) -> list[str]:
    lines, meaning = lines_of(key, value), Declaration.model_fields[key].description
    if meaning:
        lines.insert(0, f"# {meaning}")
    return lines


def lines_of(key: str, value: Any) -> list[str]:
    """A key of an objective file as YAML: one line, or one for each named entry."""
    if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
        return [f"{key}:", *(f"  {name}: {_flow(inner)}" for name, inner in value.items())]
    return [f"{key}: {_flow(value)}"]


def _flow(value: Any) -> str:
    """One line of YAML; a text that would not survive in a flow map is quoted by the library."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
