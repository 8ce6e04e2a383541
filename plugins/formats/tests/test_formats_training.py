"""Rows of several formats train the embedded policy through the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from published_rows import said, spoken

from halo.cli.main import main

NUMBERS = ["312", "4021", "97", "5563", "180", "2461", "735", "9082"]
BEST = ["".join(sorted(n)) for n in NUMBERS]


def turns(number: str, answer: str) -> list[dict[str, Any]]:
    return [said("user", f"sort {number}"), said("assistant", answer)]


def talk(number: str, answer: str) -> list[dict[str, str]]:
    return [spoken("human", f"sort {number}"), spoken("gpt", answer)]


def ultrafeedback(number: str, best: str) -> dict[str, Any]:
    scored = ((number, 4.0), (best, 9.0), (best[::-1], 1.0))
    return {"instruction": f"sort {number}", "completions": [{"response": r, "overall_score": s} for r, s in scored]}


def binarized(number: str, best: str) -> dict[str, Any]:
    pair = {"prompt": f"sort {number}", "chosen": turns(number, best), "rejected": turns(number, best[::-1]), "messages": turns(number, best)}
    return pair | {"score_chosen": 8.0, "score_rejected": 5.5}


def preference(number: str, best: str) -> dict[str, Any]:
    return {"instruction": f"sort {number}", "output_1": best[::-1], "output_2": best, "preference": 1.5 if number == "97" else 1.9}


ROWS = list(zip(NUMBERS, BEST, strict=True))
RUNS = {
    "implicit-prompt": ("dpo", [{"chosen": turns(n, b), "rejected": turns(n, b[::-1])} for n, b in ROWS], "8 rows of format implicit-prompt"),
    "sharegpt-labels": (
        "kto", [{"conversations": talk(n, b if i % 2 else b[::-1]), "kto_tag": bool(i % 2)} for i, (n, b) in enumerate(ROWS)],
        "8 rows of format sharegpt-labels",
    ),
    "text": ("sft", [{"text": f"sort {n} {b}"} for n, b in ROWS], "8 rows of format text"),
    "messages": ("sft", [{"messages": [*turns("21", "12"), *turns(n, b)]} for n, b in ROWS], "8 rows of format messages"),
    "ultrafeedback": ("dpo", [ultrafeedback(n, b) for n, b in ROWS], "8 rows of format ultrafeedback; each list becomes all its pairs"),
    "ultrafeedback in a list": ("rrhf", [ultrafeedback(n, b) for n, b in ROWS], "8 rows of format ultrafeedback"),
    "ultrafeedback-binarized": ("rebel", [binarized(n, b) for n, b in ROWS], "8 rows of format ultrafeedback-binarized"),
    "alpaca-eval": ("simpo", [preference(n, b) for n, b in ROWS], "7 rows of format alpaca-eval"),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_it_trains(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective, rows, said_so = RUNS[name]
    file, run = tmp_path / "data.jsonl", tmp_path / "run"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    quick = ["--max-steps", "2", "--per-device-train-batch-size", "4", "--logging-steps", "1", "--output-dir", str(run)]
    assert main(["train", objective, "--data", str(file), *quick]) == 0
    printed = capsys.readouterr()
    assert said_so in printed.out + printed.err
    losses = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines() if "loss" in json.loads(line)]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))


def test_the_score_gap_is_the_margin(tmp_path: Path) -> None:
    """At the reference REBEL's loss is the squared gap of the scores: (8 - 5.5)**2."""
    file, run = tmp_path / "data.jsonl", tmp_path / "run"
    file.write_text("".join(json.dumps(binarized(n, b)) + "\n" for n, b in ROWS))
    arguments = ["--max-steps", "1", "--per-device-train-batch-size", "8", "--logging-steps", "1", "--output-dir", str(run)]
    assert main(["train", "rebel", "--data", str(file), *arguments]) == 0
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["loss"] == pytest.approx(6.25, abs=1e-4)
