"""Which completions stand against which: every rule against its words, no pair from a tie, nothing lost without a reason, no order that decides."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from samples import folder_of

from halo.cli.main import main

PROMPTS = {
    "one": [{"completion": "a", "score": 1.0}, {"completion": "b", "score": 3.0}, {"completion": "c", "score": 2.0}],
    "tied": [{"completion": "a", "score": 1.0}, {"completion": "b", "score": 1.0}],
    "odd": [
        {"completion": "a", "score": 5.0}, {"completion": " ", "score": 9.0}, {"completion": "cut", "score": 8.0, "finish": "length"},
        {"completion": "a ", "score": 0.0}, {"completion": "z", "score": None}, {"completion": "b", "score": 4.5},
    ],
    "alone": [{"completion": "a", "score": 1.0}],
}  # fmt: skip


def paired(folder: Path, *more: str, folders: list[Path] | None = None, code: int = 0) -> list[dict[str, Any]]:
    out = folder / "out.jsonl"
    for old in folder.glob("out.*"):
        old.unlink()
    given = [str(one) for one in folders or [folder / "samples"]]
    assert main(["pair", *given, "--by", "reward", "--out", str(out), *more]) == code
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder_of(tmp_path / "samples", PROMPTS)
    return tmp_path


def texts(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["prompt"], row["chosen"], row["rejected"]) for row in rows]


def test_best_and_worst(home: Path) -> None:
    rows = paired(home)
    assert texts(rows) == [("one", "b", "a"), ("odd", "a", "b")]
    assert [(row["chosen_score"], row["rejected_score"]) for row in rows] == [(3.0, 1.0), (5.0, 4.5)]


def test_adjacent_and_all(home: Path) -> None:
    assert texts(paired(home, "--rule", "adjacent")) == [("one", "b", "c"), ("one", "c", "a"), ("odd", "a", "b")]
    assert texts(paired(home, "--rule", "all")) == [("one", "b", "c"), ("one", "b", "a"), ("one", "c", "a"), ("odd", "a", "b")]


def test_best_and_one_at_random(tmp_path: Path) -> None:
    many = {f"p{n}": [{"completion": f"c{k}", "score": float(k)} for k in range(4)] for n in range(40)}
    folder_of(tmp_path / "samples", many)
    rows = paired(tmp_path, "--rule", "best-random")
    assert {row["chosen"] for row in rows} == {"c3"}
    assert {row["rejected"] for row in paired(tmp_path, "--rule", "best-random", "--seed", "1")} <= {"c0", "c1", "c2"}


def test_a_gap(home: Path) -> None:
    assert texts(paired(home, "--gap", "0.5")) == [("one", "b", "a")]
    assert texts(paired(home, "--gap", "1", "--rule", "all")) == [("one", "b", "a")]


def test_lists(home: Path) -> None:
    rows = paired(home, "--rule", "list")
    assert [(row["prompt"], row["completions"], row["scores"]) for row in rows] == [("one", ["b", "c", "a"], [3, 2, 1]), ("odd", ["a", "b"], [5, 4.5])]


def test_labels(home: Path) -> None:
    rows = paired(home, "--rule", "threshold", "--threshold", "2.5")
    assert [(row["prompt"], row["completion"], row["label"]) for row in rows][:3] == [("one", "b", True), ("one", "c", False), ("one", "a", False)]
    scores = [row["score"] for row in rows]
    middle = sorted(scores)[len(scores) // 2] if len(scores) % 2 else sum(sorted(scores)[len(scores) // 2 - 1 : len(scores) // 2 + 1]) / 2
    assert all(row["label"] == (row["score"] >= middle) for row in paired(home, "--rule", "threshold"))


def test_nothing_is_lost_without_a_reason(home: Path) -> None:
    rows = paired(home)
    left = [json.loads(line) for line in (home / "out.left-out.jsonl").read_text().splitlines()]
    reasons = {(row.get("completion", ""), row["reason"]) for row in left}
    assert reasons == {
        (" ", "an empty completion"), ("cut", "cut at its length"), ("a ", "the same text as another of its prompt"), ("z", "without a reward"),
        ("", "prompts whose completions have scores too close"), ("", "prompts with one completion"),
    }  # fmt: skip
    assert len(rows) == 2
    assert texts(paired(home, "--keep-cut"))[1] == ("odd", "cut", "b")


@pytest.mark.parametrize("rule", ["best-worst", "best-random", "adjacent", "all", "list", "threshold"])
def test_the_order_of_rows_and_folders_decides_nothing(rule: str, tmp_path: Path) -> None:
    rng = random.Random(rule)
    scored = [{"completion": f"c{k}", "score": float(k % 3)} for k in range(7)]

    def said(order: list[dict[str, Any]], name: str) -> set[str]:
        half = len(order) // 2
        folders = [folder_of(tmp_path / f"{name}-{part}", {"p": rows, "q": rows[::-1]}) for part, rows in enumerate((order[:half], order[half:]))]
        rng.shuffle(folders)
        rows = paired(tmp_path, "--rule", rule, folders=folders)
        return {json.dumps({key: value for key, value in row.items() if "prompt_id" not in key}, sort_keys=True) for row in rows}

    expected = said(scored, "first")
    for number in range(5):
        order = list(scored)
        rng.shuffle(order)
        assert said(order, f"order-{number}") == expected


def test_several_scores_are_weighed_on_one_scale(tmp_path: Path) -> None:
    """A scorer of a large scale does not outweigh one of a small scale: each is put over its spread within the prompt."""
    folder_of(tmp_path / "samples", {"p": [{"completion": name, "score": score} for name, score in (("a", 0.0), ("b", 1.0), ("c", 2.0))]})
    file = tmp_path / "samples" / "scores" / "big.jsonl"
    rows = [json.loads(line) for line in (tmp_path / "samples" / "scores" / "reward.jsonl").read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "score": score}) + "\n" for row, score in zip(rows, (3000.0, 0.0, 1500.0), strict=True)))
    (row,) = _mixed(tmp_path, "reward=1,big=0.9")
    z = {"a": (-1.224745, 1.224745), "b": (0.0, -1.224745), "c": (1.224745, 0.0)}
    expected = {name: one + 0.9 * other for name, (one, other) in z.items()}
    assert (row["chosen"], row["rejected"]) == (max(expected, key=expected.__getitem__), min(expected, key=expected.__getitem__))
    assert row["chosen_score"] == pytest.approx(max(expected.values()), abs=1e-5)


def _mixed(folder: Path, by: str) -> list[dict[str, Any]]:
    out = folder / "mixed.jsonl"
    assert main(["pair", str(folder / "samples"), "--by", by, "--out", str(out)]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_scores_that_the_data_has(tmp_path: Path) -> None:
    """CPO's triplets: three given translations with a score each; one source may be left out by not being given."""
    columns = {"p": {"de_score": 0.8, "gpt4_score": 0.9, "score_alma": 0.7}}
    given = {"p": [{"completion": text, "finish": ""} for text in ("a", "b", "c")]}
    folder_of(tmp_path / "samples", given, columns, sampler="given", options={"columns": "de+gpt4+alma"})
    out = tmp_path / "pairs.jsonl"
    assert main(["pair", str(tmp_path / "samples"), "--by", "score", "--out", str(out)]) == 0
    assert texts([json.loads(out.read_text())]) == [("p", "b", "c")]


