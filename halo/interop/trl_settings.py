"""What TRL reads of the settings that somebody gave: which are on, which have no effect, which it refuses or no longer has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from halo.errors import Place, SettingsError

MODIFIERS = ("f_divergence_type", "ld_alpha", "use_weighting", "label_smoothing", "alpha")
"""What turns a loss type into another objective. The table says which combinations exist."""
TRUE, FALSE, NONE = ("true", "1", "yes", "on"), ("false", "0", "no", "off"), ("none", "null", "")
AT_1 = Fraction(1, 10**6)
"""TRL takes an alpha-divergence this near to 1 for the reverse KL divergence."""


@dataclass(frozen=True)
class Read:
    """The modifiers that are on, the other settings that are read, and a sentence about each that has no effect."""

    modifiers: dict[str, str]
    numbers: dict[str, str]
    unread: tuple[str, ...]


def trl_table() -> dict[str, Any]:
    """What stands in trl.yaml: objectives by trainer and loss type, defaults, and who reads what."""
    return dict(yaml.safe_load((Path(__file__).parent / "trl.yaml").read_text(encoding="utf-8")))


def read(trainer: str, loss_type: str, given: Mapping[str, str]) -> Read:
    """Sorts the settings of a loss type. Raises SettingsError for what cannot be read, and for what TRL refuses."""
    whole = trl_table()
    readers, refused, gone = whole["reads"].get(trainer, {}), whole["refuses"].get(trainer, {}), whole["gone"]
    modifiers, numbers, unread = dict[str, str](), dict[str, str](), []
    for flag, text in given.items():
        if flag in gone:
            _check_gone(flag, text, gone[flag])
        elif loss_type in refused.get(flag, ()):
            _check_refused(flag, text, loss_type)
        elif flag in readers and loss_type not in readers[flag]:
            unread.append(f"TRL's {loss_type} does not read {flag}")
        elif flag in _MODIFIERS_OF[trainer]:
            if _is_on(flag, text):
                modifiers[flag] = text
        elif flag != "f_alpha_divergence_coef":
            numbers[flag] = text
    unread += _divergence(modifiers, numbers, given)
    return Read({flag: modifiers[flag] for flag in MODIFIERS if flag in modifiers}, numbers, tuple(unread))


_MODIFIERS_OF = {
    "dpo": MODIFIERS[:4],
    "cpo": ("label_smoothing", "alpha"),
    "tpo": ("label_smoothing",),
    "kto": (),
    "orpo": (),
    "bco": (),
    "sft": (),
}


def _check_gone(flag: str, text: str, instead: str) -> None:
    if text.lower() not in (*FALSE, *NONE):
        raise SettingsError("wrong-value", "it is no setting of a loss in TRL 1.16", place=_place(flag), hint=instead)


def _check_refused(flag: str, text: str, loss_type: str) -> None:
    if _is_on(flag, text):
        message, hint = f"TRL does not take it with {loss_type}", "leave it out, or write the loss by hand: halo new objective"
        raise SettingsError("wrong-value", message, place=_place(flag), hint=hint)


def _divergence(modifiers: dict[str, str], numbers: dict[str, str], given: Mapping[str, str]) -> list[str]:
    """An alpha-divergence by its coefficient: at 1 it is the reverse KL divergence, at 0 the forward one."""
    if modifiers.get("f_divergence_type") != "alpha_divergence":
        if "f_alpha_divergence_coef" in given:
            return ["TRL reads f_alpha_divergence_coef beside f_divergence_type alpha_divergence alone"]
        return []
    coefficient = number("f_alpha_divergence_coef", given.get("f_alpha_divergence_coef", "0.5"))
    if abs(coefficient - 1) < AT_1:
        del modifiers["f_divergence_type"]
    elif coefficient == 0:
        modifiers["f_divergence_type"] = "forward_kl"
    else:
        numbers["f_alpha_divergence_coef"] = str(coefficient)
    return []


def _is_on(flag: str, text: str) -> bool:
    """Whether a modifier changes the loss."""
    word = text.lower()
    if flag == "f_divergence_type":
        return word != "reverse_kl"
    if flag == "use_weighting":
        if word not in (*TRUE, *FALSE, *NONE):
            raise SettingsError("wrong-value", f"{text!r} is neither true nor false", place=_place(flag), hint="true or false")
        return word in TRUE
    if word in NONE:
        return False
    neutral = {"ld_alpha": 1}.get(flag, 0)  # ld_alpha weighs the tail of the longer answer: 0 leaves it out, 1 changes nothing
    return number(flag, text) != neutral


def number(flag: str, text: str) -> Fraction:
    """The number that was given, exactly. Raises SettingsError."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise SettingsError("wrong-value", f"{text!r} is no number", place=_place(flag), hint="such as 0.1") from None


def _place(flag: str) -> Place:
    return Place(f"--{flag.replace('_', '-')}")
