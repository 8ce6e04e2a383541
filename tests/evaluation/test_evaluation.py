"""`halo eval` from its command line: contestants, what is left out, groups, comparisons, files, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import folder_of

import halo
from halo.cli.main import main
from halo.completions.scoring import Completed, CompletionScorer, ScoreGroup, ScorerContext, Verdict
from halo.evaluation import run as evaluation_run
from halo.evaluation.comparisons import apart
from halo.evaluation.report import Report
from halo.grading.options import OfImplied
from halo.plugin.registry import choose
from halo.starter.defaults import POLICY
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

NEAR = 1e-4
"""Of a mean log-prob in float32, whatever stands beside it in the batch."""
BASE = {
    "sort 21": [("21", 0), ("12", 1)],
    "sort 7": [("7", 1), ("77", 0)],
    "sort 95": [("95", 0), ("59", 1)],
    "alone": [("x", 1), ("y", 1)],
}
OURS = {"sort 21": [("12", 1), ("12", 1)], "sort 7": [("7", 1), ("7", 1)], "sort 95": [("95", 0), ("95", 0)], "other": [("x", 1), ("y", 1)]}
COLUMNS = {"sort 21": {"size": "two"}, "sort 7": {"size": "one"}, "sort 95": {"size": "two"}}


def samples(path: Path, told: dict[str, list[tuple[str, float | None]]], **more: Any) -> Path:
    rows = {prompt: [{"completion": text, "score": score} for text, score in given] for prompt, given in told.items()}
    return folder_of(path, rows, COLUMNS, **more)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    samples(tmp_path / "base", BASE)
    samples(tmp_path / "ours", OURS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(*words: str, **settings: Any) -> Report:
    report: Report = halo.evaluate(*words, say=lambda line: None, **settings)
    return report


def value(report: Report, measure: str, contestant: str = "ours", group: str | None = None) -> Any:
    (found,) = [one for one in report.numbers if (one.measure.name, one.contestant, one.group) == (measure, contestant, group)]
    return found


def test_a_win_rate_is_of_the_prompts_that_both_answered(folders: Path) -> None:
    report = evaluated("win+reward", "ours", against="base", by="reward")
    assert report.names == ("base", "ours")
    won = value(report, "win rate")
    assert (won.found.value, won.found.n) == (pytest.approx((0.75 + 0.75 + 0.25) / 3), 3)
    assert value(report, "mean score").gap.value == pytest.approx((1 + 1 + 0) / 3 - (0.5 + 0.5 + 0.5) / 3)
    left = [json.loads(line) for line in (folders / "evaluation" / "left-out.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["reason"]) for row in left] == [
        ("alone", "without an answer of ours"), ("other", "without an answer of base"),
    ]  # fmt: skip
    assert any("There are 3 prompts" in warning for warning in report.warnings)


def test_numbers_are_parted_by_a_column(folders: Path) -> None:
    report = evaluated("reward", "ours", against="base", by="reward", column="size")
    assert value(report, "mean score", group="two").found.value == 0.5
    assert value(report, "mean score", group="one").found.value == 1
    assert value(report, "mean score").found.n == 3
    assert report.tables()[0].head == ("measure", "size", "base", "ours")


def test_what_has_no_score_is_left_out_and_counted(folders: Path) -> None:
    samples(folders / "half", {**OURS, "sort 21": [("12", None), ("12", 1)]})
    found = value(evaluated("reward", "half", by="reward"), "mean score", "half")
    assert (found.found.n, found.left_out) == (3, 1)


def test_the_files_hold_what_was_found(folders: Path) -> None:
    assert main(["eval", "win+texts", "ours", "--against", "base", "--by", "reward"]) == 0
    folder = folders / "evaluation"
    told = json.loads((folder / "report.json").read_text())
    (won,) = [one for one in told["numbers"] if one["measure"] == "win rate"]
    assert {"value", "low", "high", "n", "left_out", "meaning", "contestant"} <= set(won)
    assert "win rate" in (folder / "report.md").read_text()
    assert r"\begin{tabular}" in (folder / "report.tex").read_text()
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "sort 95" in page


def test_killed_and_started_again_it_gives_the_same_bytes(folders: Path) -> None:
    def bytes_of() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (folders / "evaluation").iterdir() if file.is_file()}

    words = ["eval", "win+texts", "ours", "--against", "base", "--by", "reward"]
    assert main(words) == 0
    before = bytes_of()
    for name in ("stage.json", "report.html"):
        (folders / "evaluation" / name).unlink()
    (folders / "evaluation" / "report.json").write_text("torn")
    assert main(words) == 0
    assert bytes_of() == before


def test_a_folder_holds_one_evaluation(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ours", "--against", "base", "--by", "reward"]
    assert main(["eval", "win", *words]) == 0
    assert main(["eval", "win", "base", "--against", "ours", "--by", "reward"]) == 2
    assert 'was made with contestants ["base", "ours"], and you ask for ["ours", "base"]' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["win", "ours", "--by", "reward"], "--against: win needs a baseline"),
        (["win", "ours", "--against", "base"], "--scorer: win needs scores"),
        (["reward"], "whom should it evaluate?"),
        (["rewards", "ours"], "did you mean 'reward'"),
        (["pass-at-k:threshold=x", "ours", "--by", "reward"], "threshold=x is not a number"),
        (["reward", "ours", "--by", "rewards"], "has no scores 'rewards'; did you mean 'reward'"),
        (["reward", "ours", "ours", "--by", "reward"], "ours stands twice"),
        (["reward", "ours", "--by", "reward", "--column", "sise"], "no prompt has a column 'sise'; there are size"),
        (["reward", "ours", "--by", "reward", "--scorer", "gold"], "give --scorer or --by, not both"),
        (["reward", "nowhere", "--scorer", "gold"], "nowhere"),
        (["kl", "ours", "--by", "reward"], "kl is of log-probs, which these scores are not"),
        (["reward", "ours", "--by", "reward", "--reference", "embedded"], "give --given too"),
        (["reward", "ours", "--by", "reward", "--format", "xml"], "there is no format 'xml'"),
    ],
)
def test_what_cannot_be_is_one_message(words: list[str], said: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1, err


def test_folders_without_a_common_prompt_are_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples(folders / "apart", {"elsewhere": [("a", 1)]})
    assert main(["eval", "reward", "apart", "ours", "--by", "reward"]) == 2
    assert "apart and ours have no prompt in common" in capsys.readouterr().err


def test_a_win_that_is_length_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty comparisons in which the longer answer wins four times in five, and ours is longer in four of five."""
    monkeypatch.chdir(tmp_path)
    base, ours = dict[str, list[tuple[str, float | None]]](), dict[str, list[tuple[str, float | None]]]()
    for place in range(60):
        longer, longer_wins = place % 5 != 0, place % 4 != 0
        base[f"prompt {place}"] = [("b" * 20, 0.0)]
        ours[f"prompt {place}"] = [("o" * (30 if longer else 10), 1.0 if longer == longer_wins else -1.0)]
    samples(tmp_path / "base", base)
    samples(tmp_path / "ours", ours)
    report = evaluated("win", "ours", against="base", by="reward")
    raw, controlled = value(report, "win rate").found, value(report, "win rate, length-controlled").found
    assert raw.low > 0.5
    assert controlled.low < 0.5 < controlled.high
    assert any("Longer answers are preferred" in said for said in report.warnings)
    assert any("length explains the difference" in said for said in report.warnings)
    assert "length explains the difference" in (tmp_path / "evaluation" / "report.html").read_text()


