"""The mathematics of objectives: exact for the well-known ones, well-formed and complete for all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from compiler.test_language_examples import FILES
from matplotlib.mathtext import MathTextParser
from refusals import refused_command

from halo.cli.main import main
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.notation.equations import equations
from halo.notation.pens import LatexPen, UnicodePen
from halo.notation.symbols import declared_symbols
from halo.notation.typeset import formula_latex, lines_unicode, single_lines, typeset
from halo.objective.schema import Declaration
from halo.plugin.objectives import find_objective

SHIPPED = find_objective.names()
NAMES = (*SHIPPED, *(name for name in FILES if name not in SHIPPED))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CompiledObjective]:
    folder = tmp_path_factory.mktemp("objectives")
    for name, text in FILES.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}{text}")

    def find(wanted: str) -> Path | None:
        return find_objective(wanted) or folder / f"{wanted}.yaml"

    return {name: compile_source(name, None, find) for name in NAMES}


def unicode_lines(text: str) -> list[str]:
    found, _ = equations(compile_source(text, None, find_objective), UnicodePen())
    return [f"{e.left} = {e.right or ' | '.join(f'{value} if {condition}' for value, condition in e.cases)}" for e in found]


PAIR = r"z &= r_\theta(x, y_w) - r_\theta(x, y_l)"
RATIO = r"\log\frac{\pi_\theta(y \mid x)}{\pi_{\mathrm{ref}}(y \mid x)}"
OVER_PAIRS = r"\mathbb{E}_{(x, y_w, y_l) \sim \mathcal{D}}"
EXACT = {  # as the papers print them
    "dpo": [rf"\mathcal{{L}}(\theta) &= {OVER_PAIRS}[-\log\sigma(z)]", PAIR, rf"r_\theta(x, y) &= \beta {RATIO}"],
    "ipo": [rf"\mathcal{{L}}(\theta) &= {OVER_PAIRS}[z^{{2}}]", rf"{PAIR} - \frac{{1}}{{2 \tau}}", rf"r_\theta(x, y) &= {RATIO}"],
    "simpo": [
        rf"\mathcal{{L}}(\theta) &= {OVER_PAIRS}[-\log\sigma(z)]", rf"{PAIR} - \gamma",
        r"r_\theta(x, y) &= \frac{\beta}{|y|} \log\pi_\theta(y \mid x)",
    ],
    "slic_hf": [
        rf"\mathcal{{L}}(\theta) &= {OVER_PAIRS}[\max(0, -z) - \lambda_{{\mathrm{{nll}}}} \log\pi_\theta(y_w \mid x)]", rf"{PAIR} - \delta",
        r"r_\theta(x, y) &= \log\pi_\theta(y \mid x)",
    ],
    "kto": [
        r"\mathcal{L}(\theta) &= \mathbb{E}_{(x, y) \sim \mathcal{D}}[\ell(x, y)]",
        r"\ell(x, y) &= \begin{cases} \lambda_D - \lambda_D \sigma(z) & y\text{ desirable} \\ \lambda_U \sigma(z) & y\text{ undesirable} "
        r"\end{cases}",
        r"z &= r_\theta(x, y) - z_0",
        r"z_0 &= \operatorname{sg}\left[\max\left(0, \mathbb{E}_{\mathcal{B}}[r_\theta(x, y')]\right)\right]",
        rf"r_\theta(x, y) &= \beta {RATIO}",
    ],
    "rrhf": [
        r"\mathcal{L}(\theta) &= \mathbb{E}_{(x, Y) \sim \mathcal{D}}\left[-\lambda_{\mathrm{ft}} \log\pi_\theta(y_{\mathrm{best}} \mid x) + "
        r"\sum_{y_w \succ y_l} \max(0, -z)\right]", PAIR, r"r_\theta(x, y) &= \frac{1}{|y|} \log\pi_\theta(y \mid x)",
    ],
    "sft": [
        r"\mathcal{L}(\theta) &= -\frac{1}{\sum_{(x, y) \in \mathcal{B}} |y|} \sum_{(x, y) \in \mathcal{B}} \sum_{t=1}^{|y|} "
        r"\log\pi_\theta(y_t \mid x, y_{<t})",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_latex_is_what_the_paper_prints(name: str, compiled: dict[str, CompiledObjective]) -> None:
    assert formula_latex(compiled[name]).split(" \\\\\n") == EXACT[name]


# (a file, what its equations must be): signs, weights, denominators and names where a mistake would stay unseen
TRICKY = {
    "weights and signs cancel": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: -(z - 1)**2 / 3\nsign: -1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[(z - 1)²/3]", "z = r_θ(x,y_w) - r_θ(x,y_l)", "r_θ(x,y) = log π_θ(y|x)"]),
    "positive sign": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: z - exp(z)\nsign: +1\nweight: 2\nconstant: -1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[2 (z - exp(z)) - 1]", "z = r_θ(x,y_w) - r_θ(x,y_l)", "r_θ(x,y) = log π_θ(y|x)"]),
    "a difference turns round": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: z - exp(z)\nsign: -1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[exp(z) - z]"]),
    "minus a function that is a sum": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: expm1(z)\nsign: -1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[-(exp(z) - 1)]"]),
    "a power of a sum": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: (z + 1)**3 - 2 * (z - (1 - z))\nsign: +1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[(z + 1)³ - 2 (z - (1 - z))]", "z = r_θ(x,y_w) - r_θ(x,y_l)", "r_θ(x,y) = log π_θ(y|x)"]),
    "quotients": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: 1 / (1 + exp(-z)) / (2 * exp(z))\nsign: -1\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[-1/(1 + exp(-z))/(2 exp(z))]", "z = r_θ(x,y_w) - r_θ(x,y_l)", "r_θ(x,y) = log π_θ(y|x)"]),
    "one label, one denominator": ("feedback: labelled\nrole: desirable\nreward: logp\nreference_point: none\nvalue: z\nsign: -1\n"
        "reduce: {tokens: mean}\n", ["L(θ) = -1/(Σ_{(x,y_D)∈B} |y_D|) · Σ_{(x,y_D)∈B} Σ_t log π_θ(y_{D,t}|x,y_{D,<t})"]),
    "one label, all examples count": ("feedback: labelled\nrole: desirable\nreward: sum(logp)\nreference_point: none\nvalue: sigmoid(z)\n"
        "sign: -1\n", ["L(θ) = E_{(x,y)~D}[ℓ(x,y)]", "ℓ(x,y) = -σ(z) if y desirable | 0 if otherwise", "z = r_θ(x,y)", "r_θ(x,y) = log π_θ(y|x)"]),
    "both labels by one role": ("feedback: labelled\nrole: completion\nreward: sum(logp)\nreference_point: none\n"
        "value: {desirable: sigmoid(z), undesirable: sigmoid(-z)}\nsign: -1\n",
        ["L(θ) = E_{(x,y)~D}[ℓ(x,y)]", "ℓ(x,y) = -σ(z) if y desirable | -σ(-z) if y undesirable", "z = r_θ(x,y)", "r_θ(x,y) = log π_θ(y|x)"]),
    "a term with a reward of its own": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: z\nsign: -1\nterms:\n"
        "  one: {role: chosen}\n  two: {role: chosen, reward: sum(2 * logp)}\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[-z_one - z_two]", "z_one = r_θ(x,y_w) - r_θ(x,y_l)", "z_two = r_{θ,two}(x,y_w) - r_{θ,two}(x,y_l)",
         "r_θ(x,y) = log π_θ(y|x)", "r_{θ,two}(x,y) = Σ_t 2 log π_θ(y_t|x,y_<t)"]),
    "no front before a function of the loss": ("feedback: ranked\nrole: completion\nreward: mean(logp)\nreference_point: none\nvalue: z\n"
        "sign: -1\nreduce: {completions: sum, examples: log(mean(exp(loss)))}\n",
        ["L(θ) = log(E_{(x,Y)~D}[exp(ℓ)])", "ℓ = Σ_{y∈Y} (-1/|y| · log π_θ(y|x))"]),
    "tokens of two roles": ("feedback: paired\nrole: [chosen, rejected]\nreward: logp - ref_logp\nreference_point: none\nvalue: z**2\nsign: -1\n"
        "reduce: {tokens: mean, examples: sum}\n",
        ["L(θ) = -Σ_{(x,y_w,y_l)∈B} 1/(|y_w| + |y_l|) · ((Σ_t z_{w,t}²) + Σ_t z_{l,t}²)"]),
    "a stopped weight": ("feedback: paired\nreward: sum(logp)\nreference_point: rejected\nvalue: logsigmoid(z)\nsign: -1\n"
        "weight: stop(exp(mean(chosen.logp)))\n",
        ["L(θ) = E_{(x,y_w,y_l)~D}[-sg[exp(1/|y_w| · log π_θ(y_w|x))] · log σ(z)]", "z = r_θ(x,y_w) - r_θ(x,y_l)", "r_θ(x,y) = log π_θ(y|x)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TRICKY)
def test_tricky_equations(case: str) -> None:
    text, expected = TRICKY[case]
    lines = unicode_lines(f"name: mine\n{text}")
    assert lines[: len(expected)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_balanced(name: str, compiled: dict[str, CompiledObjective]) -> None:
    text = typeset(compiled[name], "latex")
    bare = re.sub(r"\\[{}|]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    environments: list[str] = []
    for kind, environment in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if kind == "begin":
            environments.append(environment)
        else:
            assert environments.pop() == environment
    assert environments == []
    assert text.count(r"\left") == text.count(r"\right")
    for left, right in ("()", "[]"):
        assert bare.count(left) == bare.count(right)
    for line in formula_latex(compiled[name]).split(" \\\\\n"):
        assert re.sub(r"\\begin\{cases\}.*?\\end\{cases\}", "", line).count("&") == 1


CASES_INSIDE = ("discopop_padll", "discopop_pfl")
"""Their first line, the loss, holds a distinction of cases, which mathtext cannot set."""


@pytest.mark.parametrize("name", NAMES)
def test_mathtext_can_set_it(name: str, compiled: dict[str, CompiledObjective]) -> None:
    parser = MathTextParser("path")
    lines = [line for line in single_lines(compiled[name]) if r"\begin" not in line]
    assert lines[0].startswith((r"\mathcal{L}(\theta) = ", "z = ") if name in CASES_INSIDE else r"\mathcal{L}(\theta) = ")
    for line in lines:
        assert parser.parse(f"${line}$").width > 20


@pytest.mark.parametrize("name", NAMES)
def test_everything_named_is_there_once(name: str, compiled: dict[str, CompiledObjective]) -> None:
    """Every parameter and let, every role of an item; each left side is defined once; both spellings tell the same."""
    one = compiled[name]
    latex, writer = equations(one, LatexPen())
    plain, _ = equations(one, UnicodePen())
    assert [bool(e.cases) for e in latex] == [bool(e.cases) for e in plain]
    assert len({e.left for e in latex}) == len(latex) == len({e.left for e in plain})
    right = " ".join(e.right + " ".join(value for value, _ in e.cases) for e in latex)
    for parameter in one.objective.declaration.parameters:
        assert writer.symbols[parameter].latex in right, parameter
    for let in one.objective.declaration.let:
        assert any(e.left.startswith(writer.symbols[let].latex) for e in latex), let
    conditions = " ".join(condition for e in plain for _, condition in e.cases)
    marks = {
        "chosen": "y_w",
        "rejected": "y_l",
        "best": "y_best",
        "gold": "y_gold",
        "retain": "y_retain",
        "prompt": "x_t",
        "completion": "y",
    }
    whole = " ".join(e.left + e.right for e in plain) + conditions
    for part in one.declared.parts:
        labels = {"desirable": "desirable" if conditions else "y", "undesirable": "undesirable" if conditions else "y"}
        assert (marks | labels)[part.role] in whole, part.role


def test_no_two_names_share_a_symbol() -> None:
    names = ("lambda_d", "lambda_D", "t", "x", "r", "z_0", "theta", "sigma", "pi", "e", "beta_prime", "beta", "r_theta", "eps", "epsilon",
             "y_w", "A", "log_eps", "lambda_max", "density_ratio", "Y")  # fmt: skip
    symbols = declared_symbols(
        Declaration(name="mine", feedback="labelled", parameters={name: {"default": 1} for name in names}, let={"advantage": 1})
    )
    for spelling in ("latex", "unicode"):
        own = [getattr(symbol, spelling) for symbol in symbols.values()]
        assert len(set(own)) == len(own)
        assert not set(own) & {"t", "x", "r", "e", "Y", "z_0", "y_w", "π", "σ", "θ", r"\pi", r"\sigma", r"\theta", r"r_\theta", "r_θ"}
    assert (symbols["lambda_d"].unicode, symbols["beta_prime"].latex, symbols["log_eps"].unicode) == ("λ_D", r"\beta'", "log ε")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_mathematics_and_a_row_for_each_parameter(name: str, compiled: dict[str, CompiledObjective]) -> None:
    declared = compiled[name].objective.declaration
    text = typeset(compiled[name], "md")
    assert text.startswith("## ")
    assert f"(`{name}`)" in text.splitlines()[0]
    assert text.count("$$") == 2
    rows = re.findall(r"^\| `(\w+)` \| \$[^$]+\$ \| `([^`]+)` \|", text, flags=re.M)
    assert rows == [(parameter, value.domain) for parameter, value in declared.parameters.items()]
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) <= 1
    if declared.paper and declared.paper.arxiv:
        assert f"https://arxiv.org/abs/{declared.paper.arxiv}" in text


def test_markdown_shows_a_file_and_never_runs_it() -> None:
    text = (
        'name: mine\ntitle: "<script>|*[x](y)*|$"\nfeedback: demonstrations\nreward: sum(logp)\nreference_point: none\nvalue: z\nsign: -1\n'
    )
    title = typeset(compile_source(text), "md").splitlines()[0]
    assert title == r"## \<script\>\|\*\[x\](y)\*\|\$ (`mine`)"


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_it(name: str, compiled: dict[str, CompiledObjective]) -> None:
    text = typeset(compiled[name], "unicode")
    assert "\\" not in text
    assert "$" not in text
    lines = [line for line in text.splitlines() if " = " in line and not line.startswith("    ")]
    equals = {line.index("=") for line in lines if re.match(r"  \S.* = ", line)}
    assert min(equals) >= 4
    bare = lines_unicode(compiled[name])
    assert bare[0].lstrip().startswith("L(θ) = ")
    assert len({line.index(" = ") for line in bare if re.match(r" *\S+ = ", line)}) == 1
    for name_, parameter in compiled[name].objective.declaration.parameters.items():
        assert f"  {name_}, default {parameter.default:g}" in text


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "kto", "--format", "unicode", "--set", "beta=0.3"]) == 0
    out = capsys.readouterr().out
    assert "  ℓ(x,y)   = { λ_D - λ_D σ(z)  y desirable\n             { λ_U σ(z)        y undesirable\n" in out
    assert "beta, default 0.1, here 0.3, in (0, inf)" in out
    assert main(["show", "dpo", "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith("\\begin{align*}\n\\mathcal{L}")


@pytest.mark.parametrize("arguments", ["--format latx", "--format md --stage graph"])
def test_a_wrong_command(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused_command(capsys, "wrong-value", "show", "kto", *arguments.split(), at="--format")


@pytest.mark.parametrize("form", ["latex", "unicode", "md"])
def test_nothing_heavy_is_imported(form: str) -> None:
    script = (
        "import sys; from halo.cli.main import main; code = main(['show', 'kto', '--format', sys.argv[1]]);"
        "heavy = {'torch', 'transformers', 'sympy', 'numpy', 'matplotlib', 'mpmath'} & set(sys.modules); sys.exit(code or bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script, form], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
