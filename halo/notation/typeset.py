"""An objective as mathematics: `halo show OBJECTIVE --format latex|unicode|md`. Imports nothing heavy.

typeset(compiled, "latex")     an align* environment
typeset(compiled, "unicode")   lines for a terminal
typeset(compiled, "md")        a Markdown fragment: title, paper, mathematics, symbols, parameters
lines_unicode(compiled)        the equations alone, as lines
formula_latex(compiled)        the aligned equations alone, for a page that sets them itself
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from halo.compiler.pipeline import CompiledObjective
from halo.notation.equations import equations
from halo.notation.pens import LatexPen, UnicodePen
from halo.notation.sums import Equation
from halo.notation.symbols import completion
from halo.notation.writing import Writer
from halo.objective.formula import Number, number_text, parse
from halo.objective.schema import Paper, Parameter

Form = Literal["latex", "unicode", "md"]
FORMS: tuple[Form, ...] = ("latex", "unicode", "md")
ROLES = {
    "chosen": "the chosen completion", "rejected": "the rejected completion", "best": "the best completion of the list",
    "worst": "the worst completion of the list", "mismatched": "another row's completion after this prompt",
    "desirable": "a desirable completion", "undesirable": "an undesirable completion",
}  # fmt: skip


def typeset(compiled: CompiledObjective, form: Form) -> str:
    """The objective as mathematics, ending in a line break."""
    return {"latex": _latex, "unicode": _unicode, "md": _markdown}[form](compiled)


def formula_latex(compiled: CompiledObjective) -> str:
    r"""The equations, one a line and aligned at `=`, to stand in `align*` or, inside mathematics, in `aligned`."""
    found, _ = equations(compiled, LatexPen())
    return " \\\\\n".join(f"{equation.left} &= {_right(equation)}" for equation in found)


def single_lines(compiled: CompiledObjective) -> list[str]:
    """Each equation without `cases` as one LaTeX formula that mathtext can set too, for figures."""
    return [f"{equation.left} = {equation.right}" for equation in equations(compiled, LatexPen())[0] if not equation.cases]


def lines_unicode(compiled: CompiledObjective) -> list[str]:
    """Every equation as lines for a terminal, aligned at `=`."""
    found, _ = equations(compiled, UnicodePen())
    width = max(len(equation.left) for equation in found)
    lines = []
    for equation in found:
        moved = replace(equation, left=f"{equation.left:>{width}}")
        lines += [line.removeprefix("  ") for line in _lines(moved, width)]
    return lines


def legend_unicode(compiled: CompiledObjective) -> list[tuple[str, str]]:
    """What each symbol that is no parameter stands for."""
    return _legend(equations(compiled, UnicodePen())[1])


def parameter_rows(compiled: CompiledObjective) -> list[tuple[str, str, str, str, str]]:
    """Of each parameter its name, symbol, value, domain and meaning; a value that is not the default names that too."""
    _, writer = equations(compiled, UnicodePen())
    rows = []
    for name, parameter in compiled.objective.declaration.parameters.items():
        value = compiled.parameters[name]
        said = _number(value)
        if value != parameter.default:
            said += f" (default {_number(parameter.default)})"
        rows.append((name, _symbol(writer, name), said, str(parameter.domain), parameter.meaning or ""))
    return rows


def _latex(compiled: CompiledObjective) -> str:
    return f"\\begin{{align*}}\n{formula_latex(compiled)}\n\\end{{align*}}\n"


def _right(equation: Equation) -> str:
    if not equation.cases:
        return equation.right
    rows = r" \\ ".join(f"{value} & {condition}" for value, condition in equation.cases)
    return rf"\begin{{cases}} {rows} \end{{cases}}"


# -- a terminal ------------------------------------------------------------------------------------------------------


def _unicode(compiled: CompiledObjective) -> str:
    declared = compiled.objective.declaration
    found, writer = equations(compiled, UnicodePen())
    width = max(len(equation.left) for equation in found)
    lines = [f"{declared.name}: {declared.title or declared.name}  ({declared.feedback} feedback)", ""]
    for equation in found:
        lines += _lines(equation, width)
    rows = _legend(writer)
    rows += [(_symbol(writer, name), _about(name, p, compiled.parameters[name])) for name, p in declared.parameters.items()]
    if rows:
        inner = max(len(symbol) for symbol, _ in rows)
        lines += ["", *(f"  {symbol:<{inner}}  {meaning}" for symbol, meaning in rows)]
    return "\n".join(lines) + "\n"


def _lines(equation: Equation, width: int) -> list[str]:
    """An equation, a line for each of its cases."""
    if not equation.cases:
        return [f"  {equation.left:<{width}} = {equation.right}"]
    inner = max(len(value) for value, _ in equation.cases)
    lefts = [f"{equation.left:<{width}} =", *[" " * (width + 2)] * (len(equation.cases) - 1)]
    return [f"  {left} {{ {value:<{inner}}  {condition}" for left, (value, condition) in zip(lefts, equation.cases, strict=True)]


def _about(name: str, parameter: Parameter, value: float) -> str:
    said = f"{name}, default {parameter.default:g}"
    if value != parameter.default:
        said += f", here {value:g}"
    said += f", in {parameter.domain}"
    if parameter.meaning:
        said += f": {parameter.meaning}"
    return said


# -- Markdown --------------------------------------------------------------------------------------------------------


def _markdown(compiled: CompiledObjective) -> str:
    declared = compiled.objective.declaration
    lines = [f"## {escaped_markdown(declared.title or declared.name)} (`{declared.name}`)", ""]
    if declared.paper:
        lines += [_paper(declared.paper), ""]
    lines += ["$$", r"\begin{aligned}", formula_latex(compiled), r"\end{aligned}", "$$", ""]
    _, writer = equations(compiled, LatexPen())
    legend = [f"${symbol}$ {meaning}" for symbol, meaning in _legend(writer)]
    if legend:
        lines += [f"where {'; '.join(legend)}.", ""]
    if declared.parameters:
        lines += ["| parameter | | domain | default | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| `{name}` | ${_symbol(writer, name)}$ | `{p.domain}` | {_number(p.default)} | {escaped_markdown(p.meaning or '')} |"
            for name, p in declared.parameters.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _paper(paper: Paper) -> str:
    said = f"*{escaped_markdown(paper.title)}*"
    if paper.year:
        said += f" ({paper.year})"
    if paper.arxiv:
        said += f", [arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
    elif paper.url:
        said += f", [{paper.url}]({paper.url})"
    if paper.equation:
        number = "equation " * paper.equation[0].isdigit()
        said += f", {number}{escaped_markdown(paper.equation)}"
    return f"{said}."


def escaped_markdown(text: str) -> str:
    """A text of the file inside Markdown: nothing in it is markup."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
    return "".join(f"\\{c}" if c in "\\`*_[]<>|$&~" else c for c in printable)