# -- a scorer that compares ------------------------------------------------------------------------------------------------


class Longest:
    """Says who is longer, in a group alone: 1 for the longest, and flips where lengths are equal. The first call fails."""

    asked: list[ScoreGroup] = []  # noqa: RUF012
    fails = 1

    def __init__(self, context: ScorerContext) -> None:
        pass

    def score(self, groups: list[ScoreGroup]) -> list[Verdict]:
        Longest.asked += groups
        return [self._of(group) for group in groups]

    def _of(self, group: ScoreGroup) -> Verdict:
        if Longest.fails:
            Longest.fails -= 1
            return Verdict((None, None), ("down", "down"))
        sizes = [len(one.text) for one in group.completions]
        told = {"flips": float(len(set(sizes)) == 1)}
        return Verdict(tuple(float(size == max(sizes)) for size in sizes), parts=(told, told))


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    Longest.asked, Longest.fails = [], 1
    scorer = CompletionScorer("longest", "who is longer", Longest, at_once=2, relative=True)
    monkeypatch.setattr(evaluation_run, "choose", lambda kind, name: scorer if name == "longest" else choose(kind, name))


def test_a_scorer_that_compares_sees_both_answers(folders: Path, longest: None) -> None:
    words: dict[str, Any] = {"against": "base", "scorer": "longest"}
    first = evaluated("win", "ours", **words)
    assert [len(group.completions) for group in Longest.asked] == [2] * 6  # three prompts, two answers each
    assert value(first, "win").left_out == 1  # the one that failed
    count = len(Longest.asked)
    again = evaluated("win", "ours", **words)
    assert len(Longest.asked) == count + 1  # it alone is asked again
    assert value(again, "win").left_out == 0
    assert value(again, "loss").found.value == pytest.approx((0 + 0.5 + 0) / 3)  # `7` against `77`
    assert value(again, "flips").found.value == pytest.approx(5 / 6)


