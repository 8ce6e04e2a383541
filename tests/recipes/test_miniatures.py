"""Every shipped recipe runs on the embedded policy, equals its commands typed by hand, and goes on where it was killed."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from halo.cli.main import main
from halo.plugin.recipes import find_recipe
from halo.recipes import run as recipe_run
from halo.starter.defaults import HELD_OUT, POLICY, PROMPTS

pytestmark = pytest.mark.workflow
NUMBERS = ("samples.jsonl", "report.json", "report.html", "model.safetensors")
"""Of a stage's folder the files that hold no time of day."""


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags that name 96 prompts and 60 that are held out."""
    monkeypatch.chdir(tmp_path)
    for name, source, count in (("prompts.jsonl", PROMPTS, 96), ("held-out.jsonl", HELD_OUT, 60)):
        (tmp_path / name).write_text("".join(source.read_text().splitlines(keepends=True)[:count]))
    return ["--prompts", "prompts.jsonl", "--held-out", "held-out.jsonl"]


def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.rglob("report.json"))]


@pytest.mark.parametrize("name", find_recipe.names())
def test_a_recipe_makes_the_embedded_policy_better(name: str, prompts: list[str], tmp_path: Path) -> None:
    assert main(["loop", name, *prompts, "--out", "loop"]) == 0
    rates = [one for report in reports(tmp_path / "loop") for one in report["numbers"] if one["measure"] == "win rate" and not one["group"]]
    assert rates
    assert max(one["low"] for one in rates) > 0.5
    assert {one["n"] for one in rates} == {60}
    assert main(["loop", name, *prompts, "--out", "loop"]) == 0  # again: nothing is left to do
    lines = (tmp_path / "loop" / "loop.jsonl").read_text().splitlines()
    assert len({json.loads(line)["out"] for line in lines}) == len(lines)


def kept(folder: Path) -> dict[str, bytes]:
    wanted = [file for file in folder.rglob("*") if file.name in NUMBERS or file.suffix == ".jsonl"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in wanted if file.name not in ("loop.jsonl", "metrics.jsonl")}


def commands(prompts: list[str], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    capsys.readouterr()
    assert main(["loop", "rrhf", *prompts, "--out", "loop", "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [shlex.split(line.partition("halo ")[2]) for line in lines]


def test_a_recipe_is_its_commands_typed_by_hand(prompts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = commands(prompts, capsys)
    assert main(["loop", "rrhf", *prompts, "--out", "loop"]) == 0
    by_recipe = kept(tmp_path / "loop")
    shutil.rmtree(tmp_path / "loop")
    for words in typed:
        assert main(words) == 0, words
    assert kept(tmp_path / "loop") == by_recipe


def test_killed_after_every_stage_it_ends_with_the_same_bytes(prompts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time one stage is done and recorded, the next one done and not recorded, and a line is left torn."""
    words = ["loop", "iterative_dpo", *prompts, "--out", "loop"]
    assert main(words) == 0
    whole = kept(tmp_path / "loop")
    shutil.rmtree(tmp_path / "loop")
    runs, kills = dict(recipe_run.RUNS), 0
    while True:
        done = list[str]()
        monkeypatch.setattr(recipe_run, "RUNS", {kind: dying(call, done) for kind, call in runs.items()})
        try:
            assert main(words) == 0
        except Killed:
            kills += 1
            with (tmp_path / "loop" / "loop.jsonl").open("a") as stream:
                stream.write('{"key": "12')
        else:
            break
    assert kills >= 8
    assert kept(tmp_path / "loop") == whole


class Killed(BaseException):
    """Nothing catches it."""


def dying(call: Any, done: list[str], count: int = 2) -> Any:
    """A stage that ends with the process, if it is the second one, or of another number."""

    def at_work(step: Any, say: Any) -> None:
        call(step, say)
        done.append(step.name)
        if len(done) == count:
            raise Killed

    return at_work


