"""Recipes as plans: what each stage takes, keys that follow what a stage depends on, and what is refused. Nothing is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halo.cli.main import main
from halo.errors import SettingsError
from halo.plugin.recipes import find_recipe
from halo.recipes.loading import load_recipe, read_change
from halo.recipes.plan import Step, _content, planned
from halo.recipes.run import check_allowed

MINE = """recipe: mine
rounds: 2
stages:
  drawn: {sample: {n: 3}}
  reward: {score: {scorer: gold}}
  pairs: {pair: {by: reward}}
  policy: {train: {objective: dpo, set: {beta: 0.2}, max_steps: 5}}
  judged: {eval: {evaluators: win, against: start, scorer: gold}}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path / "mine.yaml"


def plan(source: Any, *changes: str, embedded: bool = True) -> list[Step]:
    return planned(load_recipe(str(source), dict(map(read_change, changes)), embedded), Path("out"))


def flags(step: Step) -> dict[str, Any]:
    return dict(step.flags)


def test_a_round_begins_from_the_model_of_the_round_before(mine: Path) -> None:
    first, second = ([step for step in plan(mine) if step.round == number] for number in (1, 2))
    assert [step.kind for step in first] == ["sample", "score", "pair", "train", "eval"]
    trained = str(first[3].out)
    assert second[0].words == (trained,)
    assert flags(second[3])["model_name_or_path"] == trained
    assert flags(second[3])["reference_model_name_or_path"] == flags(first[3])["model_name_or_path"]  # `reference: start`
    assert "reference_model_name_or_path" not in flags(first[3])
    assert second[4].words == ("win", str(second[3].out))
    assert flags(second[4])["against"] == "embedded"


def test_the_last_model_may_be_the_reference(mine: Path) -> None:
    assert not any("reference_model_name_or_path" in step.flags for step in plan(mine, "reference=last"))


def test_the_commands_are_those_that_one_would_type(mine: Path) -> None:
    first = plan(mine)[:4]
    assert first[1].command == f"halo score {first[0].out} --scorer gold --name reward"
    assert first[2].command == f"halo pair {first[0].out} --by reward --seed 0 --out {first[2].out}"
    assert "halo train dpo --set=beta=0.2 --max-steps 5" in first[3].command


def changed(mine: Path, *changes: str) -> list[str]:
    """The stages of the first round that get a new key, and with it a new place."""
    before, after = plan(mine), plan(mine, *changes)
    return [one.name for one, other in zip(before[:5], after[:5], strict=True) if one.key != other.key]


def test_what_a_change_has_an_effect_on_gets_a_new_place_and_nothing_else(mine: Path) -> None:
    everything = ["drawn", "reward", "pairs", "policy", "judged"]
    assert changed(mine) == []
    assert changed(mine, "drawn.n=4") == everything
    assert changed(mine, "pairs.gap=0.1") == ["pairs", "policy", "judged"]
    assert changed(mine, "policy.max_steps=6") == ["policy", "judged"]
    assert changed(mine, "judged.scorer=likelihood:model=x") == ["judged"]
    assert changed(mine, "rounds=3") == []


def test_a_file_that_changes_is_another_file(mine: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "a"}\n')
    before = plan(mine, f"prompts={prompts}")
    prompts.write_text('{"prompt": "b"}\n')
    _content.cache_clear()
    assert plan(mine, f"prompts={prompts}")[0].key != before[0].key


def test_a_recipe_is_the_same_from_any_folder(mine: Path) -> None:
    loaded = load_recipe(str(mine), {}, True)
    assert [one.key for one in planned(loaded, Path("out"))] == [one.key for one in planned(loaded, Path("elsewhere/deep"))]


def test_extends_changes_what_it_names_and_none_takes_away(tmp_path: Path) -> None:
    base, without = plan("rrhf"), plan("rrhf_d")
    assert {step.name for step in base} - {step.name for step in without} == {"provided"}
    beam = next(step for step in plan("rrhf_bp", embedded=False) if step.name == "beams")
    assert flags(beam)["sampler"] == "beam"
    assert flags(beam)["n"] == 4
    assert len({step.round for step in plan("rrhf_ip3")}) == 3


