"""What holds from prompts to feedback, whichever commands stand between. Each of these has a test of its own:

1. Killed anywhere and run again: the same bytes. `test_sampling.py`, `test_conversations.py` (killed), `test_disk_that_fills.py` (stopped),
   `grading/test_grading.py` (a score file cut at any byte); feedback is whole or absent (`files/test_on_the_disk.py`).
2. A sample is a function of weights, template, options, seed, prompt, index and turn: `test_sampling.py`, `test_conversations.py`,
   `test_real_model.py` (batch, order, other prompts, n, processes), `test_drawing.py` (each token is a draw).
3. What was made with other options is named and never mixed: `test_sampling.py` (a finished folder ...), `grading/test_grading.py`
   (scores of one name ...), `pairing/test_pairing.py` (a file that is there ...).
4. What is scored is what is trained on: here, by hash.
5. Nothing is lost without a word: here, and `pairing/test_pairing.py`, `test_conversations.py` (left out with its reason).
6. Ties are ties, and no order decides: `pairing/test_pairing.py`.
7. On-policy is measured: `training/test_sampled_ids.py`.
8. The template is applied once, as in training, with one BOS; a cut answer is taught no end: `test_sampling.py` (a row says what it is),
   `test_conversations.py` (the prompt of a turn), `training/test_sampled_ids.py`, `grading/test_grading.py` (a reward model sees the end).
9. Every number has its n and interval: `halo.evaluation` and `halo.statistics`, in their tests.
10. Nothing but files that any tool reads, with their making in each row: here.
11. A loop is a plan: where recipes are.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from samples import folder_of
from test_sampling import PROMPTS, prompts

from halo.cli.main import main
from halo.data.formats import FORMATS
from halo.data.reading import read_examples
from halo.data.text.template import Template
from halo.data.tokenizing import Preparation, tokenize
from halo.objective.feedback import RANKED
from halo.starter.defaults import POLICY
from halo.training.model.loading import load_tokenizer
from halo.training.settings import Settings

HASHING = """
import hashlib, json

def f(prompts, completions, completion_ids, **columns):
    with open("seen.jsonl", "a") as stream:
        for text, ids in zip(completions, completion_ids):
            stream.write(json.dumps(hashlib.sha256(json.dumps([text, ids]).encode()).hexdigest()) + "\\n")
    return [len(text) + number / 10 for number, text in enumerate(completions)]
