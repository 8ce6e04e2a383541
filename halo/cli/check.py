"""`halo check OBJECTIVE...`: what can be proved about an objective. Never imports torch."""

from __future__ import annotations

from halo.api.asking import known_beside, readable
from halo.cli.arguments import Arguments, split
from halo.errors import Place, SettingsError
from halo.examine.supervisor import examine
from halo.plugin.objectives import find_objective
from halo.report.output import Output

HELP = """halo check OBJECTIVE... [--all] [--verbose] [--json | --format md|latex] [--report FOLDER] [--fresh] [--set NAME=VALUE ...]

Says of every proposition about an objective whether it holds (proved), is not so (refuted, with numbers for a calculator) or is
undecided, for all declared parameter values. What fails the file's `expect:` comes first. --verbose (-v) adds steps and witnesses.
--format md|latex prints the same for a README or a paper; --report writes a page (HTML, with figures) for each objective into FOLDER.
Verdicts are kept by the content of the compiled objective; --fresh asks again.
Exit code: 0; 1 if an expectation is not met, or domain, units or reach does not hold; 2 for bad input.
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
    output = Output(_form(given), given.flags.get("--report"), "--verbose" in given.flags, [refusal.objective for _, refusal in read])
    failed = False
    for name, (compiled, examination) in zip(names, read, strict=True):
        if compiled is not None:
            examination = examine(compiled, fresh="--fresh" in given.flags, known=known_beside(name))
        output.take(compiled, examination)
        failed = failed or examination.failed
    output.close()
    return int(failed)


def _form(given: Arguments) -> str:
    form = given.flags.get("--format")
    if form is not None and "--json" in given.flags:
        raise SettingsError("wrong-value", "--json is a format already", place=Place("--format"), hint="give one of them")
    if "--json" in given.flags:
        return "json"
    return form or "text"


def _names(given: Arguments) -> list[str]:
    names = list(given.words)
    if "--all" in given.flags:
        names = list(dict.fromkeys([*find_objective.names(), *names]))
    if not names:
        raise SettingsError("missing-key", "expected an objective, got 0", hint="such as halo check dpo, or halo check --all")
    return names
