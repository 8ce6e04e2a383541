"""What is refused of a recipe and of a command line, each in one message with its place, before anything runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from planned import MINE, plan

from halo.cli.main import main
from halo.errors import SettingsError
from halo.recipes.checks import check_allowed
from halo.recipes.loading import read_change

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
    assert f"--allow {shlex.quote(scorer)}" in err
    assert not (mine.parent / "canary").exists()
    assert not (mine.parent / "loops").exists()
    check_allowed(plan(file), [scorer])  # repeated, it may


def test_remote_code_must_be_repeated_too(mine: Path) -> None:
    steps = plan(mine, "policy.trust_remote_code=true")
    with pytest.raises(SettingsError, match="runs code that a model's folder holds"):
        check_allowed(steps, [])
    check_allowed(steps, ["trust_remote_code"])


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a command that is refused."""
    capsys.readouterr()
    assert main(["loop", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("halo: ")
    assert not Path("loops").exists()
    return err


LATE = {
    "reward.scorer=none": "--set reward.scorer: reward: --scorer: it is missing: NAME or NAME:OPTION=VALUE,...; say it with --set reward.scorer=NAME",
    "reward.scorer=golden": "--set reward.scorer: reward: --scorer: there is no scorer named 'golden'",
    "reward.scorer=likelihood:modl=x": "did you mean 'model'?",
    "reward.scorer=[gold]": "--set reward.scorer: reward: --scorer: ",
    "reward.scorer=3": "--set reward.scorer: reward: --scorer: ",
    "reward.scorer={model: x}": "a mapping says which one it is with `name:`",
    "drawn.n=0": "--set drawn.n: drawn: --n: ",
    "drawn.sampler=beem": "there is no sampler named 'beem'",
    "drawn.sampler=[beam]": "--set drawn.sampler: drawn: --sampler: ",
    "pairs.rule=bst": "there is no rule 'bst'",
    "policy.learning_rate=fast": "--set policy.learning_rate: policy: --learning-rate: input should be a valid number",
    "policy.objective=dpoo": "there is no objective named 'dpoo'",
    "policy.set={beta: -1}": "outside its domain",
    "policy.set={bta: 1}": "has no parameter 'bta'",
    "policy.set={beta: abc}": "beta='abc' is not a number",
    "policy.set={beta: [2]}": "beta=[2] is not a number",
    "policy.set=[1]": "set is a mapping of parameters to numbers, not [1]",
    "policy.set=beta": "set is a mapping of parameters to numbers, not 'beta'",
    "judged.evaluators=wn": "there is no evaluator named 'wn'",
    "judged.against=none": "win needs a baseline; say it with --set judged.against=NAME",
    "judged.scorer=none": "win needs scores; say it with --set judged.scorer=NAME",
    "judged.of=[]": "of names nothing",
    "reward.of=[]": "of names nothing",
    "judged.evaluators=[]": "evaluators names nothing",
}


@pytest.mark.parametrize("change", LATE)
@pytest.mark.parametrize("way", [[], ["--plan"], ["--dry-run"]])
def test_every_step_is_checked_before_the_first_one(change: str, way: list[str], mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert LATE[change] in said([str(mine), "--set", change, *way], capsys)


def test_what_stands_in_the_file_is_named_by_its_place(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine.write_text(MINE.replace("by: reward", "by: reward, rule: bst"))
    assert "mine.yaml:6:36: pairs: --rule: there is no rule 'bst'" in said([str(mine), "--plan"], capsys)
    mine.write_text(MINE.replace("{scorer: gold}}", "{scorer: null}}"))
    message = "reward: --scorer: it is missing: NAME or NAME:OPTION=VALUE,...; say it with --set reward.scorer=NAME"
    assert f"mine.yaml:5:28: {message}" in said([str(mine), "--plan"], capsys)
    mine.write_text(MINE + "miniature:\n  stages:\n    pairs: {pair: {rule: bst}}\n")
    assert "mine.yaml:11:26: pairs: --rule: there is no rule 'bst'" in said([str(mine), "--plan"], capsys)


NAMES = ["../../escaped", "/tmp/escaped", "a b", "\\e[31m", "start", "last", "embedded", "Drawn", "a" * 41, ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_has_a_name_that_is_no_path(name: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine.write_text(f'recipe: mine\nstages: {{"{name}": {{sample: {{n: 3}}}}}}\n')
    assert "is no name for a stage" in said([str(mine), "--plan"], capsys)


def test_trackers_and_backends_of_plugins_must_be_repeated(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = plan(mine, "policy.report_to=wandb")
    with pytest.raises(SettingsError, match="policy sends what it measures to wandb"):
        check_allowed(steps, [])
    check_allowed(steps, ["report_to"])
    check_allowed(plan(mine, "policy.report_to=none"), [])
    check_allowed(plan(mine, "policy.backend=single"), [])
    with pytest.raises(SettingsError, match="a plugin's backend: fsdp"):
        check_allowed(plan(mine, "policy.backend=fsdp"), [])
    assert "--allow report_to" in said([str(mine), "--set", "policy.report_to=wandb"], capsys)


def test_several_words_are_allowed_each_as_it_stands(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A word may hold a `;`; the last refusal is gone when every word stands."""
    reward, judged = "command:run=a; b 'c'", "function:name=os.getpid"
    mine.write_text(
        MINE.replace("score: {scorer: gold}", f'score: {{scorer: "{reward}"}}').replace("start, scorer: gold", f'start, scorer: "{judged}"')
    )
    assert f"--allow {shlex.quote(reward)}" in said([str(mine)], capsys)
    assert f"--allow {judged}" in said([str(mine), "--allow", reward], capsys)
    taken = mine.with_name("taken")
    taken.write_text("")
    assert "choose another" in said([str(mine), "--allow", reward, f"--allow={judged}", "--out", str(taken)], capsys)
    assert "a value is missing" in said([str(mine), "--allow"], capsys)


SHAPES = {
    "miniature: abc\nstages: {a: {sample: {n: 3}}}": "miniature: it is a mapping",
    "miniature: [1]\nstages: {a: {sample: {n: 3}}}": "miniature: it is a mapping",
    "miniature: 3\nstages: {a: {sample: {n: 3}}}": "miniature: it is a mapping",
    "stages: {}": "there are no stages",
    "stages: [1]": "stages: ",
    "stages: abc": "stages: ",
    "stages: {a: null}": "stages",
    "extends: 3\nstages: {}": "extends takes the name of a recipe, not 3",
    "extends: ./x.yaml\nstages: {}": "extends takes the name of a recipe, not './x.yaml'",
    'notes: "a\\0b"\nstages: {a: {sample: {n: 3}}}': "holds a NUL",
    'stages: {a: {sample: {prompts: "\\uD800"}}}': "holds a NUL, or what is no UTF-8 text",
    'stages: {a: {sample: {"\\0": 1}}}': "holds a NUL",
}


@pytest.mark.parametrize("text", SHAPES)
def test_a_file_of_another_shape_is_one_message(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"recipe: wrong\n{text}\n")
    err = said([str(file), "--plan"], capsys)
    assert SHAPES[text] in err
    assert "wrong.yaml:2" in err


@pytest.mark.parametrize("stages", ["{a: null}", "{a: {}}", "[1]", "abc", "3"])
def test_a_change_of_what_is_no_stage_is_one_message(stages: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"recipe: wrong\nstages: {stages}\n")
    assert "--set a.n: " in said([str(file), "--plan", "--set", "a.n=3"], capsys)


def test_none_takes_the_miniature_away(mine: Path) -> None:
    mine.write_text(MINE + "miniature: none\n")
    assert plan(mine)[0].key == plan("./mine.yaml", "rounds=1")[0].key


def test_an_empty_recipe_is_told_what_a_recipe_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.yaml").write_text("")
    err = said([str(tmp_path / "empty.yaml"), "--plan"], capsys)
    assert "a recipe needs a name and stages" in err
    assert "objective" not in err


@pytest.mark.parametrize("value", ["no", "1:30", "1_0", "010", "", " ", "&a x", "1\nother: 2"])
def test_a_change_has_no_traps_of_yaml(value: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--set drawn.prompts: " in said([str(mine), "--plan", "--set", f"drawn.prompts={value}"], capsys)
    if value in ("no", "1:30", "1_0", "010"):
        assert read_change(f'drawn.prompts="{value}"') == ("drawn.prompts", value)


@pytest.mark.parametrize("word", ["a\0b", "a\udcffb"])
@pytest.mark.parametrize("flag", ["--set=drawn.prompts=", "--out=", "--model=", "--allow=", "./"])
def test_a_word_of_the_command_line_is_text(word: str, flag: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds a NUL, or what is no UTF-8 text" in said([str(mine), flag + word], capsys)


def test_an_option_within_an_option_can_be_changed(mine: Path) -> None:
    assert plan(mine, "policy.set.beta=0.7")[3].words == ("dpo", "--set=beta=0.7")


@pytest.mark.parametrize("line", ['{"a": 1}', '{"key": 1, "out": "x"}', '{"key": "a", "out": "x", "sha256": 3}'])
@pytest.mark.parametrize("way", [[], ["--status"]])
def test_a_line_that_no_loop_wrote_is_one_message(line: str, way: list[str], mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = mine.with_name("out")
    out.mkdir()
    (out / "loop.jsonl").write_text(line + "\n")
    assert "loop.jsonl:1: a line that is of no command" in said([str(mine), "--out", str(out), *way], capsys)


@pytest.mark.parametrize("way", [[], ["--status"]])
def test_a_file_is_no_folder_for_a_loop(way: list[str], mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose another" in said([str(mine), "--out", str(mine), *way], capsys)
    if not way:
        assert "choose another" in said([str(mine), "--out", str(mine / "deeper")], capsys)
