"""`halo check OBJECTIVE...`: what can be proved about an objective. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from halo.analysis.verdict import REFUTED, Finding
from halo.checks.results import Examination
from halo.cli.arguments import Arguments, split
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import ObjectiveError, Place, SettingsError
from halo.examine.supervisor import examine
from halo.plugin.objectives import find_objective
from halo.report.output import Output

if TYPE_CHECKING:  # a cached verdict needs no algebra
    from halo.relations.relatives import Known

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
    read = [_read(name, given.parameters) for name in names]
    flags = {flag.removeprefix("--") for flag in given.flags}
    form = _form(given)
    output = Output(form, given.flags.get("--report"), "verbose" in flags, [refusal.objective for _, refusal in read])
    examinations = []
    for name, (one, refusal) in zip(names, read, strict=True):
        examinations.append(examine(one, fresh="fresh" in flags, known=_strangers(name)) if one else refusal)
        output.take(one, examinations[-1])
    output.close()
    return 1 if any(e.failed for e in examinations) else 0


def _strangers(name: str) -> Known | None:
    """What an objective is compared with, unless it is one of them itself."""
    files = find_objective.files()
    if name in files or Path(name).resolve() in files.values():
        return None
    from halo.relations.relatives import Known

    return Known(files, find_objective)


def _form(given: Arguments) -> str:
    form = given.flags.get("--format")
    if form is not None and "--json" in given.flags:
        raise SettingsError("wrong-value", "--json is a format already", place=Place("--format"), hint="give one of them")
    return "json" if "--json" in given.flags else form or "text"


def _read(name: str, parameters: Mapping[str, float]) -> tuple[CompiledObjective | None, Examination]:
    """The compiled objective; where its units do not fit there is none, and that is the finding."""
    try:
        compiled = compile_source(name, parameters, find_objective)
        return compiled, Examination(compiled.objective.name, ())
    except ObjectiveError as error:
        if error.code != "wrong-unit":
            raise
        return None, Examination(Path(name).stem, (Finding("units", REFUTED, str(error)),))


def _names(given: Arguments) -> list[str]:
    names = find_objective.names() if "--all" in given.flags else []
    names += [word for word in given.words if word not in names]
    if not names:
        raise SettingsError("missing-key", "expected an objective, got 0", hint="such as halo check dpo, or halo check --all")
    return names
