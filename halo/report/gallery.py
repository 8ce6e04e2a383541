"""The gallery: a Markdown page and a small figure for every objective, and an index by feedback. `halo gallery FOLDER` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halo.checks.results import Examination
from halo.compiler.features import features
from halo.compiler.pipeline import CompiledObjective
from halo.figures.sketch import sketch
from halo.notation.typeset import escaped_markdown
from halo.objective.feedback import FEEDBACK
from halo.objective.propositions import HALO
from halo.objective.schema import Column, Paper
from halo.report.papers import markdown
from halo.report.wording import WORDS

INDEX = "README.md"
Examined = tuple[CompiledObjective, Examination]


def gallery(examined: Sequence[Examined]) -> dict[str, str]:
    """File name -> content."""
    files = {INDEX: _index(examined)}
    for compiled, examination in examined:
        name, figure = compiled.objective.name, sketch(compiled)
        files[f"{name}.md"] = _page(compiled, examination, figure is not None)
        if figure is not None:
            files[f"{name}.svg"] = figure
    return files


def _page(compiled: CompiledObjective, examination: Examination, has_figure: bool) -> str:
    declared, name = compiled.objective.declaration, compiled.objective.name
    head, table = markdown(compiled, examination, verbose=False).split("\n\n| | check | reason |", 1)
    lines = [head, ""]
    lines += [f"![The loss of an item and its gradient weight, over z, at the defaults]({name}.svg)", ""] * has_figure
    if declared.notes:
        lines += [declared.notes, ""]
    lines += [f"- {need}" for need in _needs(compiled)]
    data = " --data FILE" * bool(_columns_without_default(declared.columns) or declared.roles)
    moving = " --reference moving" * compiled.declared.needs.moving
    lines += ["", "```sh", f"halo train {name}{moving}{data}", "```", "", f"| | check | reason |{table}"]
    return "\n".join(lines)


def _needs(compiled: CompiledObjective) -> Iterator[str]:
    """What must be there to train with it, one sentence each."""
    declared, needs = compiled.objective.declaration, compiled.declared.needs
    yield f"Data: {declared.kind.meaning} (`{declared.feedback}`)."
    for name, column in declared.columns.items():
        missing = ""
        if column.default is not None:
            missing = f", {column.default:g} where it is missing"
        yield f"Column `{name}`: a number for each {column.level}, in `{column.domain}`{missing}."
    if declared.roles:
        yield f"Further texts: {', '.join(f'`{role}`' for role in declared.roles)}."
    reference = "yes" if needs.reference else "none"
    if needs.moving:
        reference = "one that follows the policy (`halo-align-references` has one)"
    yield f"Reference model: {reference}."
    used = features(compiled)
    if used:
        yield f"Uses: {', '.join(used)} (`halo list --help` says what these are)."
    if declared.aliases:
        yield "Elsewhere: " + ", ".join(f"`{theirs}` is `{ours}`" for theirs, ours in declared.aliases.items()) + "."


def _columns_without_default(columns: dict[str, Column]) -> list[str]:
    return [name for name, column in columns.items() if column.default is None and name != "score"]


def _index(examined: Sequence[Examined]) -> str:
    lines = [
        "# Gallery",
        "",
        f"{len(examined)} objectives. Written by `halo gallery` from the files and what `halo check` finds; not by hand. "
        "[How to choose](../choose.md).",
    ]
    for kind, feedback in FEEDBACK.items():
        rows = [one for one in examined if one[0].declared.feedback is feedback]
        if rows:
            lines += ["", f"## {kind}: {feedback.meaning}", "", "| objective | | paper | reference | HALO | uses |"]
            lines += ["| --- | --- | --- | --- | --- | --- |", *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(one: Examined) -> str:
    compiled, examination = one
    declared = compiled.objective.declaration
    verdicts = {finding.verdict for finding in examination.findings if finding.check == HALO.name}
    halo = next((WORDS[verdict] for verdict in ("refuted", "undecided") if verdict in verdicts), WORDS["proved"])
    link = f"[`{declared.name}`]({declared.name}.md)"
    cells = [link, escaped_markdown(declared.title or ""), _cited(declared.paper), "yes" * bool(compiled.declared.needs.reference), halo]
    return f"| {' | '.join(cells)} | {', '.join(features(compiled))} |"


def _cited(paper: Paper | None) -> str:
    if paper is None:
        return ""
    year = str(paper.year or "")
    if paper.arxiv:
        return f"[{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv}), {year}"
    if paper.url:
        return f"[{year}]({paper.url})"
    return year
