"""From prompts to a judged model by five commands, on the embedded policy: the same bytes each time, and after a kill in each of them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from halo.cli.main import main
from halo.starter.defaults import HELD_OUT, PROMPTS

COMMANDS = (
    ["sample", "--prompts", "prompts.jsonl", "--n", "3", "--use-cpu", "--max-new-tokens", "8"],
    ["score", "samples", "--scorer", "gold", "--use-cpu"],
    ["pair", "samples", "--by", "gold"],
    ["train", "simpo", "--data", "pairs.jsonl", "--output-dir", "run", "--max-steps", "6", "--learning-rate", "2e-4", "--use-cpu"],
    ["eval", "win+texts", "run", "--against", "embedded", "--prompts", "held-out.jsonl", "--scorer", "gold", "--n", "2", "--max-new-tokens", "8", "--use-cpu"],
)  # fmt: skip
KEPT = (
    "samples/samples.jsonl",
    "samples/scores/gold.jsonl",
    "pairs.jsonl",
    "run/model.safetensors",
    "evaluation/report.json",
    "evaluation/report.html",
)


def walked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, source, count in (("prompts.jsonl", PROMPTS, 60), ("held-out.jsonl", HELD_OUT, 40)):
        Path(name).write_text("".join(source.read_text().splitlines(keepends=True)[:count]))
    for command in COMMANDS:
        assert main(command) == 0, command
    return {name: (folder / name).read_bytes() for name in KEPT}


@pytest.mark.workflow
def test_the_whole_way_gives_the_same_bytes_and_a_better_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (walked(tmp_path / name, monkeypatch) for name in ("one", "other"))
    assert first == second
    told = json.loads(first["evaluation/report.json"])
    (won,) = [one for one in told["numbers"] if one["measure"] == "win rate"]
    assert (won["n"], won["low"] > 0.5) == (40, True)
    folder = tmp_path / "other"
    os.truncate(folder / "samples" / "scores" / "gold.jsonl", 1000)  # what a kill in the middle of a write leaves
    for name in ("report.html", "stage.json"):
        (folder / "evaluation" / name).unlink()
    shutil.rmtree(folder / "evaluation" / "samples" / "run")
    for command in (COMMANDS[1], COMMANDS[4]):
        assert main(command) == 0
    assert {name: (folder / name).read_bytes() for name in KEPT} == first
