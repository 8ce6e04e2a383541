"""The index of several pages: every objective with its verdicts, and a matrix of all checks."""

from __future__ import annotations

from collections.abc import Sequence

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.report.markup import SIGNS, badge, document, section, text
from halo.report.rows import expectation_style, expectations, tally, title_of
from halo.report.wording import GROUPS, question_of

Entry = tuple[str, CompiledObjective | None, Examination]  # the file of its page, and what the page says
WORSE = ("refuted", "undecided", "proved")  # of several answers to one check, the first of these is shown


def index_page(entries: Sequence[Entry]) -> str:
    """The page that leads to the others."""
    failed = sum(examination.failed for _, _, examination in entries)
    head = (
        f"<header><h1>What halo found about {len(entries)} objectives</h1>"
        f'<p class="soft">{failed or "None"} of them fail{"s" * (failed < 2)}. An objective fails where an expectation of its file is not met, '
        "or domain, units or reach is refuted. Any other refuted check is a property that it does not have; whether it should is for you to say.</p></header>"
    )
    body = head + section("Objectives", _table(entries)) + section("All checks", _matrix(entries))
    return document("halo check", body)


def _table(entries: Sequence[Entry]) -> str:
    head = "".join(
        f'<th scope="col">{title}</th>' for title in ("Objective", "", "Feedback", "Findings", "Expectations", "Likely mistakes")
    )
    rows = []
    for file, compiled, examination in entries:
        feedback = compiled.declared.feedback.name if compiled else "not compiled"
        kind = "bad" if examination.failed else expectation_style(examination)
        rows.append(
            f'<tr><th scope="row"><a href="{text(file)}"><code>{text(examination.objective)}</code></a></th><td>{text(title_of(compiled))}</td>'
            f"<td>{text(feedback)}</td><td>{text(tally(examination))}</td><td>{badge(kind, expectations(examination))}</td>"
            f"<td>{text(', '.join(mistake.name for mistake in examination.mistakes))}</td></tr>"
        )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _matrix(entries: Sequence[Entry]) -> str:
    asked = {finding.check.split(".")[0] for _, _, examination in entries for finding in examination.findings}
    known = [check for checks in GROUPS.values() for check in checks if check in asked]
    checks = [*known, *sorted(asked - set(known))]
    head = "".join(f'<th scope="col" title="{text(question_of(check))}"><span>{text(check)}</span></th>' for check in checks)
    rows = []
    for file, _, examination in entries:
        cells = "".join(_cell(examination, check) for check in checks)
        rows.append(f'<tr><th scope="row"><a href="{text(file)}"><code>{text(examination.objective)}</code></a></th>{cells}</tr>')
    note = (
        '<p class="soft">✓ proved, ✗ refuted, ? undecided, empty: not asked. '
        "Where a check has several answers, one for each label or term, the least favourable is shown; the page has them all.</p>"
    )
    table = f'<table class="matrix"><thead><tr><th scope="col">Objective</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>{note}'


def _cell(examination: Examination, check: str) -> str:
    verdicts = {f.verdict for f in examination.findings if f.check.split(".")[0] == check and f.scope != "core"}
    verdict = next((verdict for verdict in WORSE if verdict in verdicts), "")
    if not verdict:
        return "<td></td>"
    return f'<td><span class="{verdict}" role="img" aria-label="{verdict}" title="{text(check)}: {verdict}">{SIGNS[verdict]}</span></td>'