# -- symbols ---------------------------------------------------------------------------------------------------------


def _symbol(writer: Writer, name: str) -> str:
    return writer.pen.symbol(writer.symbols[name])


def _number(value: float) -> str:
    parsed = parse(value)
    if isinstance(parsed, Number):
        return number_text(parsed.value)
    return str(value)


def _legend(writer: Writer) -> list[tuple[str, str]]:
    """What each symbol that is no parameter stands for, in the order of its first use."""
    pen, declared = writer.pen, writer.declared
    rows: dict[str, str] = {}
    meanings = {name: f"the text `{name}`" for name in declared.roles} | ROLES
    for kind, name in writer.seen:
        if kind == "role" and name in meanings:
            rows[pen.symbol(completion(name).symbol())] = meanings[name]
        elif kind == "given" and name in declared.columns:
            rows[_symbol(writer, name)] = f"the data column {name}"
    rows |= _general(writer)
    return list(rows.items())


def _general(writer: Writer) -> dict[str, str]:
    pen, seen, rows = writer.pen, writer.seen, {}
    if writer.declared.kind.is_list:
        rows["Y"] = "the completions of one prompt"
    if writer.declared.control:
        rows["c"] = "a control text after the prompt, not scored"
    if ("model", "old_logp") in seen:
        rows[pen.pick(r"\pi_{\mathrm{old}}", "π_old")] = "the policy that sampled"
    if ("word", "stop") in seen:
        rows[pen.pick(r"\operatorname{sg}", "sg")] = "no gradient flows"
    if ("word", "batch") in seen:
        rows[pen.pick(r"\mathcal{B}", "B")] = "the effective batch"
    return rows
