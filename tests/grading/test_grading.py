"""`halo score`: each scorer against something independent, what failed is asked again, and nothing that is no score becomes one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import folder_of
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from halo.cli.main import main
from halo.completions.scoring import Completed, ScoreGroup, ScorerContext
from halo.grading.options import OfModel
from halo.grading.reward_model import RewardModel
from halo.starter.defaults import POLICY
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

NEAR = 1e-4
"""Of a reward or a mean log-prob in float32, whatever stands beside it in the batch."""
PROMPTS = {
    "sort 312": [{"completion": "123"}, {"completion": "321"}, {"completion": "", "finish": "length"}],
    "sort 9": [{"completion": "9"}, {"completion": "99"}],
}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder = folder_of(tmp_path / "samples", PROMPTS)
    (folder / "scores" / "reward.jsonl").unlink()
    return folder


def scored(folder: Path, *more: str, name: str, code: int = 0) -> list[dict[str, Any]]:
    assert main(["score", str(folder), "--use-cpu", *more]) == code
    file = folder / "scores" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_gold_is_right_or_not(samples: Path) -> None:
    assert [row["score"] for row in scored(samples, "--scorer", "gold", name="gold")] == [1, 0, 0, 1, 0]


def by_hand(prompt: str, completion: str) -> float:
    """The mean log-prob of the answer and its end, from the whole row, one at a time."""
    model, tokenizer = load_model(str(POLICY), Settings()).eval(), load_tokenizer(str(POLICY), Settings())
    head = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
    before = tokenizer(head, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*before, *tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]])
    with torch.no_grad():
        log_p = model(ids).logits[0].log_softmax(-1)
    places = range(len(before), ids.shape[1])
    return sum(float(log_p[place - 1, ids[0, place]]) for place in places) / len(places)


def test_likelihood_is_the_mean_log_prob(samples: Path) -> None:
    rows = scored(samples, "--scorer", f"likelihood:model={POLICY},batch_size=2", "--name", "p", name="p")
    texts = [(prompt, one["completion"]) for prompt, given in PROMPTS.items() for one in given]
    for row, (prompt, completion) in zip(rows, texts, strict=True):
        if not completion:
            assert (row["score"], row["reason"]) == (None, "with an empty completion")
        else:
            assert row["score"] == pytest.approx(by_hand(prompt, completion), abs=NEAR)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence classifier with one label on the embedded policy's body, whose padding token is its end token."""
    folder = tmp_path_factory.mktemp("reward")
    config = AutoConfig.from_pretrained(POLICY, num_labels=1)
    config.pad_token_id = config.eos_token_id
    model = AutoModelForSequenceClassification.from_pretrained(POLICY, config=config)
    torch.manual_seed(0)
    nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    tokenizer = load_tokenizer(str(POLICY), Settings())
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


def group(*completions: Completed) -> ScoreGroup:
    return ScoreGroup("0" * 16, "sort 312", completions, {})


def reward_model(classifier: Path, size: int = 16) -> RewardModel:
    return RewardModel(ScorerContext(OfModel.model_validate({"model": str(classifier), "batch_size": size}), torch.device("cpu")))


def test_a_reward_is_the_head_at_the_last_token(classifier: Path) -> None:
    ours = reward_model(classifier)
    one, other = Completed("123", "end"), Completed("32111111", "end")
    verdict = ours.score([group(one, other)])[0]
    for given, score in zip((one, other), verdict.scores, strict=True):
        ids = ours.ids(group(given), given)
        with torch.no_grad():
            hidden = ours.model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        assert score == pytest.approx(float(ours.model.score(hidden)), abs=NEAR)


def test_an_answer_that_ended_is_told_from_one_that_was_cut(classifier: Path) -> None:
    """Where the padding token is the end token, a classifier left to itself gives both the same reward, to the bit."""
    ours = reward_model(classifier)
    ended, cut = Completed("123", "end"), Completed("123", "length")
    found = ours.score([group(ended, cut)])[0].scores
    assert abs(found[0] - found[1]) > 0.01  # type: ignore[operator]
    rows = [ours.ids(group(one), one) for one in (ended, cut)]
    assert rows[0][:-1] == rows[1]
    naive = []
    for row in rows:
        with torch.no_grad():
            naive.append(float(ours.model(torch.tensor([row])).logits[0, 0]))
    assert naive[0] == naive[1]  # what this test is about


