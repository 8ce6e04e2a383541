"""The scorer `judge` across HTTP: both orders, ties and flips by hand, what costs nothing twice, and what is no verdict."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from halo_judges.verdicts import Unreadable, score_of, verdict_of
from replying import Server, answers_of, folder_of, longer, rows_of, serving

import halo
from halo.cli.main import main
from halo.plugin import RunFailed, SettingsError

ROWS = [{"prompt": "Say a.", "a": "a", "b": "aa", "c": "aaaa"}, {"prompt": "Say b.", "a": "bbb", "b": "b", "c": "b"}]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "samples", ROWS)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(longer) as found:
        yield found


def scored(folder: Path, server: Server, more: str = "", name: str = "judge") -> tuple[list[dict[str, Any]], str]:
    """The rows, and what was said."""
    said: list[str] = []
    halo.score(folder, f"judge:url={server.url},model=m,retries=0{more}", name=name, say=said.append)
    return rows_of(folder, name), "\n".join(said)


def scores(rows: list[dict[str, Any]]) -> list[float | None]:
    return [row["score"] for row in rows]


def test_a_score_is_the_mean_over_opponents_and_orders(samples: Path, server: Server) -> None:
    rows, said = scored(samples, server)
    assert scores(rows) == [0, 0.5, 1, 1, 0.25, 0.25]  # of "b" and "b": a loss, and a tie with the other
    assert sorted(server.compared) == sorted([*itertools.permutations(["a", "aa", "aaaa"], 2), ("bbb", "b"), ("b", "bbb")])
    assert [(row["parts"]["comparisons"], row["parts"]["questions"], row["parts"]["flips"]) for row in rows] == [
        (2, 4, 0), (2, 4, 0), (2, 4, 0), (1, 2, 0), (1, 2, 0), (1, 2, 0),
    ]  # fmt: skip
    assert "4 comparisons: 0.0% changed with the order; the answer that stood first got 50.0%" in said


def test_one_that_always_likes_the_first_flips_every_time(samples: Path, server: Server) -> None:
    server.answer = lambda body: "[[A]]"
    rows, said = scored(samples, server)
    assert scores(rows) == [0.5] * 6
    assert [row["parts"]["flips"] for row in rows] == [2, 2, 2, 1, 1, 1]
    assert "4 comparisons: 100.0% changed with the order; the answer that stood first got 100.0%" in said


def test_a_win_in_one_order_and_a_tie_in_the_other(tmp_path: Path, server: Server) -> None:
    server.answer = lambda body: "Verdict: A" if answers_of(body) == ("y", "x") else "Verdict: tie"
    folder = folder_of(tmp_path / "two", [{"prompt": "?", "a": "x", "b": "y"}], "a+b")
    rows, said = scored(folder, server)
    assert scores(rows) == [0.25, 0.75]
    assert [row["parts"]["flips"] for row in rows] == [1, 1]
    assert "100.0% changed with the order; the answer that stood first got 75.0%" in said


def test_the_order_of_completions_does_not_matter(tmp_path: Path, server: Server) -> None:
    """Nor is anything asked twice: questions are the same ones."""
    server.answer = lambda body: f"Verdict: {'A' if crc32(repr(answers_of(body)).encode()) % 2 else 'B'}"  # with a whim for each order
    first, _ = scored(folder_of(tmp_path / "one", ROWS, "a+b+c"), server)
    asked = len(server.asked)
    other, _ = scored(folder_of(tmp_path / "other", ROWS, "c+a+b"), server)
    assert scores(other) == [scores(first)[place] for place in (2, 0, 1, 5, 3, 4)]
    assert [row["parts"] for row in other] == [first[place]["parts"] for place in (2, 0, 1, 5, 3, 4)]
    assert len(server.asked) == asked == 8


def test_a_completion_alone_has_no_score(tmp_path: Path, server: Server) -> None:
    rows, _ = scored(folder_of(tmp_path / "one", ROWS, "a"), server)
    assert [(row["score"], row["reason"]) for row in rows] == [(None, "there is no other completion to compare it with")] * 2
    assert server.asked == []


def test_nothing_is_asked_twice(samples: Path, server: Server) -> None:
    first, said = scored(samples, server, ",price=1000+2000")
    assert "8 questions to m" in said
    assert "0 answered before, 8 to ask" in said
    again, said = scored(samples, server, ",price=1000+2000", "again")
    assert again == first
    assert "8 answered before, 0 to ask" in said
    assert len(server.asked) == 8
    # 100 tokens in and 10 out each, at a thousandth and two of them: 0.12 a question, a half for each side, which equal answers share
    assert [row["parts"]["cost"] for row in first] == pytest.approx([0.24, 0.24, 0.24, 0.12, 0.06, 0.06])


def test_what_is_kept_and_damaged_is_asked_again(samples: Path, tmp_path: Path, server: Server) -> None:
    """Torn, without a verdict, another question's, or no reply at all."""
    first, _ = scored(samples, server)
    torn, empty, other, none = sorted((tmp_path / "cache").rglob("*.json"))[:4]
    torn.write_text(torn.read_text()[:-9])
    told = json.loads(empty.read_text())
    told["reply"]["text"] = "Well."
    empty.write_text(json.dumps(told))
    other.write_text(none.read_text())
    none.write_text("[]")
    again, said = scored(samples, server, name="again")
    assert again == first
    assert "4 answered before, 4 to ask" in said


