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
    for name, value in (("one", "1 / (1 + z**2)"), ("two", "-log(1 + z**2)")):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nextends: dpo\nvalue: {value}\n")
    assert main(["diff", str(tmp_path / "one.yaml"), str(tmp_path / "two.yaml")]) == 1
    assert capsys.readouterr().out.startswith("undecided: how one and two are related\n")


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
