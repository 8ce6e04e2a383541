"""The scorer `grade` and the sampler `endpoint` across HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replying import Server, folder_of, rows_of, serving

import halo
from halo.cli.main import main

ROWS = [{"prompt": "Say a.", "a": "a", "b": "aa"}, {"prompt": "Say b.", "a": "bbb", "b": "bbb"}]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def text_of(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"].split("<answer>\n")[1].split("\n</answer>")[0])


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda body: f"It has letters.\nScore: {2 * len(text_of(body))}") as found:
        yield found


def test_a_grade_is_of_one_answer(tmp_path: Path, server: Server) -> None:
    folder, said = folder_of(tmp_path / "samples", ROWS, "a+b"), list[str]()
    halo.score(folder, f"grade:url={server.url},model=m,price=1000+2000", say=said.append)
    rows = rows_of(folder, "grade")
    assert [row["score"] for row in rows] == [2, 4, 6, 6]
    # 100 tokens in at a thousandth and 10 out at two: 0.12 a question, which equal answers share
    assert [row["parts"] for row in rows] == [{"questions": 1, "cost": pytest.approx(cost)} for cost in (0.12, 0.12, 0.06, 0.06)]
    assert len(server.asked) == 3  # equal answers to a prompt are one question
    assert "3 questions to m" in said[0]
    assert sum("<prompt>\nSay a.\n</prompt>" in body["messages"][0]["content"] for body in server.asked) == 2


def test_a_grade_off_the_scale_is_none(tmp_path: Path, server: Server) -> None:
    folder = folder_of(tmp_path / "samples", [{"prompt": "?", "a": "a", "b": "six letters"}], "a+b")
    halo.score(folder, f"grade:url={server.url},model=m", say=lambda line: None)
    assert [(row["score"], row.get("reason")) for row in rows_of(folder, "grade")] == [
        (2, None),
        (None, "the score 22 is not from 1 to 10"),
    ]


# -- the sampler -----------------------------------------------------------------------------------------------------------

PROMPTS: list[dict[str, Any]] = [
    {"prompt": "One?"},
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]},
]


def sampled(folder: Path, prompts: Path, server: Server, more: str = "", **settings: Any) -> list[dict[str, Any]]:
    prompts.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    given = {"prompts": str(prompts), "n": 2, "out": str(folder), "say": lambda line: None, **settings}
    halo.sample(sampler=f"endpoint:url={server.url},model=m,retries=0{more}", **given)
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def test_an_endpoint_writes_what_it_is_asked(tmp_path: Path, server: Server) -> None:
    """Each completion has a seed of its own, which its prompt and index decide; a conversation goes as it is."""
    server.answer = lambda body: f"{body['messages'][-1]['content']} {body['seed']}"
    rows = sampled(tmp_path / "one", tmp_path / "p.jsonl", server, max_new_tokens=9)
    assert len({row["completion"] for row in rows}) == 4
    assert [row["finish"] for row in rows] == ["end"] * 4
    assert not any("tokens" in row or "logps" in row for row in rows)
    assert {(body["max_completion_tokens"], body["temperature"]) for body in server.asked} == {(9, 1.0)}
    assert [body["messages"] for body in server.asked if len(body["messages"]) == 2] == [PROMPTS[1]["prompt"]] * 2
    more = sampled(tmp_path / "more", tmp_path / "p.jsonl", server, n=3, max_new_tokens=9)
    assert [row["completion"] for row in more if row["sample"] < 2] == [row["completion"] for row in rows]
    assert len(server.asked) == 6  # of which four were kept
    other = sampled(tmp_path / "other", tmp_path / "p.jsonl", server, max_new_tokens=9, seed=1)
    assert not {row["completion"] for row in other} & {row["completion"] for row in more}


def test_how_a_completion_ended(tmp_path: Path, server: Server) -> None:
    server.answer = lambda body: "first line\nsecond" if len(body["messages"]) == 2 else "one line"
    server.finish = "length"
    rows = sampled(tmp_path / "cut", tmp_path / "p.jsonl", server, stop=["\n"])
    assert [(row["completion"], row["finish"]) for row in rows] == [("one line", "length")] * 2 + [("first line", "stop")] * 2
    assert server.asked[0]["max_completion_tokens"] == 256


def test_what_it_was_asked_for_stands_in_the_manifest(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer = lambda body: "yes"
    sampled(tmp_path / "one", tmp_path / "p.jsonl", server, ",parallel=2", max_new_tokens=9)
    again = ["sample", "--prompts", str(tmp_path / "p.jsonl"), "--n", "2", "--out", str(tmp_path / "one")]
    sampler = f"endpoint:url={server.url},model=m"
    assert main([*again, "--sampler", sampler, "--max-new-tokens", "9"]) == 0
    assert main([*again, "--sampler", sampler, "--max-new-tokens", "8"]) == 2
    assert "was made with max_new_tokens 9, and you ask for 8" in capsys.readouterr().err


def test_a_completion_that_cannot_be_had_stops_the_command_which_goes_on(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda body: (500, {"error": {"message": "busy"}}) if len(server.asked) == 3 else f"{body['seed']}"
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    words = ["sample", "--prompts", str(prompts), "--n", "2", "--out", str(tmp_path / "out")]
    words += ["--sampler", f"endpoint:url={server.url},model=m,retries=0,parallel=1,price=1+2"]
    assert main(words) == 1
    told = capsys.readouterr()
    assert "has no completion: 500: busy; what was answered is kept: the same command goes on" in told.err
    assert "endpoint   m at" in told.out
    assert "at most 256 tokens out for each completion, at most 0.000512 for them" in told.out
    before = len(server.asked)
    assert main(words) == 0
    assert len(server.asked) - before <= 2
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == 4