def test_several_are_compared_with_the_baseline_one_by_one(folders: Path, longest: None, capsys: pytest.CaptureFixture[str]) -> None:
    Longest.fails = 0
    samples(folders / "third", {prompt: [("a long answer", 0), ("x", 0)] for prompt in OURS})
    report = evaluated("win", "ours", "third", against="base", scorer="longest")
    assert [len(group.completions) for group in Longest.asked] == [2] * 12  # three prompts, two answers, two comparisons
    assert value(report, "win", "third").found.value == pytest.approx((0.5 + 0.5 + 0.5) / 3)
    ranks = [1, 3, 1, 2.5, 1, 3]  # `x` loses to what the baseline says; against `77` ours loses too, and they share the last rank
    assert value(report, "rank", "third").found.value == pytest.approx(sum(ranks) / 6)
    assert main(["eval", "reward", "ours", "--scorer", "longest", "--out", "other"]) == 2
    assert "there must be a baseline" in capsys.readouterr().err


def test_conversations_that_part_are_shown_whole() -> None:
    first = {"role": "user", "content": "q1"}
    prompts = [[first, {"role": "assistant", "content": said}, {"role": "user", "content": "q2"}] for said in ("a", "b")]
    shared, (one, other) = apart(prompts, [Completed("a2", "end"), Completed("b2", "length")])
    assert shared == [first]
    assert (one.text, other.text) == ("a\n\nuser: q2\n\nassistant: a2", "b\n\nuser: q2\n\nassistant: b2")
    assert other.finish == "length"


def test_the_turns_of_a_conversation_are_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: None) -> None:
    monkeypatch.chdir(tmp_path)
    Longest.fails = 0
    Path("turns.jsonl").write_text("".join(json.dumps({"turns": [f"sort {n}", f"sort {n}1"]}) + "\n" for n in (21, 37, 95)))
    for seed in ("0", "1"):
        sampled = ["sample", "--prompts", "turns.jsonl", "--n", "2", "--max-new-tokens", "5", "--seed", seed, "--use-cpu"]
        assert main([*sampled, "--out", f"seed-{seed}"]) == 0
    report = evaluated("win+texts", "seed-1", against="seed-0", scorer="longest", column="turn")
    assert len(report.prompts) == 3 + 3 * 2  # of the first turn two answers to a prompt, of the second one to each of two conversations
    assert {value(report, "characters", "seed-1", group).found.n for group in (None, "1", "2")} == {3}
    parted = [group for group in Longest.asked if any("user: sort" in one.text for one in group.completions)]
    assert parted  # some first answers differ
    assert all("user: sort" in one.text and len(group.prompt) == 1 for group in parted for one in group.completions)


def test_each_turn_counts_once_whatever_the_data_calls_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two answers to the first question of each conversation, one to the second of each: the mean is of turns, by hand."""
    monkeypatch.chdir(tmp_path)
    rows = [{"turns": [f"sort {n}", f"sort {n}1"], "turn": "odd"} for n in (21, 37, 95, 4)]
    Path("turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["sample", "--prompts", "turns.jsonl", "--n", "2", "--max-new-tokens", "5", "--use-cpu", "--out", "ours"]) == 0
    found = value(evaluated("texts", "ours"), "characters").found
    lengths: dict[tuple[str, int], list[int]] = {}
    for line in Path("ours/samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        lengths.setdefault((row["conversation"], row["turn"]), []).append(len(row["completion"]))
    assert len(lengths) == 8
    assert (found.n, found.value) == (4, pytest.approx(sum(sum(own) / len(own) for own in lengths.values()) / 8))


# -- models that write, and models that score --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [
        {"prompt": f"sort {number}", "chosen": "".join(sorted(str(number))), "rejected": str(number)} for number in (231, 4312, 90817, 55)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded policy with other weights, as a run's folder."""
    folder = tmp_path_factory.mktemp("runs") / "moved"
    shutil.copytree(POLICY, folder)
    model = load_model(str(POLICY), Settings())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(folder)
    (folder / "objective.yaml").write_text(
        (Path(__file__).parents[2] / "objectives" / "dpo.yaml").read_text().replace("default: 0.1", "default: 0.4")
    )
    (folder / "settings.yaml").write_text("model_name_or_path: null\n")
    return folder


