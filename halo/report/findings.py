"""An examination, written for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from halo.compiler.checks.examination import Examination
from halo.compiler.checks.findings import Finding
from halo.compiler.pipeline import CompiledObjective
from halo.report.typeset import summary_unicode


def as_text(compiled: CompiledObjective | None, examination: Examination, verbose: bool) -> str:
    """The formula, each finding on a line, what was expected and is not so; `verbose` adds steps and witnesses."""
    return "\n".join(_lines(compiled, examination, verbose)) + "\n"


def _lines(compiled: CompiledObjective | None, examination: Examination, verbose: bool) -> Iterator[str]:
    yield f"{examination.objective}: {compiled.objective.declaration.title or '' if compiled else 'not compiled'}"
    yield from (f"  {line}" for line in (summary_unicode(compiled) if compiled else ()))
    for finding in examination.findings:
        yield f"  {finding.verdict:<9} {finding.check:<23} {scope_of(finding)}{finding.reason}"
        if verbose:
            yield from (f"{'':12}{step}" for step in finding.steps)
            yield from (f"{'':12}{name} = {value}" for name, value in finding.witness.items())
    for mistake in examination.mistakes:
        yield f"  mistake?  {mistake.name:<23} {mistake.where}: {mistake.what}; {mistake.wanted}"
    for kin in examination.kin:
        yield f"  {kin.sentence}"
    for belief in examination.beliefs:
        if not belief.met:
            yield f"  NOT MET   expect.{belief.check}: {belief.expected}, found {belief.found}"
    yield f"  expect: {sum(b.met for b in examination.beliefs)} of {len(examination.beliefs)} met"


def scope_of(finding: Finding) -> str:
    """For what the question was asked, where the check's name does not say it."""
    obvious = finding.scope in ("loss", "v", finding.check.split(".")[-1])
    return "" if obvious else f"[{finding.scope}] "
