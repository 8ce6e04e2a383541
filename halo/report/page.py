"""One objective as one HTML page that needs nothing else: formula, findings, expectations, mistakes, relatives, figures.

Every text of an objective is a stranger's: `markup.text` escapes it, and the page allows no script.
"""

from __future__ import annotations

from collections.abc import Iterator

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.errors import SettingsError
from halo.figures.curve import Curve, gap_range
from halo.figures.inline import described, inlined
from halo.figures.item import Against
from halo.figures.plot import of_curves, svg_text, traced
from halo.notation.mathsvg import formula_svg
from halo.notation.typeset import formula_latex, legend_unicode, parameter_rows
from halo.objective.schema import Paper
from halo.report.markup import badge, document, elements, section, text
from halo.report.rows import Group, Row, expectation_style, expectations, groups, tally, title_of, unmet

CAPTIONS: dict[Against, str] = {
    "z": "Value function, loss of one item and its gradient weight, against the margin z.",
    "gap": "The same against the reward gap u, before normalizer and margin: what the parameters do to the loss.",
}


def page(compiled: CompiledObjective | None, examination: Examination, index: str = "") -> str:
    """The whole page. `index`: the file that lists the others, if there are others."""
    name = examination.objective
    title = title_of(compiled)
    parts = [_head(compiled, examination, index)]
    if compiled:
        parts.append(section("Formula", _formula(compiled)))
    if examination.mistakes or unmet(examination) or examination.stopped:
        parts.append(section("Look at this first", "".join(_warnings(examination))))
    parts.append(section("Findings", _findings(groups(compiled, examination))))
    if examination.beliefs:
        parts.append(section("Expectations", _beliefs(examination)))
    if examination.kin:
        parts.append(section("Relatives", elements("ul", "li", (text(kin.sentence) for kin in examination.kin))))
    if compiled:
        parts += [section("Figures", "".join(_figures(compiled))), section("As declared", _declared(compiled))]
    return document(f"{name}: {title}", "".join(parts))


def _head(compiled: CompiledObjective | None, examination: Examination, index: str) -> str:
    back = f'<nav><a href="{text(index)}">All objectives</a></nav>' if index else ""
    paper = compiled.objective.declaration.paper if compiled else None
    kind = expectation_style(examination)
    marks = [badge(verdict, f"{count} {verdict}") for count, verdict in (part.split() for part in tally(examination).split(", "))]
    marks.append(badge(kind, expectations(examination)))
    return (
        f"<header>{back}<h1>{text(title_of(compiled) or examination.objective)} <code>{text(examination.objective)}</code></h1>"
        f"{_paper(paper) if paper else ''}{elements('ul', 'li', marks, 'tally')}</header>"
    )


def _paper(paper: Paper) -> str:
    parts = [f"<cite>{text(paper.title)}</cite>"]
    parts += [text(str(paper.year))] if paper.year else []
    if paper.arxiv:
        parts.append(f'<a href="https://arxiv.org/abs/{text(paper.arxiv)}">arXiv:{text(paper.arxiv)}</a>')
    elif paper.url:
        parts.append(
            f'<a href="{text(paper.url)}">{text(paper.url)}</a>' if paper.url.startswith(("https://", "http://")) else text(paper.url)
        )
    parts += [f"{'equation ' * paper.equation[:1].isdigit()}{text(paper.equation)}"] if paper.equation else []
    return f'<p class="soft">{", ".join(parts)}</p>'


# -- formula -----------------------------------------------------------------------------------------------------------


def _formula(compiled: CompiledObjective) -> str:
    found = f'<div class="equations">{formula_svg(compiled)}</div>'
    legend = legend_unicode(compiled)
    if legend:
        found += f'<p class="soft">where {"; ".join(f"<i>{text(symbol)}</i>: {text(meaning)}" for symbol, meaning in legend)}.</p>'
    rows = parameter_rows(compiled)
    if rows:
        head = "".join(f'<th scope="col">{title}</th>' for title in ("Parameter", "", "Value", "Domain", "Meaning"))
        body = "".join(
            f'<tr><th scope="row"><code>{text(name)}</code></th><td><i>{text(symbol)}</i></td><td>{text(value)}</td>'
            f"<td><code>{text(domain)}</code></td><td>{text(meaning)}</td></tr>"
            for name, symbol, value, domain, meaning in rows
        )
        found += f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"{found}<details><summary>LaTeX</summary><pre>{text(formula_latex(compiled))}</pre></details>"


def _declared(compiled: CompiledObjective) -> str:
    return f"<details><summary>The objective, with what it extends</summary><pre>{text(compiled.stage('objective'))}</pre></details>"