def test_another_model_or_temperature_is_another_question(samples: Path, server: Server) -> None:
    scored(samples, server)
    scored(samples, server, ",temperature=0.5", "warm")
    assert [body["temperature"] for body in server.asked] == [0.0] * 8 + [0.5] * 8
    halo.score(samples, f"judge:url={server.url},model=other,temperature=none", name="other", say=lambda line: None)
    assert {body["model"] for body in server.asked[16:]} == {"other"}
    assert not any("temperature" in body for body in server.asked[16:])


def test_what_it_costs_is_said_before_anything_is_asked(samples: Path, server: Server) -> None:
    with pytest.raises(SettingsError, match="8 questions are to be asked, and limit=7 allows no more than that: none was asked; limit=8"):
        scored(samples, server, ",limit=7")
    assert server.asked == []
    said: list[str] = []
    with pytest.raises(SettingsError):
        halo.score(samples, f"judge:url={server.url},model=m,limit=0,price=1+2,max_tokens=100", name="priced", say=said.append)
    counted = (
        r"judge      8 questions to m at \S+: 0 answered before, 8 to ask, about [\d,]+ tokens in and at most 800 out, about [\d.]+ at most"
    )
    assert len(said) == 1
    assert re.fullmatch(counted, said[0])
    rows, said_ = scored(samples, server, ",limit=8")  # the limit is no part of what scores are made with
    assert None not in scores(rows)
    assert "8 asked: 800 tokens in, 80 out; 0 without a usable reply" in said_


def test_a_server_that_asks_to_wait_is_asked_again(samples: Path, server: Server) -> None:
    turned_away = []

    def busy(body: dict[str, Any]) -> Any:
        if body["messages"] in turned_away:
            return longer(body)
        turned_away.append(body["messages"])
        return 429, {"error": {"message": "slow down"}}

    server.answer, server.headers = busy, {"retry-after-ms": "1", "Retry-After": "0"}
    said: list[str] = []
    halo.score(samples, f"judge:url={server.url},model=m,retries=1,parallel=1", say=said.append)
    assert scores(rows_of(samples, "judge")) == [0, 0.5, 1, 1, 0.25, 0.25]
    assert len(server.asked) == 16


NOTHING: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda body: (500, {"error": {"message": "out of memory"}}), "500: out of memory"),
    (lambda body: (200, "{not json"), "the endpoint's reply cannot be read: "),
    (lambda body: (200, {"choices": []}), "the endpoint's reply is no chat completion"),
    (
        lambda body: "Both are fine, I think A is a bit better.",
        "the reply holds no verdict: it ends with 'Both are fine, I think A is a bit better.'",
    ),
    (lambda body: "Verdict: A\nVerdict: B", "the reply holds several verdicts: A, B"),
    (lambda body: "", "the reply holds no verdict: it is empty"),
]


