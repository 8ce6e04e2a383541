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
from halo.data.formats import FORMATS
from halo.data.reading import read_examples

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
    assert [(row["prompt"], row["completions"], row["scores"]) for row in rows] == [
        ("one", ["b", "c", "a"], [3, 2, 1]),
        ("odd", ["a", "b"], [5, 4.5]),
    ]


def test_groups_are_as_they_were_sampled(home: Path) -> None:
    """A text as often as it came, and groups whose scores are all equal: an average over the policy's samples counts them."""
    rows = paired(home, "--rule", "group")
    found = {row["prompt"]: (sorted(text.strip() for text in row["completions"]), row["scores"]) for row in rows}
    assert found == {"one": (["a", "b", "c"], [3, 2, 1]), "tied": (["a", "b"], [1, 1]), "odd": (["a", "a", "b"], [5, 4.5, 0])}
    assert [row["prompt"] for row in paired(home, "--rule", "group", "--gap", "0.1")] == ["one", "odd"]


def test_the_best_alone(home: Path) -> None:
    rows = paired(home, "--rule", "best")
    told = {row["prompt"]: (row["completion"], row["score"]) for row in rows}
    assert told == {"one": ("b", 3.0), "tied": told["tied"], "odd": ("a", 5.0), "alone": ("a", 1.0)}
    assert told["tied"] in {("a", 1.0), ("b", 1.0)}  # no better than the other, and good enough to learn
    assert {row["prompt"] for row in paired(home, "--rule", "best", "--gap", "0.1")} == {"one", "odd"}


def test_labels(home: Path) -> None:
    rows = paired(home, "--rule", "threshold", "--threshold", "2.5")
    assert [(row["prompt"], row["completion"], row["label"]) for row in rows][:3] == [
        ("one", "b", True),
        ("one", "c", False),
        ("one", "a", False),
    ]
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


@pytest.mark.parametrize("rule", ["best-worst", "best-random", "adjacent", "all", "list", "group", "threshold"])
def test_the_order_of_rows_and_folders_decides_nothing(rule: str, tmp_path: Path) -> None:
    rng = random.Random(rule)
    scored = [{"completion": f"c{k}", "score": float(k % 3)} for k in range(7)]

    def said(order: list[dict[str, Any]], name: str) -> set[str]:
        half = len(order) // 2
        folders = [
            folder_of(tmp_path / f"{name}-{part}", {"p": rows, "q": rows[::-1]}) for part, rows in enumerate((order[:half], order[half:]))
        ]
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
    given = {
        "p": [{"completion": "a", "score": 1.0, **ids}, {"completion": "b", "score": 0.0, **ids}, {"completion": "text", "score": 2.0}]
    }
    folder_of(tmp_path / "samples", given)
    rows = paired(tmp_path, "--rule", "all")
    with_ids = next(row for row in rows if row["chosen"] == "a")
    assert with_ids["prompt_tokens"] == [1, 4]
    assert (with_ids["chosen_tokens"], with_ids["chosen_old_logp"], with_ids["chosen_kept"]) == ([7, 2], [-0.5, -0.25], [-0.1, 0.0])
    assert (with_ids["rejected_finish"], with_ids["rejected_temperature"], with_ids["rejected_weights"]) == ("end", 1.3, "f" * 12)
    assert all("prompt_tokens" not in row for row in rows if row["chosen"] == "text")


@pytest.mark.parametrize("rule", ["list", "best-worst"])
def test_ids_that_follow_other_prompts_are_left_aside(rule: str, tmp_path: Path) -> None:
    """Two models write a prompt as other ids: nothing is trained on as the ids of both, and the texts stand."""
    for name, prompt in (("one", [1, 4]), ("two", [1, 9, 4])):
        told = {"completion": name, "score": float(len(prompt)), "prompt_tokens": prompt, "tokens": [7, 2], "logps": [-0.5, -0.25]}
        folder_of(tmp_path / name, {"p": [told]})
    (row,) = paired(tmp_path, "--rule", rule, folders=[tmp_path / "one", tmp_path / "two"])
    assert row.get("completions", [row.get("chosen"), row.get("rejected")]) == ["two", "one"]
    assert not [name for name in row if "tokens" in name or "logp" in name]


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


# -- single sources left out -----------------------------------------------------------------------------------------------


def sources(folder: Path) -> list[str]:
    """Two folders of one prompt's candidates: three given columns with a score each, and two that a model wrote."""
    columns = {"p": {"de_reward": 5.0, "gpt4_reward": 4.0, "alma_reward": 1.0}}
    given = {"p": [{"completion": text, "finish": ""} for text in ("d", "g", "a")]}
    folder_of(folder / "data", given, columns, sampler="given", options={"columns": "de+gpt4+alma"})
    (folder / "data" / "scores" / "reward.jsonl").unlink()
    folder_of(folder / "model", {"p": [{"completion": "x", "score": 3.0}, {"completion": "y", "score": 0.0}]})
    return [str(folder / "data"), str(folder / "model")]


