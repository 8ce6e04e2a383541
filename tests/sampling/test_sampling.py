"""`halo sample`: a completion depends on its own prompt, index and seed alone, and a folder is the same bytes whenever it was killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launched import two_ranks

from halo.cli.main import main
from halo.data.tokenized import Sampled, from_ids
from halo.errors import Place
from halo.objective.feedback import SCORED
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.starter.defaults import HELD_OUT, POLICY
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

NEAR = 1e-4
"""Nats a token that a log-prob may differ by in float32, whatever stands beside it in the batch; 2e-5 is what is seen."""
PROMPTS = [json.loads(line) for line in HELD_OUT.read_text().splitlines()[:40]]
SHORT = ["--max-new-tokens", "12", "--use-cpu"]

Found = dict[tuple[str, int], dict[str, Any]]


def prompts(folder: Path, rows: list[dict[str, Any]] = PROMPTS, name: str = "prompts.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def sampled(folder: Path, *more: str, rows: list[dict[str, Any]] = PROMPTS, out: str = "samples") -> Found:
    given = ["--prompts", prompts(folder, rows), "--out", str(folder / out)]
    assert main(["sample", *given, *SHORT, *more]) == 0
    return read(folder / out)


def read(folder: Path) -> Found:
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return {(row["prompt_id"], row["sample"]): row for row in rows}


def held(folder: Path) -> dict[str, bytes]:
    """The bytes of everything but the manifest, which says on how many processes and in which batches it was made."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name not in ("manifest.json", "stage.json", ".halo.lock")}


HOT = ["--sampler", "sample:temperature=1.3,top_p=0.95,repetition_penalty=1.1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return sampled(tmp_path_factory.mktemp("whole"), *HOT, "--n", "4", "--batch-size", "16")


def assert_same(found: Found, whole: Found) -> None:
    for key, row in found.items():
        assert row["tokens"] == whole[key]["tokens"]
        for name in ("logps", "kept"):
            assert row[name] == pytest.approx(whole[key][name], abs=NEAR)


@pytest.mark.parametrize("size", ["1", "7", "160"])
def test_the_batch_changes_no_completion(size: str, whole: Found, tmp_path: Path) -> None:
    assert_same(sampled(tmp_path, *HOT, "--n", "4", "--batch-size", size), whole)


def test_neither_order_nor_other_prompts_nor_n_change_a_completion(whole: Found, tmp_path: Path) -> None:
    others = [{"prompt": "sort 1"}, *reversed(PROMPTS[:20]), {"prompt": "sort 123456789987654321"}]
    found = sampled(tmp_path, *HOT, "--n", "2", rows=others)
    shared = {key: row for key, row in found.items() if key in whole}
    assert len(shared) == 40
    assert_same(shared, whole)
    assert_same(whole, sampled(tmp_path, *HOT, "--n", "6", out="more") | {})


def test_completions_differ_by_index_and_seed(whole: Found, tmp_path: Path) -> None:
    other = sampled(tmp_path, *HOT, "--n", "4", "--seed", "1")
    assert sum(row["tokens"] != whole[key]["tokens"] for key, row in other.items()) > len(whole) / 4
    first = {key: row["tokens"] for key, row in whole.items() if key[1] == 0}
    assert sum(whole[(prompt, 1)]["tokens"] != tokens for (prompt, _), tokens in first.items()) > len(first) / 4


def test_log_probs_are_those_of_training_at_the_temperature(whole: Found) -> None:
    scorer = Scorer(load_model(str(POLICY), Settings()))
    for row in list(whole.values())[:24]:
        example = from_ids(SCORED, row["prompt_tokens"], [Sampled(tuple(row["tokens"]), row["finish"], 1.3, {"score": 0.0})], Place("x"))
        rows, _ = build_rows([example], SCORED.slots)
        with torch.no_grad():
            assert scorer(rows)["logp"].tolist() == pytest.approx(row["logps"], abs=NEAR)


def test_a_row_says_what_it_is(whole: Found) -> None:
    tokenizer = load_tokenizer(str(POLICY), Settings())
    finishes = {row["finish"] for row in whole.values()}
    assert "end" in finishes
    for row in whole.values():
        ended = row["finish"] == "end"
        assert ended == (row["tokens"][-1] == tokenizer.eos_token_id)
        assert ended or len(row["tokens"]) == 12
        assert row["completion"] == tokenizer.decode(row["tokens"][: len(row["tokens"]) - ended])
        assert tokenizer.decode(row["prompt_tokens"]) == f"<bos><|user|>{row['prompt']}<|assistant|>"
        assert all(mass <= 0 for mass in row["kept"])
        assert min(row["kept"]) > -0.06  # top-p of 0.95 keeps at least that


def test_the_model_folders_own_ways_of_writing_are_left_aside(tmp_path: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "model")
    told = {"top_k": 1, "temperature": 0.1, "max_new_tokens": 2, "repetition_penalty": 5.0, "eos_token_id": 2, "num_beams": 3}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(told))
    plain = sampled(tmp_path, "--n", "2", out="plain")
    own = sampled(tmp_path, "--n", "2", "--model", str(tmp_path / "model"), out="own")
    assert {key: row["tokens"] for key, row in plain.items()} == {key: row["tokens"] for key, row in own.items()}


