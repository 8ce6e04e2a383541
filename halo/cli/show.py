"""`halo show OBJECTIVE --stage objective|graph|source`: never imports torch."""

from __future__ import annotations

from halo.cli.arguments import one_word, split
from halo.compiler.pipeline import STAGES, compile_source
from halo.errors import Place, SettingsError, nearest
from halo.plugin.objectives import find_objective

HELP = """halo show OBJECTIVE [--stage objective|graph|source] [--set NAME=VALUE ...]

OBJECTIVE is a shipped or plugged-in name, or a file (with a '/' or ending in .yaml). Stages:
  objective   the declaration with `extends` resolved
  graph       what is computed: every quantity with its axes, formula and place in the file
  source      the torch function that runs (the default)
"""


def run(arguments: list[str]) -> int:
    """Prints one stage."""
    given = split(arguments, ("stage",))
    if given.help:
        print(HELP, end="")
        return 0
    stage = given.flags.get("--stage") or "source"
    if stage not in STAGES:
        raise SettingsError("wrong-value", f"there is no stage {stage!r}", place=Place("--stage"), hint=nearest(stage, STAGES))
    print(compile_source(one_word(given.words, "objective"), given.parameters, find_objective).stage(stage), end="")
    return 0
