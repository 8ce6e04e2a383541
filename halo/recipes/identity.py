"""What a word, an option or a setting of a command stands for: weights, the content of files, an objective with all that it extends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from halo.files.manifest import digest
from halo.objective.loading import load
from halo.plugin.objectives import find_objective
from halo.reference.fingerprint import weights_fingerprint

MODELS = ("config.json", "adapter_config.json")
"""A folder that holds one of them holds a model's weights."""
LONGEST = 1000
"""Characters of a text that may still be the name of a file."""


def identity(value: Any, keys: Mapping[str, str]) -> Any:
    """The value with every place in it told by what is there: `keys` by place for what a loop makes, a hash for files and weights.

    Places are looked for in mappings, in lists, in texts with commas, and in `name:option=PLACE,...`, `PLACE:column` and `PLACE@weight`.
    """
    if isinstance(value, Mapping):
        return {name: identity(one, keys) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [identity(one, keys) for one in value]
    if not isinstance(value, str):
        return value

    def told(text: str) -> str:
        return keys[text] if text in keys else content(text)

    whole = told(value)
    return whole if whole != value else ",".join(_told_within(part, told) for part in value.split(","))


def _told_within(part: str, told: Callable[[str], str]) -> str:
    """The first place that stands in a text, in its stead."""
    for place in _places(part):
        found = told(place)
        if found != place:
            return part.replace(place, found)
    return part


def _places(part: str) -> Iterator[str]:
    """What may be a place in a text without commas, the longest first."""
    yield part
    option = part.partition(":")[2]
    yield from (option.partition("=")[2], part.partition("=")[2], option, part.rpartition("@")[0], part.rpartition(":")[0])
    yield from part.replace("=", " ").split()


@cache
def content(value: str) -> str:
    """Of a file its hash, of a model's folder its weights; of anything else, and of what is not there yet, the text."""
    path = Path(value)
    if not value or len(value) >= LONGEST:
        return value
    if path.is_file():
        return digest(path)
    if any((path / name).is_file() for name in MODELS):
        return weights_fingerprint(value)
    return value


@cache
def declared(objective: str) -> str:
    """An objective as it is declared, with `extends` resolved. Raises ObjectiveError."""
    return load(objective, find_objective).to_yaml()


def forget() -> None:
    """What was read is read again: files may have changed since."""
    content.cache_clear()
    declared.cache_clear()
