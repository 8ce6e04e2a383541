"""The rows of the comparison on a CPU are rows that both sides keep whole, and its precision is a measured one."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from halo.starter.defaults import FEEDBACK, POLICY

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_rows_that_do_not_fit_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded pairs with one longer than the limit between them."""
    monkeypatch.syspath_prepend(FOLDER)
    bench = importlib.import_module("against_trl")
    pairs = [json.loads(line) for line in FEEDBACK.read_text().splitlines()[:4]]
    pairs[1]["chosen"] = "0123456789" * 20
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({key: pair[key] for key in ("prompt", "chosen", "rejected")}) + "\n" for pair in pairs))
    rows = [json.loads(line) for line in bench.shared_rows(str(data), str(POLICY), 64, 3, tmp_path).read_text().splitlines()]
    kept = [pairs[0], pairs[2], pairs[3]]
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [(p["chosen"], p["rejected"]) for p in kept]


@pytest.mark.parametrize(("slow", "expected"), [(torch.bfloat16, "float32"), (torch.float32, "bf16")])
def test_the_faster_precision_is_taken(slow: torch.dtype, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where one kind of product takes twenty times as long."""
    from halo.training.model import loading

    monkeypatch.syspath_prepend(FOLDER)
    bench = importlib.import_module("against_trl")
    monkeypatch.setattr(loading, "_seconds", lambda dtype: 20.0 if dtype == slow else 1.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    precision, why = bench.fast_precision()
    assert precision == expected
    assert "x as fast as float32 here" in why
