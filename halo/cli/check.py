"""`halo check OBJECTIVE...`: what can be proved about an objective. Never imports torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from halo.cli.arguments import Arguments, split
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.errors import SettingsError
from halo.plugin.objectives import find_objective

HELP = """halo check OBJECTIVE... [--all] [--verbose] [--json] [--set NAME=VALUE ...]

Says of every proposition about an objective whether it is proved, refuted (with numbers for a calculator) or undecided, for all
declared parameter values, and holds the file's `expect:` against it. --verbose (-v) adds steps and witnesses.
Exit code: 0; 1 if an expectation is not met, or domain, units or reach is refuted; 2 for bad input.
"""
FLAGS = ("all", "verbose", "json")


def run(arguments: list[str]) -> int:
    """Checks objectives by name or file."""
    given = split(["--verbose" if a == "-v" else a for a in arguments], FLAGS, is_bare=lambda name: name in FLAGS)
    if given.help:
        print(HELP, end="")
        return 0
    names = _names(given)
    compiled = [compile_source(name, given.parameters, find_objective) for name in names]
    from halo.compiler.checks.catalogue import beliefs, failed, findings

    flags = {flag.removeprefix("--") for flag in given.flags}
    bad = False
    reports: list[dict[str, Any]] = []
    for one in compiled:
        found = list(findings(one))
        held = beliefs(one, found)
        bad = failed(found, held) or bad
        reports.append({"objective": one.objective.name, "findings": [asdict(f) for f in found], "expect": [asdict(b) for b in held]})
        if "json" not in flags:
            _print(one, reports[-1], "verbose" in flags)
    if "json" in flags:
        print(json.dumps(reports, indent=1, ensure_ascii=False))
    return 1 if bad else 0


def _names(given: Arguments) -> list[str]:
    names = find_objective.names() if "--all" in given.flags else []
    names += [word for word in given.words if word not in names]
    if not names:
        raise SettingsError("missing-key", "expected an objective, got 0", hint="such as halo check dpo, or halo check --all")
    return names


def _print(compiled: CompiledObjective, report: dict[str, Any], verbose: bool) -> None:
    from halo.report.typeset import summary_unicode

    print(f"{compiled.objective.name}: {compiled.objective.declaration.title or ''}")
    for line in summary_unicode(compiled):
        print(f"  {line}")
    for finding in report["findings"]:
        scope = "" if finding["scope"] in ("loss", "v", finding["check"].split(".")[-1]) else f"[{finding['scope']}] "
        print(f"  {finding['verdict']:<9} {finding['check']:<23} {scope}{finding['reason']}")
        if verbose:
            for step in finding["steps"]:
                print(f"{'':12}{step}")
            for name, value in finding["witness"].items():
                print(f"{'':12}{name} = {value}")
    for belief in report["expect"]:
        if not belief["met"]:
            print(f"  NOT MET   expect.{belief['check']}: {belief['expected']}, found {belief['found']}")
    met = sum(belief["met"] for belief in report["expect"])
    print(f"  expect: {met} of {len(report['expect'])} met\n")