def test_a_change_runs_what_it_has_an_effect_on(prompts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["loop", "kto_thumbs", *prompts, "--out", "loop"]
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--set", "policy.learning_rate=1e-4"]) == 0
    said = capsys.readouterr().out
    assert [stage for stage in ("drawn", "reward", "thumbs", "policy", "judged") if f"{stage}: done before" in said] == [
        "drawn",
        "reward",
        "thumbs",
    ]
    assert main([*words, "--status"]) == 0
    assert capsys.readouterr().out.count("done") == 5


def test_a_dry_run_counts_what_the_loop_then_takes(prompts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["loop", "rrhf", *prompts, "--out", "loop"]
    capsys.readouterr()
    assert main([*words, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "loop").exists()
    assert main(words) == 0
    done = [json.loads(line) for line in (tmp_path / "loop" / "loop.jsonl").read_text().splitlines()]
    assert [row["command"] for row in told] == [row["command"] for row in done]
    drawn, scored, trained = told[0], told[2], told[5]
    folder = tmp_path / "loop" / done[0]["out"]
    assert drawn["rows"] == len((folder / "samples.jsonl").read_text().splitlines())
    assert drawn["tokens"] == pytest.approx(
        sum(len(json.loads(line)["tokens"]) for line in (folder / "samples.jsonl").read_text().splitlines()), rel=0.1
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert drawn["bytes"] == pytest.approx(size, rel=0.5)  # a manifest of one size, whatever the number of rows
    assert (scored["rows"], trained["steps"]) == (drawn["rows"], 30)


def test_a_dry_run_asks_no_service(prompts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = ["--set", "reward.scorer=command:run=touch canary", "--set", "judged.scorer=command:run=touch canary"]
    capsys.readouterr()
    assert main(["loop", "simpo_on_policy", *prompts, *change, "--dry-run", "--json"]) == 0
    asked = {row["stage"]: row["asks"] for row in json.loads(capsys.readouterr().out)}
    assert asked == {"drawn": 0, "reward": 96 * 5, "pairs": 0, "policy": 0, "judged": 60 * 2}
    assert not (tmp_path / "canary").exists()


SMALL = """recipe: small
rounds: 2
stages:
  drawn: {sample: {n: 3, max_new_tokens: 8}}
  reward: {score: {scorer: gold}}
  pairs: {pair: {by: reward}}
  policy: {train: {objective: dpo, max_steps: 2, per_device_train_batch_size: 8, max_length: 32}}
  judged: {eval: {evaluators: texts+reward, of: [drawn], by: reward}}
"""


@pytest.fixture
def small(prompts: list[str], tmp_path: Path) -> list[str]:
    """The words of a loop of ten short commands."""
    (tmp_path / "small.yaml").write_text(SMALL)
    return ["loop", "./small.yaml", *prompts]


@pytest.mark.parametrize("finished", [7, 9])
def test_killed_in_round_two_and_moved_it_goes_on(finished: int, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder bears another name and `--out` is spelt in full; only what was left is run, and the bytes are those of a whole loop."""
    assert main([*small, "--out", "whole"]) == 0
    runs, done = dict(recipe_run.RUNS), list[str]()
    monkeypatch.setattr(recipe_run, "RUNS", {kind: dying(call, done, finished) for kind, call in runs.items()})
    with pytest.raises(Killed):
        main([*small, "--out", "./first/../first"])
    (tmp_path / "first").rename(tmp_path / "moved")
    left = list[str]()
    monkeypatch.setattr(recipe_run, "RUNS", {kind: dying(call, left, 100) for kind, call in runs.items()})
    assert main([*small, "--out", str(tmp_path / "moved")]) == 0
    assert left == done[finished - 1 :] + ["drawn", "reward", "pairs", "policy", "judged"][finished - 5 :]  # the last was not recorded
    assert kept(tmp_path / "moved") == kept(tmp_path / "whole")


def test_another_scorer_stands_beside_the_first(small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """New scores, pairs, weights and numbers; and the first ones are found again."""
    words = [*small, "--out", "loop", "--rounds", "1"]
    assert main(words) == 0
    before = kept(tmp_path / "loop")
    capsys.readouterr()
    assert main([*words, "--set", "reward.scorer={name: likelihood, model: " + str(POLICY) + "}"]) == 0
    said = capsys.readouterr().out
    assert (said.count("done before"), "1/5 drawn: done before" in said) == (1, True)
    after = kept(tmp_path / "loop")
    assert before.items() <= after.items()
    assert len([name for name in after if "/scores/" in name]) == 2
    first, second = (report["score"] for report in reports(tmp_path / "loop"))
    assert first != second
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.count("done before") == 5


DAMAGES = {
    "pairs": ("pairs-*.jsonl", b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'),
    "reward": ("drawn-*/scores/*.jsonl", b""),
    "drawn": ("drawn-*/samples.jsonl", b""),
    "judged": ("judged-*/report.json", b"{}"),
}


def test_what_was_changed_by_hand_is_not_done(small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one loop four copies, each with something else changed; without it, the loop makes it again."""
    words = [*small, "--rounds", "1", "--out"]
    assert main([*words, "loop"]) == 0
    before = kept(tmp_path / "loop")
    for stage, (pattern, content) in DAMAGES.items():
        shutil.copytree(tmp_path / "loop", tmp_path / stage)
        (file,) = (one for one in (tmp_path / stage).glob(pattern) if "left-out" not in one.name)
        file.write_bytes(content)
        capsys.readouterr()
        for way in ([], ["--status"]):
            assert main([*words, stage, *way]) == 2
            err = capsys.readouterr().err
            assert f"{stage}: " in err
            assert "or run with another --out" in err
        hurt = file.parent if file.name in ("samples.jsonl", "report.json") else file
        shutil.rmtree(hurt) if hurt.is_dir() else hurt.unlink()
        assert main([*words, stage]) == 0
        assert kept(tmp_path / stage) == before
