"""`halo check` on a terminal: what is short, what is together, what never gets lost."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest
from examined import EVIL, compiled, examination, refused_file

from halo.analysis.verdict import PROVED, Finding
from halo.checks.results import Examination
from halo.cli.main import main
from halo.objective.propositions import PROPOSITIONS
from halo.report.text import as_text, overview, shown
from halo.report.wording import equation_of, group_names, group_of, meaning_of, rewriter, shortened


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("lowers the loss, e.g. by -0.109455874779", "lowers the loss, e.g. by -0.1095"),
        ("falls from -100.0 at z = 10 to -400.0 at z = 20", "falls from -100 at z = 10 to -400 at z = 20"),
        ("is 3.88118019428e+868, past float32", "is 3.881e868, past float32"),
        ("by -24152.598 or 1234.5678", "by -24153 or 1235"),
        ("by 4.12230722788e-8", "by 4.122e-8"),
        ("at -1/85070591730234615865843651857942052864", "at -1.175e-38"),
        ("from 1/8 to 5021/14640", "from 1/8 to 0.343"),
        ("add up to 0.999999999876, not 1", "add up to 0.9999999999, not 1"),
        ("between 1.28402541669 and 1.28402541", "between 1.28402542 and 1.28402541"),
        ("falls from -10.0000453989 to -20.0000000021", "falls from -10.00005 to -20.000000002"),
        ("|v'| <= 1/4", "|v'| <= 1/4"),
        ("Definition 3.4, lambda_1.5x and down to -2000", "Definition 3.4, lambda_1.5x and down to -2000"),
        ("12345678901", "12345678901"),
    ],
)  # fmt: skip
def test_numbers_are_as_long_as_they_must_be(long: str, short: str) -> None:
    assert shortened(long) == short


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("beta", "1/2", "beta = 1/2"), ("slope", "-0.109455874779", "slope ≈ -0.109455874779"), ("value", "-100.0", "value = -100"),
        ("c", "0.25", "c = 0.25"), ("big", "3.88118019428e+868", "big ≈ 3.88118019428e868"), ("where", "+oo", "where = +oo"), ("n", "7", "n = 7"),
    ],
)  # fmt: skip
def test_a_witness_is_exact_or_says_that_it_is_not(name: str, value: str, line: str) -> None:
    assert equation_of(name, value) == line


def test_formulas_are_written_as_in_the_equations() -> None:
    rewrite = rewriter(compiled().objective.declaration)
    assert rewrite("logsigmoid(z) is >= -beta * z**2 and beta*sigmoid(-z)") == "log σ(z) is ≥ -β · z² and β·σ(-z)"
    assert rewrite("h* = 1 in (-inf, +oo), z**2.5, theta of log(pi/pi_ref)") == "h* = 1 in (-∞, +∞), z**2.5, θ of log(π/π_ref)"
    assert rewrite("infinity, coop, betas, chosen.beta, a spirit") == "infinity, coop, betas, chosen.beta, a spirit"
    assert rewriter(None)("beta and oo") == "beta and ∞"


def test_every_proposition_has_its_place_and_its_words() -> None:
    """A finding of a check that is not known here still appears, under `More`."""
    assert [group_of(name) for name in PROPOSITIONS if group_of(name) not in group_names()[1:-1]] == []
    assert all(map(meaning_of, PROPOSITIONS))
    assert group_of("direction.chosen") == group_of("direction")
    assert (group_of("brand_new"), meaning_of("brand_new")) == ("More", "")


def test_the_whole_text() -> None:
    assert as_text(compiled(), examination(), verbose=True).splitlines() == [
        "mine  A title",
        "",
        "        L(θ) = E_{(x,y_w,y_l)~D}[-log σ(z)]",
        "           z = r_θ(x,y_w) - r_θ(x,y_l)",
        "    r_θ(x,y) = β log(π_θ(y|x) / π_ref(y|x))",
        "",
        "  What fails",
        "    FAILS     halo       expected to hold, it does not: v = -β · z² falls from -100 to -400.1 as z ≥ 1",
        "  Well-formed",
        "    holds     domain     defined everywhere",
        "  Value function v(z)",
        "    holds     monotone   [v of desirable, undesirable] same for both",
        "              - log σ(z): up, in (-∞, 0)",
        "    undecided lipschitz  [plain!] plain",
        "  Human-aware loss  Definition 3.4: r = l log(π/π_ref), one v, a = +1 or -1",
        "    holds     halo       [without regularizers] fine",
        "  What it ignores",
        "    not so    symmetry   adds up to 0.999999999, not 1",
        "              at beta = 1/2, chosen.length = 11/10, slope ≈ -0.109455874779, value = -100",
        "  More",
        "    holds     brand_new  a check that the report has never heard of",
        "",
        "  likely mistake sign_flip, mine.yaml:9:1 plain: the sign is turned plain; sign: -1 plain",
        "  relative  mine is dpo with plain",
        "  stopped by the clock: lipschitz; a faster machine may decide more",
        "  1 fails, 5 hold, 1 does not, 1 is undecided; 1 of 2 expectations met",
    ]


def test_without_verbose_there_are_no_steps() -> None:
    text = as_text(compiled(), examination(), verbose=False)
    assert "11/10" not in text
    assert "log σ(z): up" not in text
    assert "FAILS     halo" in text


@pytest.mark.parametrize("width", [40, 60, 80, 130])
def test_it_is_wrapped_and_nothing_is_lost(width: int) -> None:
    wide, narrow = (as_text(compiled(), examination("a long reason, " * 12), True, w) for w in (None, width))
    assert max(map(len, narrow.splitlines())) <= width
    assert narrow.split() == wide.split()
    assert any(len(line) > 130 for line in wide.splitlines())


def test_equations_of_a_witness_are_not_broken() -> None:
    lines = as_text(compiled(), examination(), True, 50).splitlines()
    for equation in ("chosen.length = 11/10", "slope ≈ -0.109455874779"):
        assert sum(equation in line for line in lines) == 1


def test_a_title_cannot_drive_the_terminal() -> None:
    text = as_text(compiled(EVIL), examination(EVIL), True)
    assert "\x1b" not in text
    assert "<script>" in text  # on a terminal that is a text like any other


def test_an_excerpt_keeps_its_caret() -> None:
    lines = as_text(None, refused_file(), False, 60).splitlines()
    at = next(i for i, line in enumerate(lines) if "reward: sum(logp)" in line)
    assert lines[at + 1].index("^") - lines[at].index("reward") == 8
    assert "does not compile" in lines[0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("wish", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(wish: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "90")
    for name, value in wish.items():
        monkeypatch.setenv(name, value)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        shown(compiled(EVIL), examination(), True)
    assert ("\x1b[" in terminal.getvalue()) == coloured
    assert "\x1b" not in pipe.getvalue()
    bare = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert bare.split() == pipe.getvalue().split()
    assert max(len(line) for line in bare.splitlines()) <= 89


def test_a_pipe_has_one_line_for_each_finding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["check", "kto", "dpo"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith("    holds     halo ")]) == 2
    assert "\n2 objectives, none failed\n  ok      kto  " in out


def test_the_overview_names_what_failed() -> None:
    good = Examination("good", (Finding("domain", PROVED, "yes"),))
    assert overview([examination(), good]).splitlines() == [
        "2 objectives, 1 failed",
        "  FAILED  mine  1 fails, 5 hold, 1 does not, 1 is undecided  1 of 2 expectations met",
        "  ok      good  1 holds                                      nothing is expected",
    ]


def test_a_check_without_pages_loads_neither_matplotlib_nor_torch() -> None:
    code = "import sys; from halo.cli.main import main; main(['check', 'dpo', '-v']); print({'matplotlib', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "set()"