"""


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_what_is_scored_is_what_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and ids of every completion, after stop texts, as a scorer of one's own gets them, against what training makes of the feedback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hashing_scorer.py").write_text(HASHING)
    given = ["--prompts", prompts(tmp_path, PROMPTS[:12]), "--n", "4", "--stop", "77,33", "--max-new-tokens", "6", "--use-cpu"]
    assert main(["sample", *given, "--out", "samples", "--sampler", "sample:temperature=1.4"]) == 0
    assert main(["score", "samples", "--scorer", "function:name=hashing_scorer.f", "--name", "mine"]) == 0
    assert main(["pair", "samples", "--by", "mine", "--rule", "list", "--keep-cut"]) == 0
    tokenizer = load_tokenizer(str(POLICY), Settings())
    how = Preparation(RANKED, RANKED.slots, Template.of(tokenizer, "auto"))
    examples, _, _ = read_examples("pairs.jsonl", FORMATS)
    trained, finishes = set(), set()
    for example in examples:
        found = tokenize(example, how)
        assert not isinstance(found, str)
        for tail in found.tails["completion"]:
            ids = [token for token, counts in zip(tail.ids, tail.scored, strict=True) if counts]
            text = tokenizer.decode(ids[:-1] if tail.finish == "end" else ids)
            trained.add(hashlib.sha256(json.dumps([text, ids]).encode()).hexdigest())
            finishes.add(tail.finish)
    assert trained <= set(lines(tmp_path / "seen.jsonl"))
    assert len(trained) > 12
    assert finishes == {"end", "stop", "length"}


def test_every_row_of_the_data_is_asked_or_left_out(tmp_path: Path) -> None:
    rows = [*PROMPTS[:4], {"prompt": ""}, PROMPTS[1], {"turns": ["sort 1", "sort 2"]}, {"turns": ["sort 1", " "]}, {"prompt": "1" * 900}]
    given = ["--prompts", prompts(tmp_path, rows), "--out", str(tmp_path / "samples"), "--max-new-tokens", "4", "--use-cpu"]
    assert main(["sample", *given]) == 0
    asked = {row["row_number"] for row in lines(tmp_path / "samples" / "prompts.jsonl")}
    left = {row["place"] for row in lines(tmp_path / "samples" / "left-out.jsonl")}
    assert (len(asked), len(left)) == (5, 4)
    assert len(asked) + len(left) == len(rows)


@pytest.mark.parametrize("rule", ["list", "all", "threshold"])
def test_every_completion_becomes_feedback_or_is_left_out(rule: str, tmp_path: Path) -> None:
    rng = random.Random(rule)
    texts = ["", " ", "a", "a ", "b", "c", "d", "e"]
    drawn = {
        f"p{n}": [
            {"completion": rng.choice(texts), "score": rng.choice([None, 0.0, 1.0, 2.5]), "finish": rng.choice(["end", "length"])}
            for _ in range(rng.randrange(1, 6))
        ]
        for n in range(60)
    }
    folder_of(tmp_path / "samples", drawn)
    out = tmp_path / "pairs.jsonl"
    assert main(["pair", str(tmp_path / "samples"), "--by", "reward", "--rule", rule, "--threshold", "1", "--out", str(out)]) == 0
    names = ("chosen", "rejected", "completion")
    used = {
        (row["prompt"], text) for row in lines(out) for text in [*(row[name] for name in names if name in row), *row.get("completions", [])]
    }
    left = lines(tmp_path / "pairs.left-out.jsonl")
    without_feedback = {row["prompt"] for row in left if "completion" not in row}
    keys = {row["prompt"]: row["prompt_id"] for row in lines(tmp_path / "samples" / "prompts.jsonl")}
    left_by_one = Counter((row["prompt_id"], row["completion"]) for row in left if "completion" in row)
    assert all(row["reason"] for row in left)
    for prompt, completions in drawn.items():
        for text, count in Counter(one["completion"] for one in completions).items():
            unused = count - left_by_one[(keys[prompt], text)]
            assert unused in (0, 1)
            assert (unused == 1) == ((prompt, text) in used or (prompt in without_feedback and unused == 1))


def test_all_that_is_written_is_text_that_any_tool_reads_and_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--prompts", prompts(tmp_path, PROMPTS[:12]), "--n", "3", "--max-new-tokens", "8", "--use-cpu", "--out", "samples"]
    assert main(["sample", *given]) == 0
    assert main(["score", "samples", "--scorer", "gold"]) == 0
    assert main(["pair", "samples", "--by", "gold", "--keep-cut"]) == 0
    read = 0
    for file in (tmp_path / "samples").rglob("*"):
        if file.is_file() and file.name != ".halo.lock":
            assert json.loads(file.read_text()) if file.suffix == ".json" else lines(file) is not None
            read += 1
    assert read == 7
    manifest = json.loads((tmp_path / "samples" / "manifest.json").read_text())
    beside = manifest.pop("beside")
    digest = hashlib.sha256(json.dumps(manifest, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:12]
    for row in lines(tmp_path / "samples" / "samples.jsonl"):
        assert (row["sampler"], row["weights"]) == (digest, manifest["weights"][:12])
    assert beside["numerics"] == "float32 cpu"
    assert {"seed", "template", "tokenizer", "temperature", "dtype", "end", "stop"} <= manifest.keys()
    for row in lines(tmp_path / "pairs.jsonl"):
        assert row["chosen_weights"] == row["rejected_weights"] == manifest["weights"][:12]
