"""`halo diff A B`: how two objectives are related. Never imports torch."""

from __future__ import annotations

import json

from halo.api.asking import check_known, side
from halo.cli.arguments import split
from halo.errors import SettingsError

HELP = """halo diff A B [--reference uniform-sequence|uniform-token] [--set NAME=VALUE ...] [--json]

Decides how two objectives are related, by the gradients of the loss over a batch, for all data and declared parameter values:
  equal         the same loss and the same gradients             scaled        up to a positive factor
  shifted       the same gradients, another value                renamed       the same after a substitution that can be undone
  special-case  one is the other with the parameters printed     different     neither is a special case of the other: numbers
  incomparable  they take different examples                     distinct      one is none of the other: numbers; the reverse is open
  undecided     neither was shown; the reason
A and B are names or files. NAME@SETTINGS fixes parameters or the reference of one side: dpo@uniform-token, cdpo@epsilon=0,beta=1/10.
  --reference uniform-sequence  log ref of every completion is the same constant
  --reference uniform-token     log ref = -length * log V
  --set                         fixes a parameter in whichever side has it
Exit code: 0 if an answer was found (also different, distinct and incomparable); 1 if it is undecided; 2 for bad input.
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
    check_known(given.parameters, {name for side in sides for name in side.compiled.declared.parameters}, "--set")
    found = related(sides[0], sides[1])
    said = str(found)
    if "--json" in given.flags:
        said = json.dumps(found.to_json(), indent=1, ensure_ascii=False)
    print(said, end="")
    return int(found.word == "undecided")