@pytest.mark.parametrize("name", find_recipe.names())
def test_every_shipped_recipe_is_a_plan_in_full_and_in_miniature(name: str) -> None:
    assert load_recipe(name, {}, False).recipe.recipe == name
    for embedded in (True, False):
        steps = plan(name, embedded=embedded)
        assert {step.kind for step in steps} == {"sample", "score", "pair", "train", "eval"}
        assert len({step.out for step in steps}) == len(steps)


WRONG = {
    "stages: {drawn: {sample: {samplr: greedy}}}": "a sample stage has no 'samplr'; did you mean 'sampler'?",
    "stages: {drawn: {samples: {n: 3}}}": "unknown key 'samples'; did you mean 'sample'?",
    "stages: {drawn: {sample: {n: 3}, score: {scorer: gold}}}": "the stage drawn has sample, score",
    "stages: {reward: {score: {scorer: gold}}}": "there is no sample stage before it",
    "stages: {drawn: {sample: {}}, pairs: {pair: {rule: all}}}": "it says by which score",
    "stages: {policy: {train: {data: x.jsonl}}}": "it names no objective",
    "stages: {drawn: {sample: {}}, judged: {eval: {of: [drown]}}}": "is called 'drown'; did you mean 'drawn'?",
    "round: 3\nstages: {}": "unknown key 'round'; did you mean 'rounds'?",
    "extends: rrhff\nstages: {}": "there is no recipe named 'rrhff'; did you mean 'rrhf'?",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_one_message_with_its_place(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"recipe: wrong\n{text}\n")
    assert main(["loop", str(file), "--plan"]) == 2
    err = capsys.readouterr().err
    assert WRONG[text] in err
    assert "wrong.yaml:2" in err
    assert len(err.splitlines()) == 3  # the message, the line of the file, a mark under the place


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("drown.n=3", "did you mean 'drawn'"),
        ("round=3", "did you mean 'rounds'"),
        ("drawn.n", "is not KEY=VALUE"),
        ("drawn.samplr=greedy", "did you mean 'sampler'"),
    ],
)
def test_a_change_that_cannot_be_is_one_message(change: str, said: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loop", str(mine), "--plan", "--set", change]) == 2
    assert said in capsys.readouterr().err


CANARIES = ["reward.scorer=function:name=os.system", "reward.scorer=command:run=touch canary", "judged.scorer=function:name=os.system"]


@pytest.mark.parametrize("change", CANARIES)
def test_a_recipe_runs_no_code_that_the_command_line_does_not_repeat(change: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused before the first stage; the canary's file is never made."""
    file = mine.with_name("evil.yaml")
    stage, scorer = change.split(".scorer=")
    was = {"reward": "score: {scorer: gold}", "judged": "against: start, scorer: gold"}[stage]
    file.write_text(MINE.replace("mine", "evil").replace(was, was.replace("gold", f'"{scorer}"')))
    assert main(["loop", str(file)]) == 2
    err = capsys.readouterr().err
    assert f"{stage} runs code or talks to a service: {scorer}" in err
    assert f"--allow '{scorer}'" in err
    assert not (mine.parent / "canary").exists()
    assert not (mine.parent / "loops").exists()
    check_allowed(plan(file), [scorer])  # repeated, it may


def test_remote_code_must_be_repeated_too(mine: Path) -> None:
    steps = plan(mine, "policy.trust_remote_code=true")
    with pytest.raises(SettingsError, match="runs code that a model's folder holds"):
        check_allowed(steps, [])
    check_allowed(steps, ["trust_remote_code"])


def test_a_recipe_of_ones_own_begins_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "recipe", "my_loop", "--from", "rrhf_bp"]) == 0
    assert plan("./my_loop.yaml")[0].key == plan("rrhf_bp")[0].key
    assert main(["new", "recipe", "my_loop"]) == 2
    assert main(["new", "recipe", "other", "--from", "rrhff"]) == 2
    assert "did you mean 'rrhf'" in capsys.readouterr().err


def test_an_editor_knows_the_options_of_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "recipe"]) == 0
    schema = json.loads(capsys.readouterr().out)
    stage = schema["$defs"]["Stage"]["properties"]
    assert {"n", "sampler", "model"} <= set(stage["sample"]["propertyNames"]["enum"])
    assert {"objective", "learning_rate", "set"} <= set(stage["train"]["propertyNames"]["enum"])
    assert "output_dir" not in stage["train"]["propertyNames"]["enum"]