def test_greedy_is_generates(tmp_path: Path) -> None:
    model, tokenizer = load_model(str(POLICY), Settings()).eval(), load_tokenizer(str(POLICY), Settings())
    for row in list(sampled(tmp_path, "--sampler", "greedy", rows=PROMPTS[:8]).values()):
        ids = torch.tensor([row["prompt_tokens"]])
        out = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        assert out[0, ids.shape[1] :].tolist() == row["tokens"]


def test_beams_are_the_most_likely_texts(tmp_path: Path) -> None:
    """Of answers of two tokens, a search as wide as the vocabulary finds the most likely ones; all of them are looked at here."""
    model = load_model(str(POLICY), Settings()).eval()
    rows = [{"prompt": "sort 42"}]
    given = ["--prompts", prompts(tmp_path, rows), "--out", str(tmp_path / "samples"), "--n", "5", "--max-new-tokens", "2", "--use-cpu"]
    assert main(["sample", *given, "--sampler", "beam:width=200,length_penalty=0"]) == 0
    found = list(read(tmp_path / "samples").values())
    prompt = found[0]["prompt_tokens"]
    with torch.no_grad():
        first = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
        size = len(first)
        second = model(torch.tensor([[*prompt, token] for token in range(size)])).logits[:, -1].log_softmax(-1)
    both = first[:, None] + second
    texts = {(a, b): float(both[a, b]) for a in range(size) for b in range(size) if a != 2}
    texts[(2,)] = float(first[2])  # it ends at once
    best = sorted(texts, key=lambda ids: -texts[ids])[:5]
    assert [tuple(row["tokens"]) for row in found] == best
    for row in found:
        assert sum(row["logps"]) == pytest.approx(texts[tuple(row["tokens"])], abs=NEAR)


def test_beams_depend_on_their_width_alone(tmp_path: Path) -> None:
    sampler = ["--sampler", "beam:width=4", "--n", "3"]
    one = sampled(tmp_path, *sampler, rows=PROMPTS[:6], out="one")
    other = sampled(tmp_path, *sampler, "--batch-size", "1", "--seed", "9", rows=PROMPTS[3:9][::-1], out="other")
    shared = one.keys() & other.keys()
    assert len(shared) == 9
    assert all(one[key]["tokens"] == other[key]["tokens"] for key in shared)


def test_a_stop_text_ends_a_completion_and_is_no_part_of_it(tmp_path: Path) -> None:
    found = sampled(tmp_path, "--stop", "3,77", "--n", "2")
    stopped = [row for row in found.values() if row["finish"] == "stop"]
    assert stopped
    for row in found.values():
        assert "3" not in row["completion"]
        assert len(row["logps"]) == len(row["tokens"])


def test_columns_of_the_data_are_completions(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}", "good": f"one {n}", "bad": "two", "score": n} for n in range(3)]
    found = sampled(tmp_path, "--sampler", "given:columns=good+bad", rows=rows)
    assert [(row["prompt"], row["completion"], row["finish"]) for row in found.values()][:3] == [
        ("Say 0", "one 0", ""), ("Say 0", "two", ""), ("Say 1", "one 1", ""),
    ]  # fmt: skip
    assert "tokens" not in next(iter(found.values()))


