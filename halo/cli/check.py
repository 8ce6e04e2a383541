"""`halo check OBJECTIVE...`: what can be proved about an objective. Never imports torch."""

from __future__ import annotations

from halo.api.asking import readable, strangers
from halo.cli.arguments import Arguments, split
from halo.errors import Place, SettingsError
from halo.examine.supervisor import examine
from halo.plugin.objectives import find_objective
from halo.report.output import Output

HELP = """halo check OBJECTIVE... [--all] [--verbose] [--json | --format md|latex] [--report FOLDER] [--fresh] [--set NAME=VALUE ...]

Says of every proposition about an objective whether it is proved, refuted (with numbers for a calculator) or undecided, for all
declared parameter values, and holds the file's `expect:` against it. --verbose (-v) adds steps and witnesses.
--format md|latex prints the same for a README or a paper; --report writes a page (HTML, with figures) for each objective into FOLDER.
Verdicts are kept by the content of the compiled objective; --fresh asks again.
Exit code: 0; 1 if an expectation is not met, or domain, units or reach is refuted; 2 for bad input.
"""
BARE = ("all", "verbose", "json", "fresh")
FLAGS = (*BARE, "format", "report")


def run(arguments: list[str]) -> int:
    """Checks objectives by name or file."""
    given = split(["--verbose" if a == "-v" else a for a in arguments], FLAGS, is_bare=lambda name: name in BARE)
    if given.help:
        print(HELP, end="")
        return 0
    names = _names(given)
    read = [readable(name, given.parameters) for name in names]
    flags = {flag.removeprefix("--") for flag in given.flags}
    form = _form(given)
    output = Output(form, given.flags.get("--report"), "verbose" in flags, [refusal.objective for _, refusal in read])
    examinations = []
    for name, (one, refusal) in zip(names, read, strict=True):
        examinations.append(examine(one, fresh="fresh" in flags, known=strangers(name)) if one else refusal)
        output.take(one, examinations[-1])
    output.close()
    return 1 if any(e.failed for e in examinations) else 0


def _form(given: Arguments) -> str:
    form = given.flags.get("--format")
    if form is not None and "--json" in given.flags:
        raise SettingsError("wrong-value", "--json is a format already", place=Place("--format"), hint="give one of them")
    return "json" if "--json" in given.flags else form or "text"


def _names(given: Arguments) -> list[str]:
    names = find_objective.names() if "--all" in given.flags else []
    names += [word for word in given.words if word not in names]
    if not names:
        raise SettingsError("missing-key", "expected an objective, got 0", hint="such as halo check dpo, or halo check --all")
    return names