@pytest.mark.parametrize(("answer", "reason"), NOTHING)
def test_what_is_no_verdict_is_no_number_and_is_asked_again(
    answer: Callable[[dict[str, Any]], Any], reason: str, tmp_path: Path, server: Server
) -> None:
    folder = folder_of(tmp_path / "samples", [{"prompt": "?", "a": "x", "b": "xx", "c": "xxx"}])
    server.answer = lambda body: answer(body) if set(answers_of(body)) == {"x", "xx"} else longer(body)
    rows, said = scored(folder, server)
    assert scores(rows) == [None, None, 1]  # those that it concerns, and nobody else
    assert rows[0]["reason"].startswith(reason)
    assert "6 asked: " in said
    assert "2 without a usable reply" in said
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 4  # a reply that says nothing is not kept
    server.answer, before = longer, len(server.asked)
    rows, _ = scored(folder, server)
    assert scores(rows) == [0, 0.5, 1]
    assert {frozenset(pair) for pair in server.compared[before:]} == {frozenset({"x", "xx"})}


def test_a_reply_that_was_cut_is_none(samples: Path, server: Server) -> None:
    server.finish = "length"
    rows, _ = scored(samples, server, ",max_tokens=7")
    assert {row["reason"] for row in rows} == {"the reply was cut after 7 tokens"}
    assert server.asked[0]["max_completion_tokens"] == 7


def test_an_endpoint_that_only_fails_ends_the_run(tmp_path: Path, server: Server) -> None:
    server.answer = lambda body: (500, "")
    folder = folder_of(tmp_path / "many", [{"prompt": str(number), "a": "x", "b": "y"} for number in range(20)], "a+b")
    with pytest.raises(RunFailed, match="8 questions failed one after the other, the last with: 500"):
        scored(folder, server, ",parallel=1")
    assert len(server.asked) < 40