# -- what is left out ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_answered_is_kept_with_its_reason(tmp_path: Path) -> None:
    rows = [{"prompt": "sort 1"}, {"prompt": " "}, {"prompt": "sort 1"}, {"prompt": "sort " + "1" * 500}, {"prompt": "sort 2"}]
    assert len(sampled(tmp_path, rows=rows)) == 2
    left = [json.loads(line) for line in (tmp_path / "samples" / "left-out.jsonl").read_text().splitlines()]
    file = tmp_path / "prompts.jsonl"
    assert [(row["place"], row["reason"].split(" of ")[0]) for row in left] == [
        (f"{file}:2", "the prompt is empty"), (f"{file}:3", f"the same prompt as {file}:1"), (f"{file}:4", "a prompt"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([{"question": "x"}], [], "prompts.jsonl:1: there is no column 'prompt' among question; --data-columns prompt=YOURS"),
        ([{"prompt": 3}], [], "prompts.jsonl:1: prompt is int"),
        ([{"prompt": ""}], [], "no prompt is left: the prompt is empty"),
        ([{"prompt": "x"}], ["--n", "0"], "--n: "),
        ([{"prompt": "x"}], ["--sampler", "samples"], "there is no sampler named 'samples'; did you mean 'sample'?"),
        ([{"prompt": "x"}], ["--sampler", "sample:temperature=0"], "temperature=0 is not a number above 0"),
        ([{"prompt": "x"}], ["--sampler", "given:columns=good"], "the column 'good' holds no text"),
        (
            [{"prompt": "x"}],
            ["--max-new-tokens", "128"],
            "--max-new-tokens: 128 tokens leave no room for a prompt: the model reads 128 in all",
        ),
        ([{"prompt": "x"}], ["--stop", ""], "--stop: a stop text is empty"),
        ([{"prompt": "x"}], ["--model", "./nowhere"], "there is no model folder ./nowhere"),
        ([{"prompt": "x"}], ["--temperature", "2"], "--temperature: there is no such flag"),
    ],
)
def test_bad_input_is_one_message(rows: list[Any], more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--prompts", prompts(tmp_path, rows), "--out", str(tmp_path / "samples"), *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


# -- the folder ------------------------------------------------------------------------------------------------------------


def test_a_finished_folder_is_left_alone_and_other_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampled(tmp_path, "--n", "2")
    before = held(tmp_path / "samples")
    sampled(tmp_path, "--n", "2", "--batch-size", "3")
    assert "is finished: nothing is left to do" in capsys.readouterr().out
    assert held(tmp_path / "samples") == before
    given = ["sample", "--prompts", prompts(tmp_path), "--out", str(tmp_path / "samples"), *SHORT]
    other = {
        "seed 0, and you ask for 7": ["--n", "2", "--seed", "7"],
        "n 2, and you ask for 3": ["--n", "3"],
        "stop []": ["--n", "2", "--stop", "x"],
    }
    for named, more in other.items():
        assert main([*given, *more]) == 2
        assert f"was made with {named}" in capsys.readouterr().err
    prompts(tmp_path, PROMPTS[:3])
    assert main([*given, "--n", "2"]) == 2
    assert "was made with prompts" in capsys.readouterr().err
    assert held(tmp_path / "samples") == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "thesis.tex").write_text("mine")
    assert main(["sample", "--prompts", prompts(tmp_path), "--out", str(tmp_path / "samples")]) == 2
    assert "is not empty: it holds thesis.tex" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "samples").iterdir() if not file.name.startswith(".")] == ["thesis.tex"]


KILLED = """
import os, random, signal, sys
import halo.files.lines as lines
from halo.cli.main import main

real, left = lines.Lines.add_all, int(sys.argv[1])

def add_all(self, records, durable=False):
    global left
    left -= 1
    if left < 0:
        data = b"".join(map(lines.as_line, records))
        with self.file.open("ab") as stream:
            stream.write(data[: int(len(data) * float(sys.argv[2]))])  # torn somewhere
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, records, durable)

lines.Lines.add_all = add_all
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.workflow
def test_a_killed_command_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    sampled(tmp_path, "--n", "4", "--batch-size", "5", out="whole")
    given = [
        "sample",
        "--prompts",
        str(tmp_path / "prompts.jsonl"),
        "--out",
        str(tmp_path / "killed"),
        *SHORT,
        "--n",
        "4",
        "--batch-size",
        "5",
    ]
    rng = random.Random("kill")
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, str(rng.randrange(1, 9)), str(rng.random()), *given]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (tmp_path / "killed" / "samples.jsonl").exists()
    assert main(given) == 0
    assert held(tmp_path / "killed") == held(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_command_may_go_on_in_other_batches(tmp_path: Path) -> None:
    whole = sampled(tmp_path, "--n", "4", "--batch-size", "5", out="whole")
    given = ["sample", "--prompts", str(tmp_path / "prompts.jsonl"), "--out", str(tmp_path / "killed"), *SHORT, "--n", "4"]
    subprocess.run([sys.executable, "-c", KILLED, "3", "0.4", *given, "--batch-size", "5"], capture_output=True, check=False)
    assert main([*given, "--batch-size", "8"]) == 0
    found = read(tmp_path / "killed")
    assert found.keys() == whole.keys()
    assert all(row["tokens"] == whole[key]["tokens"] for key, row in found.items())


def test_one_command_at_a_time_fills_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from halo.files.lock import Lock

    (tmp_path / "samples").mkdir()
    lock = Lock.take(tmp_path / "samples")
    assert main(["sample", "--prompts", prompts(tmp_path), "--out", str(tmp_path / "samples")]) == 2
    assert "is in use" in capsys.readouterr().err
    lock.release()


@pytest.mark.workflow
def test_two_processes_share_the_prompts_and_give_the_same(tmp_path: Path) -> None:
    one = sampled(tmp_path, "--n", "4", out="one")
    given = ["sample", "--prompts", str(tmp_path / "prompts.jsonl"), *SHORT, "--n", "4", "--out", str(tmp_path / "two")]
    two_ranks(tmp_path, [given])
    two = read(tmp_path / "two")
    assert list(two) == list(one)
    assert [row["tokens"] for row in two.values()] == [row["tokens"] for row in one.values()]
