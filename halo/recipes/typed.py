"""A step's flags as one would type them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo.options import as_text


def command(kind: str, words: Sequence[str], flags: Mapping[str, Any]) -> str:
    """The command line."""
    return shlex.join(["halo", kind, *words, *_typed(flags)])


def _typed(flags: Mapping[str, Any]) -> Iterator[str]:
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            yield flag
        elif value != []:  # an empty list is what stands without the flag
            text = _text(value)
            yield from [f"{flag}={text}"] if text.startswith("--") else [flag, text]


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return as_text(value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return listed(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(items: Sequence[Any]) -> str:
    """Items with commas, as JSON where an item holds what a list with commas cannot."""
    if any(isinstance(one, str) and (one.startswith("[") or any(sign in one for sign in ",\\\n\r")) for one in items):
        return json.dumps(list(items), ensure_ascii=False)
    return ",".join(map(str, items))
