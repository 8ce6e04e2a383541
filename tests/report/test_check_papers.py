"""`halo check --format md|latex`: tables that hold together, nothing of a third party's text is markup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from examined import EVIL, compiled, examination, refused_file
from refusals import refused_command

from halo.cli.main import main
from halo.report.papers import PREAMBLE, as_paper, tex

LATEX = shutil.which("pdflatex")


def check_latex(text: str) -> None:
    """Braces, environments and mathematics balance, special characters are escaped, letters are pdflatex's."""
    body = re.sub(r"(?m)^%.*$", "", text)
    words = re.sub(r"\\begin\{align\*\}.*?\\end\{align\*\}|\\\(.*?\\\)", "", body, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[#$~^%]", words)
    assert all(c.isprintable() or c == "\n" for c in body)
    assert not any(ord(c) > 0x17F and c not in "–—‘’“”" for c in body), [c for c in body if ord(c) > 0x17F]
    assert body.count(r"\(") == body.count(r"\)")
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", body.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", body):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert not environments
    table = body[body.index(r"\endlastfoot") : body.index(r"\end{longtable}")]
    for row in (line for line in table.splitlines() if line.endswith(r"\\")):
        cells = len(re.findall(r"(?<!\\)&", row)) + 1
        assert cells == (1 if row.startswith(r"\multicolumn{3}") else 3), row
    plain = re.sub(r"\\\(.*?\\\)|\\texttt\{(?:[^{}]|\\[{}])*\}|\\_", "", table)
    assert not re.search(r"(?<!\\)_", plain)


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("text", ["plain", EVIL])
def test_latex_is_well_formed(text: str, verbose: bool) -> None:
    check_latex(as_paper(compiled(text), examination(text), "latex", verbose))
    check_latex(as_paper(None, refused_file(), "latex", verbose))


def test_the_check_of_latex_can_fail() -> None:
    good = as_paper(compiled(), examination(), "latex", True)
    for wrong in (
        good + "}",
        good + r"\begin{x}",
        good.replace("defined everywhere", "50% of $x"),
        good.replace(" & holds", " holds", 1),
        good + "β",
    ):
        with pytest.raises((AssertionError, IndexError)):
            check_latex(wrong)


@pytest.mark.skipif(LATEX is None, reason="there is no pdflatex here")
def test_latex_compiles(tmp_path: Path) -> None:
    bodies = [as_paper(compiled(EVIL), examination(EVIL), "latex", True), as_paper(None, refused_file(), "latex", True)]
    text = "\\documentclass{article}\n" + PREAMBLE.removeprefix("% ") + "\n\\begin{document}\n" + "\n".join(bodies) + "\\end{document}\n"
    (tmp_path / "a.tex").write_text(text)
    command = [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "a.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout[-2000:]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("β·λ_D/4", r"\(\beta\cdot\lambda_{\mathrm{D}}\)/4"), ("|v'| ≤ 1", r"\(|\)v'\(|\le\) 1".replace(r"\(|\le\)", r"\(|\) \(\le\)")),
        ("z² & 5%", r"z\(^{2}\) \& 5\%"), ("a_b $x$", r"a\_b \$x\$"), ("\\input{x}", r"\textbackslash{}input\{x\}"), ("é", "é"), ("中", "[U+4E2D]"),
    ],
)  # fmt: skip
def test_text_in_latex(text: str, written: str) -> None:
    assert tex(text) == written


def cells(row: str) -> list[str]:
    """The cells of a row of GitHub's table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


@pytest.mark.parametrize("text", ["plain", EVIL])
def test_markdown_is_a_table_of_three_columns(text: str) -> None:
    lines = as_paper(compiled(text), examination(text), "md", True).splitlines()
    start = lines.index("| | check | reason |")
    rows = [line for line in lines[start:] if line.startswith("|")]
    assert {len(cells(row)) for row in rows} == {3}
    assert ["holds", "`domain`", "defined everywhere"] in [cells(row) for row in rows]
    assert lines.count("$$") == 2
    assert "1 fails, 5 hold, 1 does not, 1 is undecided; 1 of 2 expectations met." in lines


def test_markdown_holds_no_markup_of_third_parties() -> None:
    text = as_paper(compiled(EVIL), examination(EVIL), "md", True)
    assert not re.search(r"(?<!\\)<", re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL))
    assert r"\<script\>alert('x')\</script\>" in text


def test_what_matters_most_comes_before_the_table() -> None:
    text = as_paper(compiled(), examination(), "md", False)
    for line in ("- **Likely mistake** sign\\_flip, mine.yaml:9:1 plain", "- mine is dpo with plain"):
        assert 0 < text.index(line) < text.index("| | check |")
    assert 0 < text.index("| **fails** | `halo` | expected to hold, it does not: v = ") < text.index("| holds |")
    assert "11/10" not in text
    excerpt = as_paper(None, refused_file(), "md", False)
    assert "```text\n        reward: sum(logp) + mean(logp)\n                ^\n```" in excerpt
    assert "| **fails** | `units` | must hold, it does not: " in excerpt


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "dpo", "--format", "latex"]) == 0
    check_latex(capsys.readouterr().out)
    assert main(["check", "dpo", "ipo", "--format=md"]) == 0
    out = capsys.readouterr().out
    assert out.count("| | check | reason |") == 2
    assert "none failed" not in out
    wrong = {"--format pdf": "--format", "--format md --json": "--format", "--format md --report x": "--report", "--json --report x": "--report"}
    for arguments, where in wrong.items():
        refused_command(capsys, "wrong-value", "check", "dpo", *arguments.split(), at=where)
