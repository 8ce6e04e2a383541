"""The sampler `vllm` across HTTP: ids arrive as they are, log-probs are the policy's at the temperature, and a wrong server is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from halo_vllm.mode import check_mode
from vllm_double import Double, serving

import halo
from halo.cli.main import main
from halo.plugin import RunFailed
from halo.testing import policy, template

NEAR = 1e-4
"""Nats of a token's log-prob in float32, computed twice with other shapes."""
PROMPTS = [{"prompt": f"sort {digits}"} for digits in (312, 4477, 80)]


@pytest.fixture(scope="module")
def running() -> Iterator[Double]:
    with serving() as found:
        yield found


@pytest.fixture
def double(running: Double) -> Double:
    running.names, running.mode, running.broken, running.extra = ["smol"], "processed_logprobs", 0, {}
    running.asked.clear()
    running.keys.clear()
    return running


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    return str(file)


def words(double: Double, prompts: str, more: str = "", out: str = "out") -> list[str]:
    given = ["sample", "--prompts", prompts, "--n", "3", "--max-new-tokens", "8", "--out", str(Path(prompts).with_name(out))]
    return [*given, "--sampler", f"vllm:url={double.url},retries=0{more}"]


def sampled(double: Double, prompts: str, more: str = "", out: str = "out", **settings: Any) -> list[dict[str, Any]]:
    folder = Path(prompts).with_name(out)
    given = {"prompts": prompts, "n": 3, "max_new_tokens": 8, "out": str(folder), "say": lambda line: None, **settings}
    halo.sample(sampler=f"vllm:url={double.url},retries=0{more}", **given)
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_ids_go_in_and_ids_come_out(double: Double, prompts: str) -> None:
    rows = sampled(double, prompts)
    asked = {(tuple(body["prompt"]), body["seed"]): body for body in double.samples}
    assert len(asked) == len({body["seed"] for body in double.samples}) == 9
    assert sorted(map(tuple, (row["prompt_tokens"] for row in rows))) == sorted(prompt for prompt, _ in asked)
    neutral = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "max_tokens": 8, "logprobs": 0}
    for body in double.samples:
        assert {name: body[name] for name in neutral} == neutral
    tokenizer = template().tokenizer
    for row in rows:
        ended = row["tokens"][-1] == tokenizer.eos_token_id
        assert row["finish"] == ("end" if ended else "length")
        assert ended or len(row["tokens"]) == 8
        assert row["completion"] == tokenizer.decode(row["tokens"][:-1] if ended else row["tokens"])


def test_log_probs_are_the_policys_at_the_temperature(double: Double, prompts: str) -> None:
    model = policy().eval()
    for row in sampled(double, prompts, ",temperature=0.7"):
        before = len(row["prompt_tokens"])
        with torch.no_grad():
            log_p = (model(torch.tensor([row["prompt_tokens"] + row["tokens"]])).logits[0].double() / 0.7).log_softmax(-1)
        own = [float(log_p[before + place - 1, token]) for place, token in enumerate(row["tokens"])]
        assert row["logps"] == pytest.approx(own, abs=NEAR)


def test_a_seed_belongs_to_prompt_and_index(double: Double, prompts: str) -> None:
    """So that a server which is repeatable repeats itself, whatever the batch and n."""
    rows = sampled(double, prompts)
    more = sampled(double, prompts, out="more", n=4, batch_size=2)
    assert [row["tokens"] for row in more if row["sample"] < 3] == [row["tokens"] for row in rows]
    other = sampled(double, prompts, out="other", seed=1)
    assert [row["tokens"] for row in other] != [row["tokens"] for row in rows]


def test_a_stop_text_leaves_nothing_of_itself(double: Double, prompts: str) -> None:
    """The embedded policy's tokens are characters: a stop text of two of them reaches over a border."""
    whole = sampled(double, prompts)
    stop = next(row["completion"][1:3] for row in whole if len(row["completion"]) > 3)
    rows, tokenizer = sampled(double, prompts, out="stopped", stop=[stop]), template().tokenizer
    stopped = [row for row in rows if row["finish"] == "stop"]
    assert stopped
    for row, before in zip(rows, whole, strict=True):
        at = before["completion"].find(stop)
        assert row["completion"] == (before["completion"][:at] if at >= 0 else before["completion"])
        assert (row["finish"] == "stop") == (at >= 0)
        if at >= 0:
            assert tokenizer.decode(row["tokens"]) == row["completion"]
        assert len(row["logps"]) == len(row["tokens"])


def test_under_a_cut_there_are_no_log_probs(double: Double, prompts: str) -> None:
    """The server's are of what was left of the distribution, and no mass is told with them."""
    rows = sampled(double, prompts, ",top_p=0.9,top_k=5,min_p=0.01")
    assert {(body["top_p"], body["top_k"], body["min_p"]) for body in double.samples} == {(0.9, 5, 0.01)}
    assert all("tokens" in row and "logps" not in row and "kept" not in row for row in rows)


