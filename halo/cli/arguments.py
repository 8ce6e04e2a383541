"""Splits a command line into words, flags and `--set name=value`, with `-` and `_` alike. No command parses by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from halo.errors import Place, SettingsError, nearest


@dataclass
class Arguments:
    """words: positional; flags: text by flag as typed (None for a bare flag); parameters: of `--set`."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, str | None] = field(default_factory=dict)
    parameters: dict[str, float] = field(default_factory=dict)
    help: bool = False


def split(arguments: list[str], known: Collection[str], is_bare: Callable[[str], bool] = lambda name: False) -> Arguments:
    """Reads flags among `known` (underscored names). `is_bare`: flags that may stand without a value.

    Raises SettingsError for an unknown flag, a missing value or one given twice.
    """
    result, rest = Arguments(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            result.help = True
        elif not word.startswith("--"):
            result.words.append(word)
        else:
            flag, equals, value = word.partition("=")
            name = _underscored(flag)
            if name != "set" and name not in known:
                raise SettingsError("unknown-setting", "there is no such flag", place=Place(flag), hint=nearest(name, [*known, "set"]))
            if any(_underscored(given) == name for given in result.flags):
                raise SettingsError("duplicate-key", "the flag stands twice", place=Place(flag), hint="give it once")
            if not equals and is_bare(name) and not _is_switched(rest):
                result.flags[flag] = None
                continue
            if not equals:
                value = _value(rest, flag)
            if name == "set":
                _add_parameter(result, value)
            else:
                result.flags[flag] = value
    return result


def _is_switched(rest: list[str]) -> bool:
    """Whether `true` or `false` follows a flag that may stand alone."""
    return bool(rest) and rest[0].lower() in ("true", "false")


def _underscored(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _value(rest: list[str], flag: str) -> str:
    if not rest or (rest[0].startswith("--") and len(rest[0]) > 2):
        raise SettingsError("wrong-value", "a value is missing", place=Place(flag), hint=f"{flag} VALUE or {flag}=VALUE")
    return rest.pop(0)


def _add_parameter(result: Arguments, text: str) -> None:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or number != number:
        raise SettingsError("wrong-value", f"{text!r} is not name=number", place=Place("--set"), hint="such as --set beta=0.2")
    if name.strip() in result.parameters:
        raise SettingsError("duplicate-key", f"{name.strip()} is set twice", place=Place("--set"), hint="give one value")
    result.parameters[name.strip()] = number


def one_word(words: list[str], what: str) -> str:
    """The only positional word. Raises SettingsError if there are none or several."""
    return all_words(words, what)[0]


def all_words(words: list[str], *what: str) -> list[str]:
    """The positional words, one for each of `what`. Raises SettingsError if there are more or fewer."""
    if len(words) != len(what):
        wanted = " and ".join(f"one {name}" for name in what)
        hint = ", not ".join(filter(None, [f"give {wanted}", " ".join(words)]))
        raise SettingsError("missing-key", f"expected {wanted}, got {len(words)}", hint=hint)
    return words


def no_words(words: list[str], command: str) -> None:
    """Raises SettingsError if a command that takes no words was given some."""
    if words:
        raise SettingsError("wrong-value", f"{command} takes no words, got {' '.join(words)}", hint=f"halo {command} --help")
