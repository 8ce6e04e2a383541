"""Objectives and data with a column of every level: of the example, of the completion, of the token."""

from __future__ import annotations

import json
from pathlib import Path

import tiny

COLUMNS = {
    "trust": {"level": "example", "domain": "[0, inf)"},
    "quality": {"level": "completion", "domain": "(0, inf)"},
    "care": {"level": "token", "domain": "[0, 1]"},
}
PAIRED = {"name": "all_levels", "feedback": "paired", "columns": COLUMNS, "reward": "log(quality) * sum(care * logp)",
          "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1, "weight": "trust"}  # fmt: skip
WITH_KL = {**PAIRED, "name": "columns_and_kl", "reward": "log(quality) * sum(care * (logp - ref_logp - kl_ref_policy))"}


def numbers(text: str) -> list[float]:
    """One for each token of an answer, its end-of-sequence token included."""
    return [0.25 + 0.5 * (i % 2) for i in range(len(tiny.template().ids(text)[0]) + 1)]


def with_columns(folder: Path, count: int = 8) -> Path:
    """Pairs with a number of every level."""
    rows = [json.loads(line) for line in tiny.FEEDBACK.read_text().splitlines()[:count]]
    for i, row in enumerate(rows):
        row |= {"trust": 0.5 + i, "chosen_quality": 2.0 + i, "rejected_quality": 1.5}
        row |= {f"{side}_care": numbers(row[side]) for side in ("chosen", "rejected")}
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
