r"""An examination for a README or a paper: `halo check OBJECTIVE --format md|latex`.

markdown(...)   GitHub's tables, formula between $$
latex(...)      align* and a table that may run over pages; compiles with pdflatex and the packages of `PREAMBLE`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from halo.checks.results import Examination
from halo.compiler.pipeline import CompiledObjective
from halo.notation.pens import tex_text
from halo.notation.symbols import GREEK
from halo.notation.typeset import escaped_markdown, typeset
from halo.report.rows import Group, Row, expectations_met, groups, tally, title_of

PREAMBLE = r"% \usepackage{amsmath,amssymb,array,booktabs,longtable}"
_SIGNS = {
    "∞": r"\infty", "≤": r"\le", "≥": r"\ge", "≈": r"\approx", "·": r"\cdot", "σ": r"\sigma", "∈": r"\in", "→": r"\to", "≠": r"\ne",
    "±": r"\pm", "−": "-", "ℓ": r"\ell", "√": r"\surd", "Σ": r"\Sigma", "′": "'", "≡": r"\equiv",
    "×": r"\times", "≻": r"\succ", "∂": r"\partial",
    **{letter: rf"\{name}" for name, letter in GREEK.items()},
    **{letter: f"^{{{digit}}}" for digit, letter in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip
_MATHS = {**_SIGNS, "<": "<", ">": ">", "|": "|"}  # text fonts have other letters in their places


def as_paper(compiled: CompiledObjective | None, examination: Examination, form: str, verbose: bool) -> str:
    """The report in `form`, `md` or `latex`, ending in a line break; `verbose` adds steps and witnesses."""
    return {"md": markdown, "latex": latex}[form](compiled, examination, verbose)


# -- Markdown ----------------------------------------------------------------------------------------------------------


def markdown(compiled: CompiledObjective | None, examination: Examination, verbose: bool) -> str:
    """Title, paper, formula, parameters, and a table of findings."""
    head = f"## `{examination.objective}`"
    if compiled:
        head = typeset(compiled, "md").rstrip()
    lines = [head, "", f"{tally(examination)}; {expectations_met(examination)}.", ""]
    lines += [f"- **Likely mistake** {_md(f'{m.name}, {m.where}: {m.what}. Wanted: {m.wanted}')}" for m in examination.mistakes]
    lines += [f"- {_md(relative.sentence)}" for relative in examination.relatives]
    lines += [f"- Stopped by the clock: {_md(', '.join(examination.stopped))}"] * bool(examination.stopped)
    lines += [""] * (lines[-1] != "")
    lines += ["| | check | reason |", "| --- | --- | --- |"]
    found = groups(compiled, examination)
    for group in found:
        title = f"**{_md(group.title)}** {_md(group.definition)}".rstrip()
        lines += [f"| | | {title} |", *(f"| {_marked(row)} | `{row.check}` | {_scoped(row, _md)} |" for row in group.rows)]
    for row in (row for group in found for row in group.rows if row.excerpt):
        lines += ["", "```text", *(f"    {line.strip('`')}" for line in row.excerpt.splitlines()), "```"]
    if verbose:
        lines += ["", *_md_evidence(found)]
    return "\n".join(lines).rstrip() + "\n"


def _md(text: str) -> str:
    return escaped_markdown(text)


def _marked(row: Row) -> str:
    return f"**{row.word}**" if row.fails else row.word


def _scoped(row: Row, write: Callable[[str], str]) -> str:
    scope = f"({row.scope}) " * bool(row.scope)
    return write(f"{scope}{row.reason}")


def _md_evidence(found: list[Group]) -> Iterator[str]:
    for row in (row for group in found for row in group.rows if row.steps or row.witness):
        scope = f" ({_md(row.scope)})" * bool(row.scope)
        yield f"- `{row.check}` {row.word}{scope}"
        yield from (f"  1. {_md(step)}" for step in row.steps)
        if row.witness:
            yield f"  - at {_md(', '.join(row.witness))}"


# -- LaTeX -------------------------------------------------------------------------------------------------------------


def latex(compiled: CompiledObjective | None, examination: Examination, verbose: bool) -> str:
    """A subsection: formula, findings between booktabs' rules, and what else there is to say."""
    name = rf"\texttt{{{tex(examination.objective)}}}"
    lines = [PREAMBLE, rf"\subsection*{{{tex(title_of(compiled))} ({name})}}"]
    if compiled:
        lines.append(typeset(compiled, "latex").rstrip())
    lines.append(rf"\noindent {tex(tally(examination))}; {tex(expectations_met(examination))}.")
    lines += [rf"\emph{{Likely mistake:}} {tex(f'{m.name}, {m.where}: {m.what}. Wanted: {m.wanted}')}" for m in examination.mistakes]
    lines += [tex(relative.sentence) for relative in examination.relatives]
    lines += [rf"Stopped by the clock: {tex(', '.join(examination.stopped))}."] * bool(examination.stopped)
    found = groups(compiled, examination)
    lines += ["", *_table(found)]
    if verbose:
        lines += ["", *_tex_evidence(found)]
    return "\n".join(lines) + "\n"


def _table(found: list[Group]) -> Iterator[str]:
    yield from (r"\begingroup\small", r"\begin{longtable}{@{}ll>{\raggedright\arraybackslash}p{0.5\linewidth}@{}}")
    yield from (r"\toprule", r"Check & Verdict & Reason \\", r"\endhead", r"\bottomrule", r"\endlastfoot")
    for group in found:
        title = tex(group.title) + rf" {{\normalfont {tex(group.definition)}}}" * bool(group.definition)
        yield from (r"\midrule", rf"\multicolumn{{3}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}} \\")
        for row in group.rows:
            word = rf"\textbf{{{row.word}}}" if row.fails else row.word
            yield rf"\texttt{{{tex(row.check)}}} & {word} & {_scoped(row, tex)} \\"
    yield from (r"\end{longtable}", r"\endgroup")


def _tex_evidence(found: list[Group]) -> Iterator[str]:
    for row in (row for group in found for row in group.rows if row.steps or row.witness):
        scope = f" ({tex(row.scope)})" * bool(row.scope)
        yield rf"\paragraph{{\texttt{{{tex(row.check)}}} {row.word}{scope}.}}"
        said = [tex(step) for step in row.steps]
        if row.witness:
            said.append(f"At {tex(', '.join(row.witness))}.")
        yield "\n".join(rf"{sentence}\\" for sentence in said).removesuffix(r"\\")


def tex(text: str) -> str:
    """A text inside LaTeX: special characters escaped, signs and Greek as mathematics, letters beyond Latin by their number."""
    written = "".join(_written(run) for run in re.findall(rf"[{''.join(GREEK.values())}]_\w+|.", " ".join(text.split())))
    return written.replace(r"\)\(", "")  # what stands side by side is one formula


def _written(run: str) -> str:
    if len(run) > 1:
        symbol, below = run.split("_", 1)
        return rf"\({_MATHS[symbol]}_{{\mathrm{{{tex_text(below)}}}}}\)"
    if run in _MATHS:
        return rf"\({_MATHS[run]}\)"
    if run.isascii() and run.isprintable():
        return tex_text(run)
    if run in "–—‘’“”" or (run.isalpha() and ord(run) < 0x180):
        return run
    return rf"[U+{ord(run):04X}]"
