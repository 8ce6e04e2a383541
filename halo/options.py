"""Something that a plugin supplies, named in settings with options of its own: `name`, `name:option=value,...`, or a mapping.

    --reference moving:every=64,mixup=0.5          on a command line
    reference: {name: moving, every: 64}           in a settings file

Which options there are, of what type, with which default and meaning, is one pydantic model that the plugin supplies. Command line,
settings file and help share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from halo.errors import Place, SettingsError, nearest


class Options(BaseModel):
    """What can be set of something that a plugin supplies. A subclass names its options; each has a type, a default and a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


T = TypeVar("T", bound=Options)


def _checked(value: Any) -> Any:
    """As given, if it can be taken apart. Raises ValueError."""
    if isinstance(value, (str, Mapping)):
        parts(value)
    return value


Named = Annotated[str | dict[str, Any], BeforeValidator(_checked)]
"""The type of a setting that names something with options. Settings keep it as it was given."""


def parts(value: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the options as given. Raises ValueError if there is no name, an option without a value, or one given twice."""
    if isinstance(value, Mapping):
        name = value.get("name")
        if not isinstance(name, str):
            raise ValueError("a mapping says which one it is with `name:`")
        return name, {key: given for key, given in value.items() if key != "name"}
    name, _, text = value.partition(":")
    options: dict[str, Any] = {}
    for entry in filter(None, text.split(",")):
        key, equals, given = entry.partition("=")
        if not (equals and key):
            raise ValueError(f"{entry!r} is not option=value, as in {name}:option=value,...")
        if key in options:
            raise ValueError(f"{key} is given twice")
        options[key] = given
    return name, options


def as_text(value: str | Mapping[str, Any]) -> str:
    """As it would be typed."""
    name, options = parts(value)
    return ":".join(filter(None, [name, ",".join(f"{key}={given}" for key, given in options.items())]))


def validated(model: type[T], given: Mapping[str, Any], what: str, name: str, place: Place) -> T:
    """The options of `what` (a reference, a backend) of that name. Raises SettingsError for one that is unknown or not as it must be."""
    try:
        return model.model_validate(given)
    except ValidationError as problem:
        error = problem.errors()[0]
    option = str(next(iter(error["loc"]), ""))
    if error["type"] == "extra_forbidden":
        message = f"the {what} {name} has no option {option!r}"
        raise SettingsError("unknown-setting", message, place=place, hint=nearest(option, model.model_fields))
    if option not in model.model_fields:
        raise SettingsError("wrong-value", f"the {what} {name}: {_own_words(error['msg'])}", place=place)
    field = model.model_fields[option]
    wrong = f": {_own_words(error['msg'])}"
    if error["type"] != "value_error" and rule(field):  # a value error is in the words of the model's own validator
        wrong = f" is not {rule(field)}"
    message = f"{option}={given.get(option, '')}{wrong}"
    hint = f"{field.description or option}, such as {name}:{option}={field.default}"
    raise SettingsError("wrong-value", message, place=place, hint=hint)


def described(model: type[Options]) -> Iterator[tuple[str, str]]:
    """Each option as `name=default`, and what it means and may be."""
    for name, field in model.model_fields.items():
        meaning = ", ".join(filter(None, [field.description, rule(field)]))
        yield f"{name}={field.default}", meaning


KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
BOUNDS = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}


def rule(field: FieldInfo) -> str:
    """What an option may be, in words: `a whole number from 1`; empty for a type that has none here."""
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(map(str, get_args(field.annotation)))}"
    if not isinstance(field.annotation, type) or field.annotation not in KINDS:
        return ""
    bounds = [f"{word} {getattr(bound, key)}" for bound in field.metadata for key, word in BOUNDS.items() if hasattr(bound, key)]
    return f"{KINDS[field.annotation]} {', '.join(bounds)}".strip()


def _own_words(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