@pytest.mark.parametrize(
    ("without", "chosen", "rejected"),
    [
        ("", "d", "y"), ("de", "g", "y"), ("de,gpt4", "x", "y"), ("model", "d", "a"), ("model,alma", "d", "g"), ("data", "x", "y"),
    ],
)  # fmt: skip
def test_a_source_is_left_out_as_if_it_had_not_been_there(without: str, chosen: str, rejected: str, tmp_path: Path) -> None:
    given = ["pair", *sources(tmp_path), "--by", "reward", "--out", str(tmp_path / "out.jsonl")]
    assert main([*given, *(["--without", without] if without else [])]) == 0
    (row,) = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert (row["chosen"], row["rejected"]) == (chosen, rejected)
    left = [json.loads(line) for line in (tmp_path / "out.left-out.jsonl").read_text().splitlines()]
    named = {"de": "d", "gpt4": "g", "alma": "a", "model": "xy", "data": "dga"}
    expected = {(text, f"of {name}, which --without leaves out") for name in without.split(",") if name for text in named[name]}
    assert {(one["completion"], one["reason"]) for one in left} == expected


def test_a_source_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["pair", *sources(tmp_path), "--by", "reward", "--out", str(tmp_path / "out.jsonl")]
    assert main([*given, "--without", "gpt3"]) == 2
    assert "--without: no folder and no given column is called 'gpt3'; did you mean 'gpt4'?" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    folder_of(tmp_path / "other" / "model", {"p": [{"completion": "z", "score": 9.0}]})
    assert main([*given, str(tmp_path / "other" / "model"), "--without", "model"]) == 2
    assert "--without: 2 folders are called 'model'; give the path" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "other" / "model"), "--without", str(tmp_path / "other" / "model")]) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["chosen"] == "d"


# -- parquet ---------------------------------------------------------------------------------------------------------------


def test_parquet_holds_the_same_feedback(tmp_path: Path) -> None:
    """Read by the reader that training has; a row without ids has none there either."""
    ids = {"prompt_tokens": [1, 4], "tokens": [7, 2], "logps": [-0.5, -0.25]}
    given = {
        "p": [{"completion": "a", "score": 1.0, **ids}, {"completion": "b", "score": 0.0, **ids}, {"completion": "text", "score": 2.0}]
    }
    folder_of(tmp_path / "samples", given)
    for name in ("out.jsonl", "table.parquet"):
        assert main(["pair", str(tmp_path / "samples"), "--by", "reward", "--rule", "all", "--out", str(tmp_path / name)]) == 0
    one, _, _ = read_examples(str(tmp_path / "out.jsonl"), FORMATS)
    other, _, _ = read_examples(str(tmp_path / "table.parquet"), FORMATS)
    assert [(a.prompt, a.completions, a.ids) for a in one] == [(b.prompt, b.completions, b.ids) for b in other]
    assert {example.ids is None for example in other} == {True, False}
    assert (tmp_path / "table.left-out.jsonl").exists()


ONE = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}, {"role": "user", "content": "s"}]


def test_a_table_of_texts_and_conversations_holds_conversations(tmp_path: Path) -> None:
    folder_of(tmp_path / "samples", {"p": [{"completion": text, "score": score} for text, score in (("a", 1.0), ("b", 0.0))]})
    folder_of(tmp_path / "other", {"s": [{"completion": text, "score": score, "prompt": ONE} for text, score in (("a", 1.0), ("b", 0.0))]})
    given = [str(tmp_path / "samples"), str(tmp_path / "other"), "--by", "reward", "--out", str(tmp_path / "out.parquet")]
    assert main(["pair", *given]) == 0
    examples, _, _ = read_examples(str(tmp_path / "out.parquet"), FORMATS)
    assert [example.prompt for example in examples] == [({"role": "user", "content": "p"},), tuple(ONE)]


def test_what_is_no_table_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message is a text, the other of parts: a column of parquet has one type."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
    for name, prompt in (("one", ONE), ("two", parts)):
        folder_of(tmp_path / name, {name: [{"completion": text, "score": score, "prompt": prompt} for text, score in (("a", 1.0), ("b", 0.0))]})
    given = [str(tmp_path / "one"), str(tmp_path / "two"), "--by", "reward", "--out", str(tmp_path / "out.parquet")]
    assert main(["pair", *given]) == 2
    err = capsys.readouterr().err
    assert "out.parquet: the rows are no table: " in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out.parquet").exists()
