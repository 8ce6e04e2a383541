"""The kit on objectives: shipped ones pass, planted mistakes are caught."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from halo.plugin.objectives import shipped_folder
from halo.testing import check_objectives
from halo.testing.objectives import check_objective

FILES = sorted(shipped_folder().glob("*.yaml"))
QUICK = ("sft", "dpo", "kto", "bco", "dpo_pl", "tdpo1", "npo", "cpo_simpo")  # every feedback, running statistics, words, extends

MINE = """\
name: mine
title: DPO with a softsign
notes: bounded on both sides
feedback: paired
parameters:
  beta: {default: 0.1, domain: "(0, inf)"}
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: rejected
value: z / (1 + abs(z))
sign: -1
expect:
  halo: proved
"""


@pytest.mark.parametrize("name", QUICK)
def test_shipped_objectives_pass(name: str) -> None:
    check_objective(shipped_folder() / f"{name}.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_shipped_objective_passes(file: Path) -> None:
    check_objective(file)


def test_a_folder_passes_and_extends_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "theirs.yaml").write_text(
        "name: theirs\ntitle: the other\nnotes: beta alone\nextends: mine\nparameters:\n  beta: {default: 0.2}\n"
    )
    check_objectives(tmp_path)


WRONG = {
    "does not compile": (("beta\nref", "betta\nref"), "mine.yaml does not compile: mine.yaml:8:13: unknown name 'betta'"),
    "does not keep its word": (("halo: proved", "halo: refuted"), "expect.halo is refuted, found proved"),
    "another name": (("name: mine", "name: other"), "its name is 'other'"),
    "no title": (("title: DPO with a softsign\n", ""), "it has no title"),
    "no origin": (("notes: bounded on both sides\n", ""), "neither paper nor notes"),
    "no number": (("z / (1 + abs(z))", "log(z)"), "domain is refuted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str, tmp_path: Path) -> None:
    (old, new), said = WRONG[case]
    assert old in MINE
    (tmp_path / "mine.yaml").write_text(MINE.replace(old, new))
    with pytest.raises(AssertionError) as caught:
        check_objectives(tmp_path)
    assert said in str(caught.value)


def test_an_infinite_slope_is_caught(tmp_path: Path) -> None:
    """At policy = reference z is 0, where the slope of this root has no end; no check of the language asks for that."""
    text = MINE.replace("z / (1 + abs(z))", "sign(z) * sqrt(abs(z))").replace("expect:\n  halo: proved\n", "")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(AssertionError, match="no-gradient"):
        check_objectives(tmp_path)


def test_a_folder_with_files_that_nobody_reads(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"holds no .yaml file"):
        check_objectives(tmp_path)
    with pytest.raises(AssertionError, match="is no folder"):
        check_objectives(tmp_path / "gone")
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "other.yml").write_text(MINE)
    with pytest.raises(AssertionError, match=r"other.yml is not looked at"):
        check_objectives(tmp_path)


def test_a_shipped_name_is_refused(tmp_path: Path) -> None:
    shutil.copy(shipped_folder() / "dpo.yaml", tmp_path)
    with pytest.raises(AssertionError, match="halo ships an objective 'dpo'"):
        check_objectives(tmp_path)
