"""Conversations of several turns: each question follows the model's own answers, and every promise of `halo sample` holds turn by turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from launched import two_ranks
from test_sampling import KILLED, NEAR, SHORT, held, prompts

from halo.cli.main import main
from halo.completions.scoring import Completed, ScoreGroup, ScorerContext
from halo.data.examples import Example
from halo.data.text.template import Template
from halo.data.tokenized import Sampled, from_ids
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import Place
from halo.grading.gold import Gold
from halo.objective.feedback import DEMONSTRATIONS, SCORED
from halo.sampling.turns import Conversation, next_turn
from halo.scoring.rows import build_rows
from halo.scoring.scorer import Scorer
from halo.starter.defaults import POLICY
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

ASKED: list[dict[str, Any]] = [
    {"question_id": 80 + number, "category": "sorting", "turns": [f"sort {first}", f"sort {second}"]}
    for number, (first, second) in enumerate([(501, 77123), (90210, 64), (31415, 27182), (5, 99999), (8642, 13579)])
]
ASKED.append({"question_id": 90, "category": "sorting", "turns": ["sort 424242", "sort 17", "sort 3021"]})
Rows = dict[tuple[Any, ...], dict[str, Any]]


def told(folder: Path) -> Rows:
    """By questions so far, index of the first answer, and turn."""
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    found = {}
    for row in rows:
        messages = row["prompt"] if isinstance(row["prompt"], list) else [{"role": "user", "content": row["prompt"]}]
        asked = [one["content"] for one in messages if one["role"] == "user"]
        found[(*asked, row.get("first_sample", row["sample"]))] = row
    assert len(found) == len(rows) == len({(row["prompt_id"], row["sample"]) for row in rows})
    return found


def sampled(folder: Path, *more: str, rows: list[dict[str, Any]] = ASKED, out: str = "samples") -> Rows:
    given = ["--prompts", prompts(folder, rows, f"{out}.prompts.jsonl"), "--out", str(folder / out)]
    assert main(["sample", *given, *SHORT, *more]) == 0
    return told(folder / out)


HOT = ["--sampler", "sample:temperature=1.3", "--seed", "4"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return sampled(tmp_path_factory.mktemp("whole"), *HOT, "--n", "3")


def same(found: Rows, whole: Rows) -> None:
    for key, row in found.items():
        assert (row["tokens"], row["prompt"], row["prompt_id"]) == (whole[key]["tokens"], whole[key]["prompt"], whole[key]["prompt_id"])
        assert row["logps"] == pytest.approx(whole[key]["logps"], abs=NEAR)


# -- what a turn is --------------------------------------------------------------------------------------------------------


def test_each_question_follows_the_own_answers(whole: Rows) -> None:
    assert len(whole) == 3 * (5 * 2 + 3)
    for asked in ASKED:
        for k in range(3):
            messages: list[dict[str, str]] = []
            for number, question in enumerate(asked["turns"], 1):
                row = whole[(*asked["turns"][:number], k)]
                messages.append({"role": "user", "content": question})
                assert row["prompt"] == messages
                assert (row["turn"], row["sample"]) == (number, k if number == 1 else 0)
                assert row["conversation"] == whole[(asked["turns"][0], 0)]["prompt_id"]
                messages.append({"role": "assistant", "content": row["completion"]})
    seconds = {row["completion"] for key, row in whole.items() if key[0] == "sort 501"}
    assert len(seconds) > 2


def test_the_prompt_of_a_turn_is_what_training_reads_and_the_template_writes(whole: Rows) -> None:
    """The whole conversation through the template, not the ids that the earlier answer was sampled as."""
    tokenizer = load_tokenizer(str(POLICY), Settings())
    template = Template.of(tokenizer, "auto")
    plain = 0
    for row in whole.values():
        example = Example(DEMONSTRATIONS, tuple(row["prompt"]), ("0123",), Place("x"))
        trained = tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), template))
        assert not isinstance(trained, str)
        (tail,) = trained.tails["completion"]
        assert row["prompt_tokens"] == [*trained.prefix, *tail.ids[: tail.scored.index(True)]]
        if not any(token in one["content"] for one in row["prompt"] for token in tokenizer.all_special_tokens):
            plain += 1
            text = tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
            assert row["prompt_tokens"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert plain > len(whole) / 2


def test_log_probs_are_those_of_training(whole: Rows) -> None:
    scorer = Scorer(load_model(str(POLICY), Settings()))
    for row in [row for row in whole.values() if row["turn"] > 1]:
        example = from_ids(SCORED, row["prompt_tokens"], [Sampled(tuple(row["tokens"]), row["finish"], 1.3, {"score": 0.0})], Place("x"))
        with torch.no_grad():
            logps = scorer(build_rows([example], SCORED.slots)[0])["logp"]
        assert logps.tolist() == pytest.approx(row["logps"], abs=NEAR)


def test_the_first_turn_is_that_of_its_question_alone(whole: Rows, tmp_path: Path) -> None:
    alone = sampled(tmp_path, *HOT, "--n", "3", rows=[{"prompt": asked["turns"][0]} for asked in ASKED])
    for key, row in alone.items():
        assert (row["tokens"], row["prompt_id"]) == (whole[key]["tokens"], whole[key]["prompt_id"])
    one = sampled(tmp_path, *HOT, "--n", "3", rows=[{"turns": [{"content": asked["turns"][0]}]} for asked in ASKED], out="one")
    assert {key: row["tokens"] for key, row in one.items()} == {key: row["tokens"] for key, row in alone.items()}


def test_the_first_question_may_be_shared(whole: Rows, tmp_path: Path) -> None:
    """Then it is asked once; a conversation that stands twice is left out."""
    rows = [{"turns": ["sort 501", "sort 9"]}, *ASKED[:1], {"turns": ["sort 501", "sort 9"]}, {"prompt": "sort 501"}]
    found = sampled(tmp_path, *HOT, "--n", "3", rows=rows)
    assert len(found) == 9
    same({key: row for key, row in found.items() if "sort 9" not in key}, whole)
    left = [json.loads(line) for line in (tmp_path / "samples" / "left-out.jsonl").read_text().splitlines()]
    assert [row["reason"].split(" as ")[0] for row in left] == ["the same conversation", "the same prompt"]


# -- what a sample depends on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["1", "7"])
def test_the_batch_changes_no_completion(size: str, whole: Rows, tmp_path: Path) -> None:
    same(sampled(tmp_path, *HOT, "--n", "3", "--batch-size", size), whole)


def test_neither_order_nor_other_prompts_nor_n_change_a_completion(whole: Rows, tmp_path: Path) -> None:
    others = [{"turns": ["sort 1", "sort 2"]}, *reversed(ASKED[2:]), {"turns": ["sort 123456789987654321", "sort 6"]}]
    found = sampled(tmp_path, *HOT, "--n", "2", rows=others)
    shared = {key: row for key, row in found.items() if key in whole}
    assert len(shared) == 2 * (3 * 2 + 3)
    same(shared, whole)
    more = sampled(tmp_path, *HOT, "--n", "5", rows=ASKED[:3], out="more")
    same({key: row for key, row in more.items() if key[-1] < 3}, whole)


@pytest.mark.slow
def test_two_processes_share_the_turns_and_give_the_same(whole: Rows, tmp_path: Path) -> None:
    many = [{"turns": [f"sort {number}", f"sort {7 * number}"]} for number in range(40)]
    one = sampled(tmp_path, *HOT, "--n", "4", rows=many, out="one")
    given = ["--prompts", str(tmp_path / "one.prompts.jsonl"), "--out", str(tmp_path / "two")]
    two_ranks(tmp_path, [["sample", *given, *SHORT, *HOT, "--n", "4"]])
    two = told(tmp_path / "two")
    assert list(two) == list(one)
    same(two, one)


@pytest.mark.parametrize("batches", [pytest.param(2, marks=pytest.mark.slow), 5])
def test_a_killed_command_goes_on_and_gives_the_same_bytes(batches: int, tmp_path: Path) -> None:
    """Killed within the first turn, and within a later one."""
    sampled(tmp_path, *HOT, "--n", "3", "--batch-size", "5", out="whole")
    given = ["sample", "--prompts", str(tmp_path / "whole.prompts.jsonl"), "--out", str(tmp_path / "killed"), *SHORT, *HOT]
    given += ["--n", "3", "--batch-size", "5"]
    command = [sys.executable, "-c", KILLED, str(batches), "0.6", *given]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **threads})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "killed" / "turn-2-part-0.jsonl").exists() == (batches == 5)
    assert main(given) == 0
    assert held(tmp_path / "killed") == held(tmp_path / "whole")


# -- what is odd -----------------------------------------------------------------------------------------------------------


def test_a_cut_answer_is_kept_and_told(tmp_path: Path) -> None:
    given = ["--prompts", prompts(tmp_path, ASKED[-1:]), "--out", str(tmp_path / "samples"), "--max-new-tokens", "1", "--use-cpu"]
    assert main(["sample", *given]) == 0
    found = told(tmp_path / "samples")
    assert [row["earlier"] for row in found.values() if row["turn"] > 1] == [["length"], ["length", "length"]]
    third = found[(*ASKED[-1]["turns"], 0)]
    assert [one["role"] for one in third["prompt"]] == ["user", "assistant", "user", "assistant", "user"]


def test_an_empty_answer_is_kept_and_told(tmp_path: Path) -> None:
    found = sampled(tmp_path, "--stop", ",".join("0123456789"), rows=ASKED[:1])
    second = found[(*ASKED[0]["turns"], 0)]
    assert found[("sort 501", 0)]["completion"] == ""
    assert second["earlier"] == ["empty"]
    assert second["prompt"][1] == {"role": "assistant", "content": ""}


def test_a_question_that_leaves_no_room_is_left_out_with_its_reason(tmp_path: Path) -> None:
    rows = [{"turns": ["sort 1", "sort " + "1" * 500, "sort 3"]}, *ASKED[:1]]
    found = sampled(tmp_path, "--n", "2", rows=rows)
    assert [row["turn"] for row in found.values()] == [1, 1, 1, 1, 2, 2]
    left = [json.loads(line) for line in (tmp_path / "samples" / "left-out.jsonl").read_text().splitlines()]
    assert [(row["turn"], row["first_sample"], row["place"]) for row in left] == [
        (2, k, f"{tmp_path / 'samples.prompts.jsonl'}:1") for k in range(2)
    ]
    assert all("tokens in turn 2, of which at most" in row["reason"] for row in left)


def test_whoever_writes_texts_elsewhere_is_asked_in_turns_too() -> None:
    """Without a tokenizer here: messages without ids. Both completions of the first turn go on, by their own answer."""
    one = Conversation(("a", "b", "c"), (), 1, {"turns": ["a", "b", "c"]}, Place("x"))
    first = {(one.first, k): {"prompt": "a", "completion": f"A{k}", "finish": ""} for k in range(2)}
    second = next_turn([one], 2, 2, first, None, None).prompts
    assert [[turn["content"] for turn in asked.text] for asked in second] == [["a", "A0", "b"], ["a", "A1", "b"]]  # type: ignore[index]
    answers = {(asked.key, 0): {"prompt": asked.text, "completion": "B", "finish": "", "earlier": [""]} for asked in second}
    third = next_turn([one], 3, 2, answers, None, None).prompts
    assert [[turn["content"] for turn in asked.text][-2:] for asked in third] == [["B", "c"], ["B", "c"]]  # type: ignore[index]
    assert len({asked.key for asked in (*second, *third)}) == 4
    assert all(asked.ids == () for asked in (*second, *third))


@pytest.mark.parametrize(
    ("row", "more", "said"),
    [
        (ASKED[0], ["--sampler", "beam"], "--sampler: beam asks no second question, and the data has conversations of 2 turns"),
        (ASKED[0], ["--sampler", "diverse-beam"], "--sampler: diverse-beam asks no second question"),
        (ASKED[0], ["--sampler", "given:columns=category"], "--sampler: given asks no second question"),
        (ASKED[0], ["--chat-template", "never"], ":1: the data holds conversations of several turns; use a tokenizer with a chat template"),
        ({"prompt": "a", "turns": ["b", "c"]}, [], ":1: the row has a prompt and turns; --data-columns prompt=prompt or turns=turns"),
        ({"asked": "a"}, ["--data-columns", "turns=asked"], ":1: turns is str; a list of texts"),
        ({"turns": ["a", " "]}, [], "no prompt is left: a question of the conversation is empty"),
    ],
)
def test_bad_input_is_one_message(row: Any, more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--prompts", prompts(tmp_path, [row]), "--out", str(tmp_path / "samples"), "--use-cpu", *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


# -- the commands after it -------------------------------------------------------------------------------------------------


def test_the_last_answer_is_scored_after_its_own_conversation(tmp_path: Path) -> None:
    """The likelihood under the policy that sampled is the mean of the log-probs that it stored."""
    rows = sampled(tmp_path, "--n", "2", rows=ASKED[-2:])
    assert main(["score", str(tmp_path / "samples"), "--scorer", f"likelihood:model={POLICY}", "--use-cpu"]) == 0
    file = tmp_path / "samples" / "scores" / "likelihood.jsonl"
    scores = {(row["prompt_id"], row["sample"]): row["score"] for row in map(json.loads, file.read_text().splitlines())}
    assert len(scores) == len(rows) == 10
    for row in rows.values():
        assert scores[(row["prompt_id"], row["sample"])] == pytest.approx(sum(row["logps"]) / len(row["logps"]), abs=NEAR)


def test_the_gold_score_is_of_the_last_question(whole: Rows) -> None:
    for row in [row for row in whole.values() if row["turn"] > 1]:
        digits = "".join(sorted(row["prompt"][-1]["content"].removeprefix("sort ")))
        group = ScoreGroup("k", row["prompt"], (Completed(digits, "end"), Completed(f"{digits}0", "end")), {})
        assert Gold(ScorerContext(None, None)).score([group])[0].scores == (1.0, 0.0)


def test_answers_after_different_conversations_are_no_pair(tmp_path: Path) -> None:
    """Of one folder and of two: a model's second answer stands against none that follows another first answer."""
    for out, seed in (("one", "1"), ("two", "2")):
        sampled(tmp_path, "--n", "3", "--seed", seed, "--sampler", "sample:temperature=1.5", rows=ASKED, out=out)
        assert main(["score", str(tmp_path / out), "--scorer", f"likelihood:model={POLICY}", "--name", "p", "--use-cpu"]) == 0
    file = tmp_path / "pairs.jsonl"
    given = ["--by", "p", "--rule", "all", "--keep-cut", "--out", str(file)]
    assert main(["pair", str(tmp_path / "one"), str(tmp_path / "two"), *given]) == 0
    said: dict[tuple[str, str], set[str]] = {}
    for out in ("one", "two"):
        for row in told(tmp_path / out).values():
            said.setdefault((json.dumps(row["prompt"]), row["completion"].strip()), set()).add(row["prompt_id"])
    pairs = [json.loads(line) for line in file.read_text().splitlines()]
    assert pairs
    for pair in pairs:
        for side in ("chosen", "rejected"):
            assert pair["prompt_id"] in said[(json.dumps(pair["prompt"]), pair[side].strip())]