# -- findings ----------------------------------------------------------------------------------------------------------


def _findings(found: list[Group]) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Verdict", "Check", "Reason"))
    return (
        '<div class="scroll"><table class="findings"><colgroup><col class="v"><col class="c"><col></colgroup>'
        f"<thead><tr>{head}</tr></thead>{''.join(_group(group) for group in found)}</table></div>"
    )


def _group(group: Group) -> str:
    definition = f' <span class="soft">{text(group.definition)}</span>' if group.definition else ""
    head = f'<tr class="group"><th scope="rowgroup" colspan="3">{text(group.title)}{definition}</th></tr>'
    before = [None, *(row.question for row in group.rows)]
    rows = "".join(_row(row, asked != row.question) for asked, row in zip(before, group.rows, strict=False))
    return f"<tbody>{head}{rows}</tbody>"


def _row(row: Row, first: bool) -> str:
    """A finding; what its check asks is said once."""
    scope = f' <span class="soft">[{text(row.scope)}]</span>' if row.scope else ""
    asks = f'<span class="asks">{text(row.question)}</span>' if row.question and first else ""
    excerpt = f"<pre>{text(row.excerpt)}</pre>" if row.excerpt else ""
    return (
        f"<tr><td>{badge('bad' if row.bad else row.verdict, row.verdict)}</td>"
        f'<th scope="row"><code class="check">{text(row.check)}</code>{scope}{asks}</th>'
        f'<td class="reason">{text(row.reason)}{excerpt}{"".join(_evidence(row))}</td></tr>'
    )


def _evidence(row: Row) -> Iterator[str]:
    if row.steps:
        steps = elements("ol", "li", (text(step) for step in row.steps))
        yield f"<details><summary>Steps ({len(row.steps)})</summary>{steps}</details>"
    if row.witness:
        numbers = elements("ul", "li", (f"<code>{text(equation)}</code>" for equation in row.witness), "witness")
        yield f"<details><summary>Witness</summary>{numbers}</details>"


def _warnings(examination: Examination) -> Iterator[str]:
    for belief in unmet(examination):
        yield (
            f'<div class="warning"><p><strong>Expectation not met:</strong> <code>{text(belief.check)}</code> '
            f"was expected {text(belief.expected)}, found {text(belief.found)}.</p></div>"
        )
    for mistake in examination.mistakes:
        yield (
            f'<div class="warning"><p><strong>Likely mistake: {text(mistake.name)}</strong> <span class="soft">{text(mistake.where)}</span></p>'
            f"<p>{text(mistake.what)}</p><p>Wanted: {text(mistake.wanted)}</p></div>"
        )
    if examination.stopped:
        yield f'<div class="warning"><p>Stopped by the clock: {text(", ".join(examination.stopped))}. A faster machine may decide more.</p></div>'


def _beliefs(examination: Examination) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in ("", "What the file expects", "Expected", "Found"))
    rows = "".join(
        f'<tr><td>{badge("met" if b.met else "bad", "met" if b.met else "not met")}</td><th scope="row"><code>{text(b.check)}</code></th>'
        f"<td>{text(b.expected)}</td><td>{text(b.found)}</td></tr>"
        for b in examination.beliefs
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


# -- figures -----------------------------------------------------------------------------------------------------------


def _figures(compiled: CompiledObjective) -> Iterator[str]:
    """Against z, and against the gap where that says something else. Data that scales the gap, or no value function: in words."""
    if all(part.regularizer for part in compiled.declared.parts):
        yield "<p>There are regularizers only, and no value function to draw.</p>"
        return
    first = traced([compiled], against="z")
    yield _figure(compiled, first, "z")
    try:
        reach = gap_range(compiled)
        second = traced([compiled], -reach, reach, against="gap")
    except SettingsError:
        yield '<p class="soft">The normalizer or the margin depends on the data, so there is no figure against the reward gap.</p>'
        return
    if [(curve.x, curve.loss) for curve in first] != [(curve.x, curve.loss) for curve in second]:
        yield _figure(compiled, second, "gap")


def _figure(compiled: CompiledObjective, found: list[Curve], against: Against) -> str:
    drawing = svg_text(of_curves([compiled], found, against, title=False))
    caption = f"{CAPTIONS[against]} {described(found, against)}"
    body = inlined(drawing, f"plot-{against}", f"{compiled.objective.name}: value function, loss and gradient weight", caption)
    return f'<figure><div class="scroll">{body}</div><figcaption>{text(caption)}</figcaption></figure>'
