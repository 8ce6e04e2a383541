"""`halo show OBJECTIVE`: a stage of it, or the objective as mathematics. Never imports torch."""

from __future__ import annotations

from halo.cli.arguments import Arguments, one_word, split
from halo.compiler.pipeline import STAGES, compile_source
from halo.errors import Place, SettingsError, nearest
from halo.notation.typeset import FORMS, typeset
from halo.plugin.objectives import find_objective
from halo.visible import visible

HELP = """halo show OBJECTIVE [--stage objective|graph|source | --format latex|unicode|md] [--set NAME=VALUE ...]

OBJECTIVE is a shipped or plugged-in name, or a file (with a '/' or ending in .yaml). Stages:
  objective   the declaration with `extends` resolved
  graph       what is computed: every quantity with its axes, formula and place in the file
  source      the torch function that runs (the default)
Formats, the mathematics as a paper has it:
  latex       an align* environment
  unicode     lines for a terminal, with every symbol explained
  md          Markdown: title, paper, mathematics, table of parameters
"""


def run(arguments: list[str]) -> int:
    """Prints one stage, or the mathematics."""
    given = split(arguments, ("stage", "format"))
    if given.help:
        print(HELP, end="")
        return 0
    form = given.flags.get("--format")
    if form is not None:
        return _typeset(given, form)
    stage = given.flags.get("--stage") or "source"
    if stage not in STAGES:
        raise SettingsError("wrong-value", f"there is no stage {stage!r}", place=Place("--stage"), hint=nearest(stage, STAGES))
    shown = compile_source(one_word(given.words, "objective"), given.parameters, find_objective).stage(stage)
    print(visible(shown), end="")
    return 0


def _typeset(given: Arguments, form: str) -> int:
    if "--stage" in given.flags:
        raise SettingsError(
            "wrong-value", "a stage has one form already", place=Place("--format"), hint="give --stage or --format, not both"
        )
    if form not in FORMS:
        raise SettingsError("wrong-value", f"there is no format {form!r}", place=Place("--format"), hint=nearest(form, FORMS))
    compiled = compile_source(one_word(given.words, "objective"), given.parameters, find_objective)
    print(visible(typeset(compiled, FORMS[FORMS.index(form)])), end="")
    return 0