def test_what_was_answered_before_it_broke_is_not_asked_again(samples: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer = lambda body: longer(body) if len(server.asked) <= 3 else (429, {"error": {"message": "no credit is left"}})
    assert main(["score", str(samples), "--scorer", f"judge:url={server.url},model=m,retries=0,parallel=1"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "wants no more questions now: 429" in err
    assert "what was answered is kept: the same command goes on" in err
    kept, before = server.asked[:3], len(server.asked)
    server.answer = longer
    rows, _ = scored(samples, server)
    assert scores(rows) == [0, 0.5, 1, 1, 0.25, 0.25]
    assert len(server.asked) - before == 5
    assert not any(body in server.asked[before:] for body in kept)


def test_an_endpoint_that_is_down_is_one_message(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(longer) as gone:
        pass
    assert main(["score", str(samples), "--scorer", f"judge:url={gone.url},model=m,retries=0"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert f"the endpoint {gone.url} does not answer; start it, or name another url" in err


SECRET = "sk-a-secret-0123456789"


def test_the_key_comes_from_the_environment_and_goes_nowhere(
    samples: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where an endpoint says it back, in a reply or in an error."""
    monkeypatch.setenv("MY_KEY", SECRET)
    server.answer = lambda body: f"{SECRET}\n{longer(body)}" if answers_of(body)[0] < answers_of(body)[1] else (500, f"no {SECRET}")
    assert main(["score", str(samples), "--scorer", f"judge:url={server.url},model=m,retries=0,key=MY_KEY"]) == 0
    assert set(server.keys) == {f"Bearer {SECRET}"}
    assert any("***" in (row["reason"] or "") for row in rows_of(samples, "judge"))
    server.answer = lambda body: (401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}})
    assert main(["score", str(samples), "--scorer", f"judge:url={server.url},model=m,retries=0,key=MY_KEY"]) == 2
    captured = capsys.readouterr()
    assert "MY_KEY: http://127.0.0.1" in captured.err
    assert "refused the key in MY_KEY (401)" in captured.err
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any("judges" in file.parts for file in files)
    assert [file for file in files if SECRET in file.read_text()] == []
    assert SECRET not in captured.out + captured.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("judge:model=m", "there is no endpoint"),
        ("judge:url=http://localhost:1/v1", "there is no model"),
        (f"judge:url=http://localhost:1/v1,model=m,key={SECRET}", "key is the name of an environment variable, never a key"),
        ("judge:url=localhost,model=m", "url=localhost: no address, such as http://localhost:8000/v1"),
        ("judge:url=http://me:pw@localhost/v1,model=m", "a key belongs into the environment"),
        ("judge:url=http://localhost:1/v1,model=m,price=cheap", "price=cheap: not two numbers joined by +"),
        ("judge:url=http://localhost:1/v1,model=m,template=nowhere.txt", "nowhere.txt: the template cannot be read"),
    ],
)
def test_a_mistake_is_one_message(given: str, said: str, samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(samples), "--scorer", given]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert SECRET not in err


def test_the_environment_says_where(samples: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    halo.score(samples, "judge:model=m", say=lambda line: None)
    assert len(server.asked) == 8


def test_a_template_of_ones_own(tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Places are filled at once: what an answer holds in braces is an answer's. Further columns of the prompt's row may be used."""
    template = tmp_path / "mine.txt"
    template.write_text('{"right": "{gold}"} {prompt} | {first} | {second} | {unknown}')
    server.answer = lambda body: "[[C]]"
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    folder = folder_of(tmp_path / "samples", [{"prompt": prompt, "a": "{second}", "b": "4", "gold": "four"}], "a+b")
    rows, _ = scored(folder, server, f",template={template}")
    assert scores(rows) == [0.5, 0.5]
    head = '{"right": "four"} system: Be brief.\n\nuser: 2 + 2? |'
    assert sorted(body["messages"][0]["content"] for body in server.asked) == [
        f"{head} 4 | {{second}} | {{unknown}}",
        f"{head} {{second}} | 4 | {{unknown}}",
    ]
    template.write_text(template.read_text() + "!")
    assert main(["score", str(folder), "--scorer", f"judge:url={server.url},model=m,template={template}"]) == 2
    assert "was made with template" in capsys.readouterr().err
    template.write_text("{prompt} {first}")
    assert main(["score", str(folder), "--scorer", f"judge:url={server.url},model=m,template={template}"]) == 2
    assert "the template has no {second}; a template has {prompt}, {first}, {second}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Verdict: A", "A"), ("so it is\n\n**Verdict:** B", "B"), ("verdict: TIE.", "tie"), ("[[A]]", "A"),
        ("My final verdict is [[C]]", "tie"),
        ("[[A>>B]]", "A"), ("[[B>A]]", "B"), ("[[A=B]]", "tie"), ("Verdict: B and again\nVerdict: B", "B"),
        ("<think>Verdict: A</think>Verdict: B", "B"), ("Verdict: Answer B", None), ("A", None), ("The Verdict: A is what I say", None),
        ("[[D]]", None),
        ("Verdict: A\n[[B]]", None), ("<think>Verdict: A</think>", None), ("Verdict: AB", None),
    ],
)  # fmt: skip
def test_verdicts_are_read_strictly(reply: str, verdict: str | None) -> None:
    if verdict is None:
        with pytest.raises(Unreadable):
            verdict_of(reply)
    else:
        assert verdict_of(reply) == verdict


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Score: 7", 7), ("**Score:** 10/10", 10), ("Rating: [[6.5]]", 6.5), ("good\nscore: 1.", 1), ("Score: 0", None),
        ("Score: 11", None),
        ("Score: 7 or 8", None), ("I give it a 9", None), ("Score: 3\nScore: 4", None), ("Score: 100", None),
    ],
)  # fmt: skip
def test_scores_are_read_strictly(reply: str, score: float | None) -> None:
    if score is None:
        with pytest.raises(Unreadable):
            score_of(reply)
    else:
        assert score_of(reply) == score
