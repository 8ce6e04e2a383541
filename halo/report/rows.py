"""An examination as a reader meets it: findings in groups, those that say the same of two labels as one, with what was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from halo.analysis.verdict import REFUTED, Finding, Outcome
from halo.checks.results import NEVER, Belief, Examination
from halo.compiler.pipeline import CompiledObjective
from halo.report.wording import GROUPS, OTHER, Rewrite, group_of, question_of, reason_of, rewriter, witness_of

OBVIOUS = ("loss", "v", "main")
CORE = "without regularizers"


@dataclass(frozen=True)
class Row:
    """One finding, worded.

    scope    for what it was asked, where the check's name does not say it
    excerpt  lines of the objective's file below the reason, with a caret
    bad      whether it fails the examination
    """

    check: str
    verdict: Outcome
    scope: str
    reason: str
    excerpt: str = ""
    steps: tuple[str, ...] = ()
    witness: tuple[str, ...] = ()
    bad: bool = False

    @property
    def question(self) -> str:
        """What `proved` means for this check."""
        return question_of(self.check)


@dataclass
class Group:
    """Findings about one side of the objective; `definition` is what `halo` holds it against."""

    title: str
    definition: str = ""
    rows: list[Row] = field(default_factory=list)


def groups(compiled: CompiledObjective | None, examination: Examination) -> list[Group]:
    """The findings in the groups of `wording.GROUPS`, within each in the order of the checks."""
    found = {title: Group(title) for title in (*GROUPS, OTHER)}
    rewrite = rewriter(compiled.objective.declaration if compiled else None)
    for finding in examination.findings:
        group = found[group_of(finding.check)]
        definition, row = _worded(finding, rewrite)
        group.definition = group.definition or definition
        group.rows.append(row)
    for group in found.values():
        group.rows = _merged(group.rows)
    return [group for group in found.values() if group.rows]


def _worded(finding: Finding, rewrite: Rewrite) -> tuple[str, Row]:
    definition, reason, excerpt = reason_of(finding.reason, rewrite)
    steps = tuple(dict.fromkeys(rewrite(step) for step in finding.steps))  # both labels of a pair take the same steps
    bad = finding.check in NEVER and finding.verdict == REFUTED
    row = Row(finding.check, finding.verdict, _scope(finding, rewrite), reason, excerpt, steps, witness_of(finding.witness), bad)
    return definition, row


def _scope(finding: Finding, rewrite: Rewrite) -> str:
    if finding.scope in OBVIOUS or finding.scope == finding.check.split(".")[-1] or finding.scope in finding.reason:
        return ""
    return CORE if finding.scope == "core" else rewrite(finding.scope)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """Rows that differ in scope alone become one."""
    result: list[Row] = []
    for row in rows:
        index = next((i for i, known in enumerate(result) if row.scope and _same(known, row)), None)
        if index is None:
            result.append(row)
        else:
            both = f"{result[index].scope}, {row.scope.removeprefix('v of ')}"
            result[index] = Row(row.check, row.verdict, both, row.reason, row.excerpt, row.steps, row.witness, row.bad)
    return result


def _same(one: Row, other: Row) -> bool:
    return bool(one.scope) and all(
        getattr(one, name) == getattr(other, name) for name in ("check", "verdict", "reason", "excerpt", "steps", "witness", "bad")
    )


# -- what became of it -------------------------------------------------------------------------------------------------


def tally(examination: Examination) -> str:
    """`14 proved, 4 refuted`; undecided ones only where there are some."""
    count = Counter(finding.verdict for finding in examination.findings)
    return (
        ", ".join(f"{count[verdict]} {verdict}" for verdict in ("proved", "refuted", "undecided") if count[verdict]) or "nothing examined"
    )


def expectations(examination: Examination) -> str:
    """`5 of 5 expectations met`."""
    count = len(examination.beliefs)
    if not count:
        return "nothing is expected"
    return f"{sum(belief.met for belief in examination.beliefs)} of {count} expectation{'s' * (count != 1)} met"


def expectation_style(examination: Examination, met: str = "met", none: str = "none") -> str:
    """How the expectations are to look: `bad` if one is not met, `met` if all are, `none` where nothing is expected."""
    if unmet(examination):
        return "bad"
    return met if examination.beliefs else none


def unmet(examination: Examination) -> list[Belief]:
    """The beliefs that the findings do not bear out."""
    return [belief for belief in examination.beliefs if not belief.met]


def title_of(compiled: CompiledObjective | None) -> str:
    """The title of the file, on one line."""
    return " ".join((compiled.objective.declaration.title or "").split()) if compiled else "does not compile"
