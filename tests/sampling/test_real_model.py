"""The promises of `halo sample` on a real model of 135 million parameters, where one is at hand: HALO_REAL_MODEL names its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_sampling import KILLED, NEAR, Found, read

from halo.cli.main import main
from halo.data.tokenized import Sampled, from_ids
from halo.errors import Place
from halo.objective.feedback import SCORED
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

MODEL = os.environ.get("HALO_REAL_MODEL", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not MODEL, reason="HALO_REAL_MODEL names no model")]
ASKED = [
    "Name three colours.", "What is the capital of France?", "Write a haiku about rain.", "Why is the sky blue?", "Count to five in German.",
    "Give me a synonym for happy.", "Who wrote Hamlet?", "What is 7 times 8?", "Describe a cat in one sentence.", "Translate 'good night' to Spanish.",
]  # fmt: skip


def sampled(folder: Path, *more: str, asked: list[str] = ASKED, out: str = "samples") -> Found:
    file = folder / f"{out}.prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked))
    given = ["--model", MODEL, "--prompts", str(file), "--out", str(folder / out), "--max-new-tokens", "24", "--use-cpu"]
    assert main(["sample", *given, *more]) == 0
    return read(folder / out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return sampled(tmp_path_factory.mktemp("real"), "--n", "2", "--batch-size", "20")


@pytest.mark.parametrize("size", ["1", "7"])
def test_the_batch_changes_no_completion(size: str, whole: Found, tmp_path: Path) -> None:
    found = sampled(tmp_path, "--n", "2", "--batch-size", size)
    assert found.keys() == whole.keys()
    for key, row in found.items():
        assert row["tokens"] == whole[key]["tokens"]
        assert row["logps"] == pytest.approx(whole[key]["logps"], abs=NEAR)


def test_neither_order_nor_n_changes_a_completion(whole: Found, tmp_path: Path) -> None:
    found = sampled(tmp_path, "--n", "3", asked=["Hello!", *ASKED[:5][::-1]])
    shared = found.keys() & whole.keys()
    assert len(shared) == 10
    assert all(found[key]["tokens"] == whole[key]["tokens"] for key in shared)


def test_log_probs_are_those_of_training(whole: Found) -> None:
    scorer = Scorer(load_model(MODEL, Settings()))
    for row in list(whole.values())[:6]:
        example = from_ids(SCORED, row["prompt_tokens"], [Sampled(tuple(row["tokens"]), row["finish"], 1.0, {"score": 0.0})], Place("x"))
        with torch.no_grad():
            logps = scorer(build_rows([example], SCORED.slots)[0])["logp"]
        assert logps.tolist() == pytest.approx(row["logps"], abs=NEAR)


def test_a_killed_command_gives_the_same_bytes(tmp_path: Path) -> None:
    sampled(tmp_path, "--n", "2", "--batch-size", "5", out="whole")
    given = ["sample", "--model", MODEL, "--prompts", str(tmp_path / "whole.prompts.jsonl"), "--out", str(tmp_path / "killed")]
    given += ["--max-new-tokens", "24", "--use-cpu", "--n", "2", "--batch-size", "5"]
    for batches, torn in (("1", "0.3"), ("1", "0.8")):
        subprocess.run([sys.executable, "-c", KILLED, batches, torn, *given], capture_output=True, check=False)
    assert main(given) == 0
    for name in ("samples.jsonl", "prompts.jsonl", "left-out.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


TURNS = [
    {"turns": ["Name three colours.", "Which of them is the darkest?"]},
    {"turns": ["Who wrote Hamlet?", "Name another play of his.", "When was it written?"]},
    {"turns": ["Count to five in German.", "Now backwards."]},
]


def asked_in_turns(folder: Path, *more: str, rows: list[dict[str, list[str]]], out: str) -> dict[tuple[str, int], dict[str, Any]]:
    file = folder / f"{out}.prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--model", MODEL, "--prompts", str(file), "--out", str(folder / out), "--max-new-tokens", "16", "--use-cpu", "--n", "2"]
    assert main(["sample", *given, *more]) == 0
    return {(row["prompt_id"], row["sample"]): row for row in map(json.loads, (folder / out / "samples.jsonl").read_text().splitlines())}


def test_conversations_hold_the_same_promises(tmp_path: Path) -> None:
    """Batch, order and other prompts change no turn, and the prompt of each is what the template writes of the conversation so far."""
    one = asked_in_turns(tmp_path, "--batch-size", "12", rows=TURNS, out="one")
    other = asked_in_turns(tmp_path, "--batch-size", "1", rows=[{"turns": ["Hello!", "And you?"]}, *TURNS[1:][::-1]], out="other")
    shared = one.keys() & other.keys()
    assert len(shared) == 2 * (3 + 2)
    tokenizer = load_tokenizer(MODEL, Settings())
    for key in shared:
        assert one[key]["tokens"] == other[key]["tokens"]
        text = tokenizer.apply_chat_template(one[key]["prompt"], tokenize=False, add_generation_prompt=True)
        assert one[key]["prompt_tokens"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert {tuple(row["earlier"]) for row in one.values() if row["turn"] > 1} >= {("length",)}