def logps(folder: Path, prompt: str, completion: str) -> list[float]:
    """Of the answer and its end, from the whole row, by itself."""
    model, tokenizer = load_model(str(folder), Settings()).eval(), load_tokenizer(str(folder), Settings())
    head = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
    before = tokenizer(head, add_special_tokens=False)["input_ids"]
    ids = [*before, *tokenizer(completion, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [float(log_p[place - 1, ids[place]]) for place in range(len(before), len(ids))]


def test_the_implied_reward_is_beta_times_the_log_ratio(moved: Path) -> None:
    scorer = choose("scorer", "implied")
    group = ScoreGroup("0" * 16, "sort 231", (Completed("123", ""), Completed("231", "")), {})
    for more, beta in (({}, 0.4), ({"beta": 0.1, "reference": str(POLICY)}, 0.1)):
        options = OfImplied.model_validate({"model": str(moved), **more})
        (verdict,) = scorer.build(ScorerContext(options, torch.device("cpu"))).score([group])
        for one, score in zip(group.completions, verdict.scores, strict=True):
            gap = sum(logps(moved, "sort 231", one.text)) - sum(logps(POLICY, "sort 231", one.text))
            assert score == pytest.approx(beta * gap, abs=NEAR)


def test_models_score_what_the_data_holds(prompts: Path, moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = evaluated("accuracy+perplexity", str(moved), prompts=str(prompts), reference="embedded", use_cpu=True)
    assert report.names == ("moved", "moved implied")
    rows = [json.loads(line) for line in prompts.read_text().splitlines()]
    right, implied, nats, tokens = [], [], 0.0, 0
    for row in rows:
        own, base = ([logps(folder, row["prompt"], row[side]) for side in ("chosen", "rejected")] for folder in (moved, POLICY))
        means = [sum(one) / len(one) for one in own]
        gaps = [sum(one) - sum(other) for one, other in zip(own, base, strict=True)]
        right.append((means[0] > means[1]) + 0.5 * (row["chosen"] == row["rejected"]))
        implied.append((gaps[0] > gaps[1]) + 0.5 * (row["chosen"] == row["rejected"]))
        nats, tokens = nats - sum(map(sum, own)), tokens + sum(map(len, own))
    assert value(report, "accuracy", "moved").found.value == pytest.approx(sum(right) / len(rows))
    assert value(report, "accuracy", "moved implied").found.value == pytest.approx(sum(implied) / len(rows))
    told = value(report, "perplexity of all tokens", "moved").found.value
    assert told == pytest.approx(torch.tensor(nats / tokens).exp().item(), rel=NEAR)


def test_models_are_sampled_with_the_same_noise(prompts: Path, moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    more: dict[str, Any] = {"prompts": str(prompts), "n": 3, "max_new_tokens": 6, "use_cpu": True}
    report = evaluated("texts+kl", str(moved), "embedded", scorer=f"likelihood:model={POLICY}", **more)
    assert report.names == ("moved", "embedded")
    kl = value(report, "KL", "embedded").found
    assert kl.value == pytest.approx(0, abs=24 * NEAR)  # of itself, token by token
    assert value(report, "KL", "moved").found.value > 0.1
    rows = [json.loads(line) for line in (tmp_path / "evaluation" / "samples" / "moved" / "samples.jsonl").read_text().splitlines()]
    gaps: dict[str, list[float]] = {}
    for row in rows:
        ended = row["finish"] == "end"
        base = logps(POLICY, row["prompt"], row["completion"])[: None if ended else -1]
        gaps.setdefault(row["prompt_id"], []).append(sum(row["logps"]) - sum(base))
    expected = sum(sum(own) / 3 for own in gaps.values()) / len(gaps)
    assert value(report, "KL", "moved").found.value == pytest.approx(expected, abs=24 * NEAR)


def test_a_file_of_answers_is_a_contestant(prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = evaluated("win", f"{prompts}:chosen", against=f"{prompts}:rejected", scorer="gold")
    assert value(report, "win rate", report.names[1]).found.value == pytest.approx(0.875)  # three are sorted, 55 is as it was


# -- what was attacked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"prompt_id": "KEY", "sample": 0, "score": NaN}', "score is NaN, not a finite number"),
        ('{"prompt_id": "KEY", "sample": 0, "score": 1e999}', "score is Infinity, not a finite number"),
        ('{"prompt_id": "KEY", "sample": 0, "score": true}', "score is true, not a finite number"),
        ('{"prompt_id": "KEY", "sample": "0", "score": 1}', 'sample is "0", not a whole number'),
        ('{"prompt_id": ["KEY"], "sample": 0, "score": 1}', "a score without a prompt_id"),
        ('{"prompt_id": "KEY", "sample": 0}', "a row without a score"),
    ],
)
def test_what_is_no_score_is_refused_where_it_is_read(row: str, said: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folders / "ours" / "scores" / "reward.jsonl").open("a") as stream:
        stream.write(row + "\n")
    for command in (["eval", "reward", "ours", "--by", "reward"], ["pair", "ours", "--by", "reward"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "reward.jsonl:9" in err


def test_scores_of_other_samples_are_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "ours", "--scorer", "gold"]) == 0
    shutil.copy(folders / "ours" / "scores" / "gold.jsonl", folders / "base" / "scores")
    shutil.copy(folders / "ours" / "scores" / "gold.manifest.json", folders / "base" / "scores")
    assert main(["eval", "reward", "base", "--by", "gold"]) == 2
    assert "has scores of other samples" in capsys.readouterr().err
    assert main(["eval", "reward", "base", "--by", "../../ours/scores/gold"]) == 2
    assert "is no name of scores" in capsys.readouterr().err


def test_values_of_a_column_are_told_apart_from_all_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = ["", "(all)", "1", 1, None, "None"]
    rows = {f"prompt {place}": [{"completion": "a", "score": float(place)}] for place in range(len(kinds))}
    folder_of(tmp_path / "ours", rows, {f"prompt {place}": {"kind": kind} for place, kind in enumerate(kinds)})
    report = evaluated("reward", "ours", by="reward", column="kind")
    assert value(report, "mean score").found.value == 2.5
    labels = [row[1] for row in report.tables()[0].rows]
    assert sorted(labels) == sorted(["(all)", '""', '"(all)"', '"1"', "1", "null", "None"])


def test_control_characters_of_the_data_reach_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "a\nb}\\input{z}%"
    told = {"one": [{"completion": "a", "score": 1.0}]}
    folder_of(tmp_path / name, told, {"one": {"kind": "\x1b]0;owned\x07\x1b[2J"}})
    assert main(["eval", "reward", name, "--by", "reward", "--column", "kind"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    tex = (tmp_path / "evaluation" / "report.tex").read_text()
    assert not [line for line in tex.splitlines() if line.startswith("b}")]
    assert "\x1b" not in tex


def test_other_evaluators_find_the_samples_of_an_evaluation(folders: Path) -> None:
    evaluated("win", "ours", against="base", by="reward")
    report = evaluated("texts", "ours", against="base")
    assert {one.evaluator for one in report.numbers} == {"texts"}


def test_a_mistyped_option_binds_nobody(prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["eval", "accuracy", "--prompts", str(prompts), "--scorer", "gold", "--out", "out"]
    assert main([*words, "--given", "chozen+rejected"]) == 2
    assert main([*words, "--given", "chosen+rejected"]) == 0
    assert main(["score", "out/texts", "--scorer", "function:name=nope.f", "--name", "mine"]) == 2
    assert main(["score", "out/texts", "--scorer", "gold", "--name", "mine"]) == 0


def test_two_pairs_of_one_prompt_are_two_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [("sort 21", "12", "21"), ("sort 21", "12", "22"), ("sort 21", "21", "12"), ("sort 21", "12", "21")]
    text = "".join(json.dumps({"prompt": prompt, "chosen": good, "rejected": bad}) + "\n" for prompt, good, bad in rows)
    Path("pairs.jsonl").write_text(text)
    report = evaluated("accuracy", prompts="pairs.jsonl", scorer="gold")
    found = value(report, "accuracy", "gold").found
    assert (found.n, found.value) == (3, pytest.approx(2 / 3))
    assert report.left_out == 1  # the last row is the first once more


def test_what_measures_nothing_says_so(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples(folders / "mute", {prompt: [("a", None)] for prompt in OURS})
    assert main(["eval", "reward", "mute", "--by", "reward", "--out", "one"]) == 2
    assert "nothing could be measured: reward has no number of mute" in capsys.readouterr().err
    report = evaluated("reward", "mute", "ours", by="reward", out="two")
    assert any("reward has no number of mute" in said for said in report.warnings)


def test_json_stands_alone_whatever_a_scorer_prints(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "loud_scores.py").write_text(
        "def f(prompts, completions, **more):\n    print('hello')\n    return [1.0] * len(completions)\n"
    )
    monkeypatch.syspath_prepend(folders)
    assert main(["eval", "reward", "ours", "--scorer", "function:name=loud_scores.f", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["numbers"]
