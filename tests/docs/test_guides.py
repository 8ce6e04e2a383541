"""The guides keep what they say: verdicts are halo's, names exist, and the tutorial's objective is what it claims."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from halo.cli.main import COMMANDS, main
from halo.compiler.pipeline import compile_source
from halo.examine.supervisor import examine
from halo.objective.vocabulary import FUNCTIONS, known_words
from halo.plugin.objectives import find_objective

DOCS = Path(__file__).parents[2] / "docs"
CLAIMS = [
    (verdict, check, name)
    for verdict, check, names in re.findall(r"^- (proved|refuted) `(\w+)`: (.*)$", (DOCS / "choose.md").read_text(), flags=re.M)
    for name in names.split(", ")
]
TUTORIAL = re.findall(r"```yaml\n(.*?)```", (DOCS / "tutorial.md").read_text(), flags=re.S)


def verdicts(source: str, check: str) -> set[str]:
    findings = examine(compile_source(source, None, find_objective)).findings
    return {str(finding.verdict) for finding in findings if finding.check.split(".")[0] == check}


@pytest.mark.parametrize(("verdict", "check", "name"), CLAIMS)
def test_the_advice_states_what_halo_finds(verdict: str, check: str, name: str) -> None:
    """Of several answers (one for each label) all must be so to be proved; one suffices to refute."""
    found = verdicts(name, check)
    assert found == {"proved"} if verdict == "proved" else "refuted" in found


@pytest.mark.parametrize("page", ["choose.md", "coverage.md", "tutorial.md"])
def test_names_and_commands_exist(page: str) -> None:
    text = (DOCS / page).read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    mine = set(re.findall(r"^name: (\w+)", text, flags=re.M))
    known = {
        *find_objective.names(),
        *FUNCTIONS,
        *known_words(),
        *mine,
        "score_gap",
        "density_ratio",
        "importance",
        "quantile",
        "notes",
        "recalled",
        "head",
        "loss_weights",
    }
    words = set(re.findall(r"`([a-z]\w*_\w*|[a-z]{3,})`", prose))
    checks = {finding.check.split(".")[0] for finding in examine(compile_source("dpo", None, find_objective)).findings}
    assert words - known - checks - {"halo", "score"} == set()
    for command in re.findall(r"^(?:`|\s*)halo (\w+)", text, flags=re.M):
        assert command in COMMANDS
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (DOCS / target).exists(), target


@pytest.mark.parametrize("arguments", re.findall(r"`halo (list [^`]+)`", (DOCS / "choose.md").read_text()))
def test_the_lists_of_the_advice_find_something(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 0
    assert not capsys.readouterr().out.startswith("0 of")


def test_the_tutorial_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "objective", "softsign", "--from", "dpo"]) == 0
    for text in TUTORIAL:
        name = re.findall(r"^name: (\w+)", text)[0]
        Path(f"{name}.yaml").write_text(text)
        assert main(["check", f"./{name}.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "it is bounded above" in " ".join(printed.split())  # lines are as long as the terminal is wide
    assert "add up to 2, not 1" in " ".join(printed.split())
    undecided = {line.split()[1] for line in printed.split("DPO with a softsign")[1].splitlines() if line.split()[:1] == ["undecided"]}
    assert undecided == {"preference_link"}
    Path("wrong.yaml").write_text(TUTORIAL[0].replace("sign: -1", "sign: +1"))
    assert main(["check", "./wrong.yaml"]) == 1
    assert "likely mistake wrong-sign" in capsys.readouterr().out
    assert main(["plot", "./softsign.yaml", "dpo", "dpo_sigmoid", "--out", "softsign.svg"]) == 0
    assert main(["train", "./softsign.yaml", "--output-dir", "run", "--max-steps", "2"]) == 0
