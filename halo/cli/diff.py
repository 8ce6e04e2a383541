"""`halo diff A B`: how two objectives are related. Never imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

from halo.cli.arguments import Arguments, split
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import Place, SettingsError, nearest
from halo.objective.loading import load
from halo.plugin.objectives import find_objective

if TYPE_CHECKING:  # the algebra is loaded once there is something to compare
    from halo.relations.signature import Side

HELP = """halo diff A B [--reference uniform-sequence|uniform-token] [--set NAME=VALUE ...] [--json]

Decides how two objectives are related, by the gradients of the loss over a batch, for all data and declared parameter values:
  equal         the same loss and the same gradients             scaled        up to a positive factor
  shifted       the same gradients, another value                renamed       the same after a substitution that can be undone
  special-case  one is the other with the parameters printed     different     no parameters make them the same: exact numbers
  incomparable  they take different examples                     undecided     neither was shown; the reason
A and B are names or files. NAME@SETTINGS fixes parameters or the reference of one side: dpo@uniform-token, cdpo@epsilon=0,beta=1/10.
  --reference uniform-sequence  log ref of every completion is the same constant
  --reference uniform-token     log ref = -length * log V
  --set                         fixes a parameter in whichever side has it
Exit code: 0 if an answer was found (also different and incomparable); 1 if it is undecided; 2 for bad input.
"""


def run(arguments: list[str]) -> int:
    """Compares two objectives."""
    given = split(arguments, ("reference", "json"), is_bare=lambda name: name == "json")
    if given.help:
        print(HELP, end="")
        return 0
    if len(given.words) != 2:
        raise SettingsError("missing-key", f"expected two objectives, got {len(given.words)}", hint="such as halo diff dpo rdpo")
    from halo.relations.relation import related

    sides = [side(word, given.flags.get("--reference") or "", given.parameters) for word in given.words]
    _check_set(given, [side.compiled for side in sides])
    found = related(sides[0], sides[1])
    print(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if "--json" in given.flags else str(found), end="")
    return 1 if found.word == "undecided" else 0


def side(word: str, reference: str = "", parameters: Mapping[str, float] = MappingProxyType({})) -> Side:
    """One side as it is written: `dpo`, `dpo@uniform-token`, `mine.yaml@beta=1/10`; `parameters` it does not have are not its.

    Raises SettingsError, or ObjectiveError of the objective.
    """
    from halo.relations.signature import Side

    name, _, settings = word.rpartition("@") if "@" in word.rpartition("/")[2] else (word, "", "")
    reference = _reference(reference, "--reference")
    known = set(load(name, find_objective).declaration.parameters)
    pins = {key: Fraction(str(value)) for key, value in parameters.items() if key in known}
    for part in filter(None, settings.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            reference = _reference(part, word)
            continue
        try:
            pins[key] = Fraction(value)
        except (ValueError, ZeroDivisionError):
            raise SettingsError("wrong-value", f"{part!r} is not name=number", place=Place(word), hint="such as beta=1/10") from None
    compiled = compile_source(name, {k: float(v) for k, v in pins.items()}, find_objective)
    return Side(compiled, pins, reference if compiled.declared.needs.reference else "")


def _reference(text: str, place: str) -> str:
    from halo.relations.signature import REFERENCES

    if text and text not in REFERENCES:
        raise SettingsError("wrong-value", f"there is no reference {text!r}", place=Place(place), hint=nearest(text, REFERENCES))
    return text


def _check_set(given: Arguments, compiled: list[CompiledObjective]) -> None:
    """Each parameter of --set belongs to a side."""
    known = sorted({name for one in compiled for name in one.declared.parameters})
    for name in given.parameters:
        if name not in known:
            raise SettingsError("unknown-name", f"neither objective has a parameter {name!r}", place=Place("--set"), hint=nearest(name, known))