def test_rewards_do_not_depend_on_the_batch(classifier: Path) -> None:
    given = [Completed("1" * size, "end") for size in (1, 9, 3, 20)]
    together, alone = (reward_model(classifier, size).score([group(*given)])[0].scores for size in (4, 1))
    assert together == pytest.approx(alone, abs=NEAR)


SCORES = """
import json
calls = []

def short(prompts, completions, completion_ids, **columns):
    assert len(prompts) == len(completions) == len(completion_ids)
    return [-float(len(text)) for text in completions]

def moody(prompts, completions, completion_ids, **columns):
    calls.append(prompts[0])
    if len(calls) == 1:
        raise TimeoutError("the service is asleep")
    return [None if text == "9" else 1.0 for text in completions]

def short_of_one(prompts, completions, completion_ids, **columns):
    return [1.0]

def endless(prompts, completions, completion_ids, **columns):
    return [float("nan")] * len(completions)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scores.py").write_text(SCORES)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("my_scores", None)


def test_a_function_of_ones_own(samples: Path, functions: None) -> None:
    rows = scored(samples, "--scorer", "function:name=my_scores.short", "--name", "short", name="short")
    assert [row["score"] for row in rows] == [-3, -3, 0, -1, -2]


def test_a_failure_is_no_score_and_is_asked_again(samples: Path, functions: None, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--scorer", "function:name=my_scores.moody", "--name", "moody"]
    rows = scored(samples, *given, name="moody")
    assert [(row["score"], row.get("reason")) for row in rows] == [
        (None, "TimeoutError: the service is asleep"), (None, "TimeoutError: the service is asleep"),
        (None, "TimeoutError: the service is asleep"), (None, "my_scores.moody gave None"), (1.0, None),
    ]  # fmt: skip
    assert "3 have none: TimeoutError: the service is asleep; the same command asks again" in capsys.readouterr().out
    again = scored(samples, *given, name="moody")
    assert [row["score"] for row in again[5:]] == [1, 1, 1, None]  # what had a score is not asked again
    last = {(row["prompt_id"], row["sample"]): row["score"] for row in again}
    assert list(last.values()) == [1, 1, 1, None, 1]


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("my_scores.short_of_one", "my_scores.short_of_one gave 1 scores for 3 completions", 1),
        ("my_scores.nothing", "my_scores.nothing cannot be imported", 2),
        ("nowhere.at_all", "nowhere.at_all cannot be imported", 2),
        ("short", "function names none", 2),
    ],
)
def test_what_is_no_scorer_is_one_message(
    name: str, said: str, code: int, samples: Path, functions: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(samples), "--use-cpu", "--scorer", f"function:name={name}"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_number_that_is_none_is_no_score(samples: Path, functions: None) -> None:
    rows = scored(samples, "--scorer", "function:name=my_scores.endless", name="function")
    assert all(row["score"] is None and "nan" in row["reason"] for row in rows)


PROGRAM = """
import json, sys
for line in sys.stdin:
    group = json.loads(line)
    print(json.dumps({"scores": [len(text) for text in group["completions"]]}), flush=True)
"""


def test_a_program_in_any_language(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "score.py"
    program.write_text(PROGRAM)
    rows = scored(samples, "--scorer", f"command:run={sys.executable} {program}", name="command")
    assert [row["score"] for row in rows] == [3, 3, 0, 1, 2]
    program.write_text("print('hello', flush=True)\n")
    assert main(["score", str(samples), "--name", "other", "--scorer", f"command:run={sys.executable} {program}"]) == 1
    assert "answered 'hello\\n'; a line such as" in capsys.readouterr().err
    program.write_text("import sys; sys.exit(3)\n")
    assert main(["score", str(samples), "--name", "third", "--scorer", f"command:run={sys.executable} {program}"]) == 1
    assert "ended with 3 and gave no answer" in capsys.readouterr().err


def test_scores_of_one_name_are_made_in_one_way(samples: Path, functions: None, capsys: pytest.CaptureFixture[str]) -> None:
    scored(samples, "--scorer", "function:name=my_scores.short", "--name", "mine", name="mine")
    assert main(["score", str(samples), "--scorer", "gold", "--name", "mine"]) == 2
    assert 'was made with scorer "function", and you ask for "gold"' in capsys.readouterr().err


def test_what_is_killed_goes_on(samples: Path) -> None:
    scored(samples, "--scorer", "gold", name="gold")
    file = samples / "scores" / "gold.jsonl"
    whole = file.read_bytes()
    for size in range(0, len(whole), 37):
        file.write_bytes(whole[:size])
        scored(samples, "--scorer", "gold", name="gold")
        assert file.read_bytes() == whole
