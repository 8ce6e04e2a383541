"""Recipes as plans: what each stage takes, keys that follow what a stage depends on, and what is refused. Nothing is run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from planned import MINE, plan

from halo.cli.main import main
from halo.plugin.objectives import find_objective
from halo.plugin.recipes import find_recipe
from halo.recipes.loading import load_recipe
from halo.recipes.plan import Step, planned


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
    name = first[1].out.stem
    assert name.startswith("reward-")
    assert first[1].command == f"halo score {first[0].out} --scorer gold --name {name}"
    assert first[2].command == f"halo pair {first[0].out} --by {name} --seed 0 --out {first[2].out}"
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


def test_numbers_of_given_scores_follow_the_scorer(mine: Path) -> None:
    """An evaluation `by` scores, and pairs, get new places with another scorer; scores of both scorers may stand in one folder."""
    text = MINE.replace("against: start, scorer: gold", "of: [drawn], against: drawn, by: reward")
    mine.write_text(text.replace("evaluators: win", "evaluators: texts"))
    assert changed(mine, "reward.scorer=likelihood:model=x") == ["reward", "pairs", "policy", "judged"]
    before, after = plan(mine), plan(mine, "reward.scorer=likelihood:model=x")
    assert before[0].out == after[0].out
    assert before[1].out != after[1].out
    assert flags(before[2])["by"] == flags(before[4])["by"] == before[1].out.stem


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("{reward: 2, length: 1}", {"NAME": 2, "length": 1}),
        ("reward=2", "NAME=2"),
        ('"reward=2,length"', "NAME=2,length"),
        ("length", "length"),
    ],
)
def test_scores_are_renamed_in_every_form_and_columns_stay(by: str, wanted: Any, mine: Path) -> None:
    mine.write_text(MINE.replace("by: reward", f"by: {by}"))
    steps = plan(mine)
    name = steps[1].out.stem
    found = flags(steps[2])["by"]
    assert json.dumps(found) == json.dumps(wanted).replace("NAME", name)


def weights(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(content)
    return folder


@pytest.mark.parametrize("scorer", ["likelihood:model=judge", "likelihood:batch_size=2,model=judge", "{name: likelihood, model: judge}"])
def test_weights_named_inside_a_scorer_are_in_the_key(scorer: str, mine: Path) -> None:
    quoted = scorer if scorer.startswith("{") else f'"{scorer}"'
    mine.write_text(MINE.replace("score: {scorer: gold}", f"score: {{scorer: {quoted}}}"))
    weights(mine.parent / "judge", "one")
    before = plan(mine)
    weights(mine.parent / "judge", "other")
    after = plan(mine)
    assert before[0].key == after[0].key
    assert all(one.key != other.key for one, other in zip(before[1:5], after[1:5], strict=True))


@pytest.mark.parametrize("data", ["[a.jsonl, b.jsonl]", '"a.jsonl,b.jsonl"', '"a.jsonl@2,b.jsonl@1"', "[{path: a.jsonl}, b.jsonl]"])
def test_files_in_lists_are_in_the_key(data: str, mine: Path) -> None:
    mine.write_text(MINE.replace("max_steps: 5", f"max_steps: 5, data: {data}"))
    for name in ("a", "b"):
        (mine.parent / f"{name}.jsonl").write_text("{}\n")
    before = plan(mine)
    for name in ("a", "b"):
        (mine.parent / f"{name}.jsonl").write_text('{"new": 1}\n')
        after = plan(mine)
        assert before[2].key == after[2].key
        assert before[3].key != after[3].key
        before = after


def test_an_objective_that_extends_a_file_is_another_one_when_that_file_changes(mine: Path) -> None:
    base, own = mine.with_name("base.yaml"), mine.with_name("own.yaml")
    text = Path(str(find_objective("dpo"))).read_text()
    base.write_text(text)
    own.write_text("halo: 1\nname: own\nextends: ./base.yaml\n")
    change = f"policy.objective={own}"
    before = plan(mine, change)
    base.write_text(text.replace("default: 0.1", "default: 0.3"))
    assert base.read_text() != text
    after = plan(mine, change)
    assert [one.name for one, other in zip(before[:5], after[:5], strict=True) if one.key != other.key] == ["policy", "judged"]


def test_the_embedded_policy_has_a_word(mine: Path) -> None:
    assert [one.key for one in plan(mine, "model=embedded")] == [one.key for one in plan(mine)]
    assert plan(mine, "drawn.model=embedded")[0].words == plan(mine)[0].words


def test_a_recipe_with_a_model_is_no_miniature(mine: Path) -> None:
    mine.write_text(MINE + "miniature: {rounds: 1}\n")
    assert {step.round for step in plan(mine)} == {1}
    assert {step.round for step in plan(mine, "model=elsewhere")} == {1, 2}


def test_lists_are_typed_so_that_they_are_read_as_they_are(mine: Path) -> None:
    mine.write_text(MINE.replace("{n: 3}", '{n: 3, stop: ["a,b", "\\\\n", "\\n"]}').replace("evaluators: win", "evaluators: [win, texts]"))
    steps = plan(mine)
    words = shlex.split(steps[0].command)
    assert json.loads(words[words.index("--stop") + 1]) == ["a,b", "\\n", "\n"]
    assert steps[4].words[0] == "win+texts"
    mine.write_text(MINE.replace("{n: 3}", "{n: 3, stop: [Human, Assistant]}"))
    assert "--stop Human,Assistant" in plan(mine)[0].command


def test_none_in_the_miniature_takes_away_what_the_recipe_has(mine: Path) -> None:
    text = MINE.replace("max_steps: 5", "max_steps: 5, use_peft: true")
    mine.write_text(text + "miniature: {stages: {policy: {train: {use_peft: none}}}}\n")
    assert "use_peft" not in flags(plan(mine)[3])
    assert flags(plan(mine, embedded=False)[3])["use_peft"] is True
