"""`halo list` finds objectives by what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from halo.cli.main import main
from halo.plugin.objectives import find_objective


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["list", *arguments, "--json"]) == 0
    result: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return result


def names(capsys: pytest.CaptureFixture[str], *arguments: str) -> set[str]:
    return {row["name"] for row in found(capsys, *arguments)}


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert names(capsys) == set(find_objective.names())
    assert {"kto", "ppo_offline"} <= names(capsys, "--feedback", "labelled") <= names(capsys)
    assert "dpo" not in names(capsys, "--feedback", "labelled")
    assert {"simpo", "orpo"} <= names(capsys, "--reference", "no")
    assert "dpo" not in names(capsys, "--reference", "no")
    assert {"dpo", "kto", "simpo"} <= names(capsys, "--halo", "proved")
    assert "ipo" not in names(capsys, "--halo", "proved")
    assert "kto" in names(capsys, "--uses", "detached,batch")
    assert "dpo" not in names(capsys, "--uses", "detached")
    assert {"rdpo", "simpo"} <= names(capsys, "--uses", "margin", "--year", "2024")
    assert names(capsys, "kahneman-tversky", "optimization") >= {"kto"}


def test_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {row["name"]: row for row in found(capsys)}
    assert facts["dpo"]["reference"] is True
    assert facts["dpo"]["uses"] == []
    assert facts["csft"]["uses"] == ["token", "control"]
    assert facts["slic_hf_gold"]["uses"] == ["margin", "regularizers", "roles"]
    assert facts["kto"]["uses"] == ["weights", "detached", "batch"]
    assert facts["simpo"]["arxiv"] == "2405.14734"


def test_the_table_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "simple", "--reference", "no"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "simpo" in lines[0]
    assert lines[-1].endswith(f"of {len(find_objective.names())} objectives")
