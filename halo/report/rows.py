"""An examination as a reader meets it: what fails first, then findings in groups, those that say the same of two labels as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from halo.analysis.verdict import UNDECIDED, Finding, Outcome
from halo.checks.results import Examination, Expectation
from halo.compiler.pipeline import CompiledObjective
from halo.report.wording import FAILS, WORDS, Rewrite, definitions, group_names, group_of, meaning_of, reason_of, rewriter, told, witness_of

OBVIOUS = ("loss", "v", "main")
CORE = "without regularizers"


@dataclass(frozen=True)
class Row:
    """One finding, worded.

    scope    for what it was asked, where the check's name does not say it
    excerpt  lines of the objective's file below the reason, with a caret
    fails    whether it fails the examination; then the reason begins with what was expected
    """

    check: str
    verdict: Outcome
    scope: str
    reason: str
    excerpt: str = ""
    steps: tuple[str, ...] = ()
    witness: tuple[str, ...] = ()
    fails: bool = False

    @property
    def word(self) -> str:
        """The verdict for readers."""
        return "fails" if self.fails else WORDS[self.verdict]

    @property
    def style(self) -> str:
        """How it is to look: `bad`, or as its verdict."""
        return "bad" if self.fails else self.verdict

    @property
    def meaning(self) -> str:
        """What is so where it is proved."""
        return meaning_of(self.check)


@dataclass
class Group:
    """Findings about one side of the objective; `definition` is what they are held against."""

    title: str
    definition: str = ""
    rows: list[Row] = field(default_factory=list)


def groups(compiled: CompiledObjective | None, examination: Examination) -> list[Group]:
    """What fails, then the other findings in the groups of their propositions, within each in the order of the checks."""
    held_against = definitions()
    found = {title: Group(title, held_against.get(title, "")) for title in group_names()}
    rewrite = rewriter(compiled.objective.declaration if compiled else None)
    failing = dict(failures(examination))
    for finding in examination.findings:
        row = _worded(finding, rewrite)
        against = failing.pop(_key(finding), None)
        if against is None:
            found[group_of(finding.check)].rows.append(row)
        else:
            found[FAILS].rows.append(replace(row, reason=f"{rewrite(against)}: {row.reason}", fails=True))
    for (check, _), against in failing.items():  # nothing was found that it could be held against
        found[FAILS].rows.append(Row(check, UNDECIDED, "", rewrite(against), fails=True))
    for group in found.values():
        group.rows = _merged(group.rows)
        group.definition = rewrite(group.definition)
    return [group for group in found.values() if group.rows]


def _worded(finding: Finding, rewrite: Rewrite) -> Row:
    reason, excerpt = reason_of(finding.reason, rewrite)
    steps = tuple(dict.fromkeys(rewrite(step) for step in finding.steps))  # both labels of a pair take the same steps
    return Row(finding.check, finding.verdict, _scope(finding, rewrite), reason, excerpt, steps, witness_of(finding.witness))


def _scope(finding: Finding, rewrite: Rewrite) -> str:
    if finding.scope in OBVIOUS or finding.scope == finding.check.split(".")[-1] or finding.scope in finding.reason:
        return ""
    return CORE if finding.scope == "core" else rewrite(finding.scope)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """Rows that differ in scope alone become one."""
    result: list[Row] = []
    for row in rows:
        index = next((i for i, known in enumerate(result) if _same(known, row)), None)
        if index is None:
            result.append(row)
        else:
            result[index] = replace(row, scope=f"{result[index].scope}, {row.scope.removeprefix('v of ')}")
    return result


def _same(one: Row, other: Row) -> bool:
    return bool(one.scope and other.scope) and replace(one, scope="") == replace(other, scope="")


# -- what fails --------------------------------------------------------------------------------------------------------


Key = tuple[str, str]


def _key(finding: Finding) -> Key:
    return finding.check, finding.scope


def failures(examination: Examination) -> Iterator[tuple[Key, str]]:
    """What fails the examination: the check and scope of each finding that does, with what was expected.

    An expectation that nothing was found for has a scope that no finding has.
    """
    for finding in examination.broken:
        yield _key(finding), "must hold, it does not"
    for expectation in examination.unmet:
        against = [f for f in examination.findings if _is_against(f, expectation)]
        keys = [_key(finding) for finding in against] or [(expectation.check, "nothing")]
        yield from ((key, told(expectation.expected, expectation.found)) for key in keys)


def _is_against(finding: Finding, expectation: Expectation) -> bool:
    same = finding.check == expectation.check and finding.scope != "core"
    return same and finding.verdict != expectation.expected


# -- what became of it -------------------------------------------------------------------------------------------------


def counts(examination: Examination) -> list[tuple[str, str]]:
    """How many fail, hold and do not, each with its style: `bad`, `1 fails`. Those that there are none of are left out."""
    failing = dict(failures(examination))
    count = Counter[str](finding.verdict for finding in examination.findings if _key(finding) not in failing)
    numbers = {"bad": len(failing), **{verdict: count[verdict] for verdict in WORDS}}
    rows = [(style, f"{number} {_COUNTED[style][number != 1]}") for style, number in numbers.items() if number]
    return rows or [("none", "nothing examined")]


_COUNTED = {
    "bad": ("fails", "fail"),
    "proved": ("holds", "hold"),
    "refuted": ("does not", "do not"),
    "undecided": ("is undecided", "are undecided"),
}
"""Of one, and of several."""


def tally(examination: Examination) -> str:
    """`14 hold, 4 do not`; what fails is counted first, and in no other number."""
    return ", ".join(words for _, words in counts(examination))


def expectations_met(examination: Examination) -> str:
    """`5 of 5 expectations met`."""
    count = len(examination.expectations)
    if not count:
        return "nothing is expected"
    return f"{count - len(examination.unmet)} of {count} expectation{'s' * (count != 1)} met"


def expectation_style(examination: Examination) -> str:
    """How the expectations are to look: `bad` if one is not met, `met` if all are, `none` where nothing is expected."""
    if examination.unmet:
        return "bad"
    return "met" if examination.expectations else "none"


def title_of(compiled: CompiledObjective | None) -> str:
    """The title of the file, on one line."""
    if compiled is None:
        return "does not compile"
    return " ".join((compiled.objective.declaration.title or "").split())
