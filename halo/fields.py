"""Flags that are the fields of a pydantic model: read, with the flag named where one is wrong, and described for the help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from halo.errors import Place, SettingsError, nearest

T = TypeVar("T", bound=BaseModel)


def read_flags(model: type[T], flags: Mapping[str, str | None], more: Mapping[str, Any], command: str) -> T:
    """The flags, and what else is given by name, as the model. Raises SettingsError, naming the flag."""
    values: dict[str, Any] = {flag.lstrip("-").replace("-", "_"): True if text is None else text for flag, text in flags.items()}
    try:
        return model.model_validate({**values, **more})
    except ValidationError as problem:
        error = problem.errors()[0]
    name = str(error["loc"][0])
    place = Place(f"--{name.replace('_', '-')}")
    if error["type"] == "extra_forbidden":
        raise SettingsError("unknown-setting", "there is no such flag", place=place, hint=nearest(name, model.model_fields))
    if error["type"] == "missing":
        message = f"it is missing: {model.model_fields[name].description}"
        raise SettingsError("missing-key", message, place=place, hint=f"halo {command} --help")
    raise SettingsError("wrong-value", error["msg"].removeprefix("Value error, "), place=place, hint=f"halo {command} --help")


def described_flags(model: type[BaseModel]) -> str:
    """A line for each field."""
    lines = [""]
    for name, field in model.model_fields.items():
        default = "" if field.is_required() or field.default is None else f"[{field.default}]"
        lines.append(f"  --{name.replace('_', '-'):<24}{default:<12} {field.description or ''}".rstrip())
    return "\n".join(lines) + "\n"