def test_ids_go_with_completions_that_have_them(tmp_path: Path) -> None:
    ids = {"prompt_tokens": [1, 4], "tokens": [7, 2], "logps": [-0.5, -0.25], "kept": [-0.1, 0.0]}
    given = {"p": [{"completion": "a", "score": 1.0, **ids}, {"completion": "b", "score": 0.0, **ids}, {"completion": "text", "score": 2.0}]}
    folder_of(tmp_path / "samples", given)
    rows = paired(tmp_path, "--rule", "all")
    with_ids = next(row for row in rows if row["chosen"] == "a")
    assert with_ids["prompt_tokens"] == [1, 4]
    assert (with_ids["chosen_tokens"], with_ids["chosen_old_logp"], with_ids["chosen_kept"]) == ([7, 2], [-0.5, -0.25], [-0.1, 0.0])
    assert (with_ids["rejected_finish"], with_ids["rejected_temperature"], with_ids["rejected_weights"]) == ("end", 1.3, "f" * 12)
    assert all("prompt_tokens" not in row for row in rows if row["chosen"] == "text")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rule", "bestworst"], "--rule: there is no rule 'bestworst'; did you mean 'best-worst'?"),
        (["--by", "rewards"], "has no scores 'rewards'; did you mean 'reward'?"),
        (["--gap", "-1"], "--gap: "),
        (["--threshold", "high"], "--threshold: "),
        (["--gap", "100"], "no feedback: "),
    ],
)
def test_bad_input_is_one_message(more: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["pair", str(home / "samples"), "--out", str(home / "out.jsonl")]
    if "--by" not in more:
        given += ["--by", "reward"]
    assert main([*given, *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (home / "out.jsonl").exists()


def test_what_is_not_finished_or_not_as_it_was_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = home / "samples" / "samples.jsonl"
    samples.write_text(samples.read_text().replace('"a"', '"A"'))
    paired(home, code=2)
    assert "samples.jsonl is not as it was written" in capsys.readouterr().err
    (home / "samples" / "stage.json").unlink()
    paired(home, code=2)
    assert "is not finished; run the command that makes it again" in capsys.readouterr().err
    paired(home, folders=[home / "nowhere"], code=2)
    assert "is no folder of samples" in capsys.readouterr().err


def test_a_file_that_is_there_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "out.jsonl").write_text("mine")
    assert main(["pair", str(home / "samples"), "--by", "reward", "--out", str(home / "out.jsonl")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (home / "out.jsonl").read_text() == "mine"


def test_what_it_was_made_with_stands_beside_it(home: Path) -> None:
    paired(home, "--gap", "0.2")
    told = yaml.safe_load((home / "out.manifest.json").read_text())
    assert (told["rule"], told["gap"], told["by"]) == ("best-worst", 0.2, {"reward": 1.0})
    assert told["samples"]["samples"]["weights"] == "f" * 64
    assert list(itertools.chain(home.glob(".*draft"))) == []