@pytest.mark.slow
def test_samples_are_the_policys_own(double: Double, prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way: what the server wrote, paired by length and trained on, is found to be on-policy."""
    sampled(double, prompts, ",temperature=1.3")
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    scores = [
        {"prompt_id": row["prompt_id"], "sample": row["sample"], "score": len(row["completion"]) + row["sample"] / 10} for row in rows
    ]
    (tmp_path / "out" / "scores").mkdir()
    (tmp_path / "out" / "scores" / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    pairs = tmp_path / "pairs.jsonl"
    assert main(["pair", str(tmp_path / "out"), "--by", "mine", "--keep-cut", "true", "--out", str(pairs)]) == 0
    said = ["train", "simpo", "--data", str(pairs), "--max-steps", "1", "--use-cpu", "true", "--bf16", "false"]
    assert main([*said, "--output-dir", str(tmp_path / "run")]) == 0
    assert "on-policy: the policy's log-probs are those of the samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("raw_logprobs", "the server's log-probs do not know its temperature"),
        ("processed_logits", "the server gives logits, not log-probs"),
    ],
)
def test_a_server_in_another_mode_is_refused(
    mode: str, said: str, double: Double, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    double.mode = mode
    assert main(words(double, prompts)) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "--logprobs-mode processed_logprobs" in err
    assert double.samples == []


def test_the_mode_is_told_by_numbers() -> None:
    """Log-softmax of the logits 4, 2 and 0 at the temperature, or not; a flat distribution tells nothing and is let through."""

    def asked(warm: bool, logits: tuple[float, ...]) -> Any:
        def ask(temperature: float) -> dict[str, float]:
            log_p = torch.tensor(logits).div(temperature if warm else 1.0).log_softmax(-1).tolist()
            return {str(place): one for place, one in enumerate(log_p)}

        return ask

    check_mode(asked(True, (4, 2, 0)), "vllm serve")
    check_mode(asked(False, (1, 1, 1)), "vllm serve")
    with pytest.raises(RunFailed):
        check_mode(asked(False, (4, 2, 0)), "vllm serve")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"token_ids": None}, "the server's reply holds no token ids with their log-probs"),
        ({"logprobs": None}, "the server's reply holds no token ids with their log-probs"),
        ({"prompt_token_ids": [1, 1, 2]}, "the server read 3 other ids than the"),
        ({"token_ids": [40], "logprobs": {"token_logprobs": [-1.0]}, "finish_reason": "stop", "stop_reason": 40}, "the id 40, which ends none"),
        ({"token_ids": [40, 41], "logprobs": {"token_logprobs": [-1.0]}}, "the server gave 2 ids with 1 log-probs"),
        ({"finish_reason": "abort"}, "ended by 'abort'"),
    ],
)  # fmt: skip
def test_a_reply_that_is_not_as_it_must_be_is_refused(
    extra: dict[str, Any], said: str, double: Double, prompts: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_vllm.served.check_mode", lambda ask, command: None)
    double.extra = extra
    assert main(words(double, prompts)) == 1
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "more", "code", "said"),
    [
        (["smol"], ",model=smoll", 2, "has no model smoll; did you mean 'smol'?"),
        (["one", "other"], "", 2, "has several models; known: one, other"),
        ([], "", 2, "has no model; start it with vllm serve MODEL"),
        (["one", "other"], ",model=other", 0, ""),
    ],
)
def test_the_model_is_one_that_the_server_has(
    names: list[str], more: str, code: int, said: str, double: Double, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    double.names = names
    assert main(words(double, prompts, more)) == code
    told = capsys.readouterr()
    assert said in told.err
    if code == 0:
        assert {body["model"] for body in double.asked} == {"other"}
        assert "vllm       other at http://127.0.0.1" in told.out
        assert "(FOLDER); nothing can verify its weights" in told.out


def test_a_server_that_fails_is_one_message_and_the_command_goes_on(
    double: Double, prompts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sampled(double, prompts)
    double.broken = 503
    assert main(words(double, prompts, out="again")) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "refused with 503: " in err
    double.broken = 0
    assert main(words(double, prompts, out="again")) == 0
    rows = [json.loads(line) for line in (tmp_path / "again" / "samples.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in rows] == [row["tokens"] for row in whole]


def test_a_server_that_is_not_there_is_one_message(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as gone:
        pass
    assert main(words(gone, prompts)) == 1
    err = capsys.readouterr().err
    assert f"the server at {gone.url} does not answer" in err
    assert "start it with vllm serve MODEL --logprobs-mode processed_logprobs" in err


def test_the_key_is_sent_and_never_shown(
    double: Double, prompts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "a-secret")
    double.broken = 401
    assert main(words(double, prompts)) == 1
    assert set(double.keys) == {"Bearer a-secret"}
    told = capsys.readouterr()
    assert "refused with 401; put its key into the environment as VLLM_API_KEY" in told.err
    double.broken = 500
    assert main(words(double, prompts, out="more")) == 1
    told_more = capsys.readouterr()
    assert "a-secret" not in told.out + told.err + told_more.out + told_more.err
    double.broken = 0
    assert main(words(double, prompts)) == 0
    assert [file for file in tmp_path.rglob("*") if file.is_file() and "a-secret" in file.read_text()] == []
