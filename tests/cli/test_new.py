"""`halo new objective`: what it writes is read, checked and equal to what it was started from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusals import refused_command

from halo.cli.main import main
from halo.compiler.graph_text import show
from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective


@pytest.mark.parametrize("base", find_objective.names())
def test_a_new_file_is_the_base_under_another_name(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "objective", "mine", "--from", base]) == 0
    text = (tmp_path / "mine.yaml").read_text()
    mine, original = compile_source("./mine.yaml", None, find_objective), compile_source(base, None, find_objective)
    assert show(mine.declared, places=False).split("\n", 1)[1] == show(original.declared, places=False).split("\n", 1)[1]
    assert mine.objective.declaration.expect == original.objective.declaration.expect
    assert "# whose items" in text or "# what the loss sees" in text or "# formulas added" in text
    assert text.startswith("# yaml-language-server: $schema=objective.schema.json")
    assert json.loads((tmp_path / "objective.schema.json").read_text())["properties"]["reward"]


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("keep")
    refused_command(capsys, "output-folder", "new", "objective", "mine", at="mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "keep"
    refused_command(capsys, "wrong-value", "new", "objective", "Mine")
    refused_command(capsys, "missing-key", "new", "objektive", "mine2")
    refused_command(capsys, "not-found", "new", "objective", "mine2", "--from", "dppo")
    assert [f.name for f in tmp_path.iterdir()] == ["mine.yaml"]
