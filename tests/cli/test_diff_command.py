"""`halo diff` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halo.cli.main import main


def test_json_has_the_substitution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "cdpo", "dpo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["word"], found["special"], found["general"], found["substitution"]) == ("special-case", "dpo", "cdpo", {"beta": "beta", "epsilon": "0"})


def test_settings_and_the_reference_of_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "cdpo", "dpo", "--set", "epsilon=0", "--reference", "uniform-sequence"]) == 0
    assert capsys.readouterr().out.startswith("equal: cdpo@uniform-sequence,epsilon=0 is dpo@uniform-sequence\n")


def test_undecided_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "ld_dpo", "dpo_topk_nothing"]) == 2
    assert "there is no objective named" in capsys.readouterr().err
    assert main(["diff", "cdpo", "robust_dpo"]) == 1
    assert capsys.readouterr().out.startswith("undecided: how cdpo and robust_dpo are related\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dpo"], "expected two objectives, got 1; such as halo diff dpo rdpo"),
        (["dpo@beta=x", "ipo"], "dpo@beta=x: 'beta=x' is not name=number; such as beta=1/10"),
        (["dpo@uniform-tokens", "ipo"], "there is no reference 'uniform-tokens'; did you mean 'uniform-token'?"),
        (["dpo", "ipo", "--set", "tau2=3"], "neither objective has a parameter 'tau2'; did you mean 'tau'?"),
        (["dpo@beta=-1", "ipo"], "-1"),
    ],
)
def test_bad_input_gets_one_clear_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
