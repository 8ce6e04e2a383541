"""Columns of every level reach the loss: through batching, accumulation and whole runs. test_ranks.py has two processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from every_column import COLUMNS, PAIRED, numbers, with_columns
from tolerances import RUN, assert_near

import halo
from halo.cli.main import main
from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.tokenizing import Preparation
from halo.scoring.scorer import Scorer
from halo.training.step.step import Step

RANKED = {"name": "in_lists", "feedback": "scored", "role": "completion", "columns": COLUMNS, "reward": "log(quality) * sum(care * logp)",
          "reference_point": "none", "value": "z * score", "sign": -1, "weight": "trust", "reduce": {"completions": "sum", "examples": "mean"}}  # fmt: skip

def written_lists(folder: Path) -> Path:
    rows = [json.loads(line) for line in tiny.FEEDBACK.read_text().splitlines()[:4]]
    lists = []
    for i, row in enumerate(rows):
        texts = [row["rejected"], row["chosen"], "7"][: 2 + i % 2]
        lists.append({"prompt": row["prompt"], "completions": texts, "scores": [0.1, 0.9, 0.9][: len(texts)], "trust": 1 + i,
                      "quality": [1.5, 2.5, 3.5][: len(texts)], "care": [numbers(text) for text in texts]})  # fmt: skip
    file = folder / "lists.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in lists))
    return file


def logps(model: Any, example: Any, slot: str) -> list[torch.Tensor]:
    """Log-probs of every completion's tokens from the model's own logits."""
    found = []
    for tail in example.tails[slot]:
        ids = torch.tensor([[*example.prefix, *tail.ids]])
        at = torch.tensor([len(example.prefix) + i for i, scored in enumerate(tail.scored) if scored])
        found.append(torch.log_softmax(model(ids).logits[0, at - 1], -1).gather(1, ids[0, at, None])[:, 0])
    return found


def plainly(model: Any, examples: list[Any], rows: list[dict[str, Any]], paired: bool) -> torch.Tensor:
    losses = []
    for example, row in zip(examples, rows, strict=True):
        if paired:
            own = [logps(model, example, side)[0] for side in ("chosen", "rejected")]
            rewards = [torch.tensor(row[f"{side}_quality"]).double().log() * (torch.tensor(row[f"{side}_care"]) * x).sum()
                       for side, x in zip(("chosen", "rejected"), own, strict=True)]  # fmt: skip
            losses.append(-row["trust"] * torch.log(torch.sigmoid(rewards[0] - rewards[1])))
        else:
            items = zip(logps(model, example, "completion"), row["quality"], row["care"], row["scores"], strict=True)
            losses.append(-row["trust"] * sum(torch.tensor(q).double().log() * (torch.tensor(c) * x).sum() * s for x, q, c, s in items))
    return torch.stack(losses).mean()


@pytest.mark.numeric
@pytest.mark.parametrize("paired", [True, False], ids=["pairs", "lists"])
@pytest.mark.parametrize("micro", [8, 3])
def test_every_level_equals_a_plain_writing(paired: bool, micro: int, tmp_path: Path) -> None:
    file = with_columns(tmp_path) if paired else written_lists(tmp_path)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    loss = halo.compile_objective(PAIRED if paired else RANKED)
    examples, _ = convert(read_examples(str(file), FORMATS)[0], loss.feedback)
    tokenized, _ = prepare(examples, Preparation.of(loss.compiled, tiny.template(), None, 0))
    model, other = tiny.policy(seed=1), tiny.policy(seed=1)
    stepped = Step(loss, Scorer(model), None, torch.device("cpu")).run([tokenized[i : i + micro] for i in range(0, len(tokenized), micro)])
    true = plainly(other, tokenized, rows, paired)
    true.backward()
    assert stepped.output.loss.item() == pytest.approx(true.item(), rel=RUN)
    ours, theirs = (torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (model, other))
    assert_near(ours, theirs, RUN)


def run(folder: Path, source: Any, data: Path, *flags: str) -> list[float]:
    file, output = folder / f"{source['name']}.yaml", folder / f"run-{source['name']}"
    file.write_text(yaml.safe_dump(source))
    fixed = ["--max-steps", "2", "--learning-rate", "1e-3", "--warmup-ratio", "0", "--logging-steps", "1", "--check", "false"]
    assert main(["train", str(file), "--data", str(data), "--output-dir", str(output), *fixed, *flags]) == 0
    return [json.loads(line)["loss"] for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("level", ["example", "completion", "token"])
def test_a_run_with_each_level(level: str, tmp_path: Path) -> None:
    formula = {"example": "trust * sum(logp)", "completion": "quality * sum(logp)", "token": "sum(care * logp)"}[level]
    name = next(name for name, column in COLUMNS.items() if column["level"] == level)
    source = {"name": level, "feedback": "paired", "columns": {name: COLUMNS[name]}, "reward": formula, "reference_point": "rejected",
              "value": "logsigmoid(z)", "sign": -1}  # fmt: skip
    losses = run(tmp_path, source, with_columns(tmp_path), "--per-device-train-batch-size", "4")
    assert len(set(losses)) == 2


def test_pairs_train_labelled_and_lists_train_paired_with_their_columns(tmp_path: Path) -> None:
    labelled = {"name": "labelled", "feedback": "labelled", "columns": COLUMNS, "reward": "log(quality) * sum(care * logp)",
                "reference_point": "stop(batch_mean(mismatched.reward))", "value": "sigmoid(z)", "sign": {"desirable": -1, "undesirable": 1},
                "weight": "trust"}  # fmt: skip
    assert all(map(torch.isfinite, map(torch.tensor, run(tmp_path, labelled, with_columns(tmp_path)))))
    assert all(map(torch.isfinite, map(torch.tensor, run(tmp_path, PAIRED, written_lists(tmp_path)))))


def test_a_missing_column_is_refused_before_the_model_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "levels.yaml"
    file.write_text(yaml.safe_dump(PAIRED))
    assert main(["train", str(file), "--check", "false", "--output-dir", str(tmp_path / "run")]) == 2
    assert "feedback.jsonl:1: the objective needs the column" in capsys.readouterr().err
