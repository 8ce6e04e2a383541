"""`halo diff` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import refused_command

from halo.cli.main import main


def test_json_has_the_substitution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "cdpo", "dpo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["word"], found["special"], found["general"], found["substitution"]) == ("special-case", "dpo", "cdpo", {"beta": "beta", "epsilon": "0"})


def test_settings_and_the_reference_of_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "cdpo", "dpo", "--set", "epsilon=0", "--reference", "uniform-sequence"]) == 0
    assert capsys.readouterr().out.startswith("equal: cdpo@uniform-sequence,epsilon=0 is dpo@uniform-sequence\n")


def test_undecided_is_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused_command(capsys, "not-found", "diff", "ld_dpo", "dpo_topk_nothing")
    assert main(["diff", "cdpo", "robust_dpo"]) == 1
    assert capsys.readouterr().out.startswith("undecided: how cdpo and robust_dpo are related\n")


REFUSED = {  # the code, the place
    "dpo": ("missing-key", ""),
    "dpo@beta=x ipo": ("wrong-value", "dpo@beta=x"),
    "dpo@uniform-tokens ipo": ("wrong-value", "dpo@uniform-tokens"),
    "dpo ipo --set tau2=3": ("unknown-name", "--set"),
    "dpo@beta=-1 ipo": ("out-of-domain", "dpo.yaml"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_gets_one_clear_message(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, where = REFUSED[words]
    refused_command(capsys, code, "diff", *words.split(), at=where)
