"""Training on what was sampled: on the ids, at their temperature, without an end that nobody wrote, and said to be on-policy or not."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from halo.cli.main import main
from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.reading import read_examples
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import DataError
from halo.objective.feedback import LABELLED, PAIRED, kind_of
from halo.starter.defaults import HELD_OUT
from halo.training.run.on_policy import effective_share

END, TEMPERATURE = 2, 1.3


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sampled, scored and paired from the embedded policy."""
    folder = tmp_path_factory.mktemp("pairs")
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(f"{line}\n" for line in HELD_OUT.read_text().splitlines()[:60]))
    sampler = ["--sampler", f"sample:temperature={TEMPERATURE}", "--n", "4", "--max-new-tokens", "6", "--use-cpu"]
    assert main(["sample", "--prompts", str(prompts), "--out", str(folder / "samples"), *sampler]) == 0
    assert main(["score", str(folder / "samples"), "--scorer", "gold"]) == 0
    assert main(["pair", str(folder / "samples"), "--by", "gold", "--keep-cut", "--out", str(folder / "pairs.jsonl")]) == 0
    return folder / "pairs.jsonl"


def rows_of(pairs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pairs.read_text().splitlines()]


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    file = folder / "changed.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_examples_are_the_ids_that_were_sampled(pairs: Path) -> None:
    examples, _, _ = read_examples(str(pairs), FORMATS)
    how = Preparation(PAIRED, PAIRED.slots, tiny.template())
    finishes = set()
    for example, row in zip(examples, rows_of(pairs), strict=True):
        found = tokenize(example, how)
        assert not isinstance(found, str)
        assert found.origin == "ids"
        for side in ("chosen", "rejected"):
            (tail,) = found.tails[side]
            whole = [*found.prefix, *tail.ids]
            assert whole == row["prompt_tokens"] + row[f"{side}_tokens"]
            assert sum(tail.scored) == len(row[f"{side}_tokens"])
            assert (tail.finish, tail.temperature) == (row[f"{side}_finish"], TEMPERATURE)
            assert (whole[-1] == END) == (tail.finish == "end")
            finishes.add(tail.finish)
    assert finishes == {"end", "length"}


def test_labels_of_pairs_keep_their_ids(pairs: Path) -> None:
    examples, _, _ = read_examples(str(pairs), FORMATS)
    labels, _ = convert(examples, LABELLED)
    how = Preparation(LABELLED, LABELLED.slots, tiny.template())
    for label, row in zip(labels[:2], [rows_of(pairs)[0]] * 2, strict=True):
        found = tokenize(label, how)
        assert not isinstance(found, str)
        side = "chosen" if label.desirable else "rejected"
        assert [*found.prefix, *found.tails["completion"][0].ids] == row["prompt_tokens"] + row[f"{side}_tokens"]


def test_lists_keep_their_ids(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    assert main(["pair", str(pairs.parent / "samples"), "--by", "gold", "--rule", "list", "--keep-cut", "--out", str(out)]) == 0
    examples, _, _ = read_examples(str(out), FORMATS)
    ranked = kind_of("ranked")
    found = tokenize(examples[0], Preparation(ranked, ranked.slots, tiny.template()))
    assert not isinstance(found, str)
    row = rows_of(out)[0]
    (tails,) = found.tails.values()
    assert [[*found.prefix, *tail.ids] for tail in tails] == [row["prompt_tokens"] + tokens for tokens in row["completions_tokens"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chosen": "edited"}, "the text of chosen is not that of its ids: it was edited"),
        ({"prompt": "sort 1"}, "the prompt's ids are not those of this tokenizer and template"),
        ({"chosen_tokens": [1, -1]}, "the tokens of a completion are no list of ids"),
        ({"chosen_tokens": []}, "the tokens of a completion are no list of ids"),
        ({"chosen_finish": "eos"}, "a finish is 'eos'"),
        ({"chosen_temperature": 0}, "a temperature is 0"),
        ({"prompt_tokens": "1 2"}, "prompt_tokens is no list of ids"),
        ({"chosen_old_logp": [0.0]}, "old_logp has not one number for each of its tokens"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, Any], said: str, pairs: Path, tmp_path: Path) -> None:
    row = {**rows_of(pairs)[0], **change}
    how = Preparation(PAIRED, PAIRED.slots, tiny.template())
    file = written(tmp_path, [row])
    with pytest.raises(DataError, match=re.escape(said)) as refused:
        tokenize(read_examples(file, FORMATS)[0][0], how)
    assert refused.value.place is not None


def test_texts_are_trained_on_where_that_is_asked_for(pairs: Path, tmp_path: Path) -> None:
    row = {**rows_of(pairs)[0], "chosen": "123"}
    examples, _, _ = read_examples(written(tmp_path, [row]), FORMATS)
    found = tokenize(examples[0], Preparation(PAIRED, PAIRED.slots, tiny.template(), ids=False))
    assert not isinstance(found, str)
    assert (found.origin, found.tails["chosen"][0].ids[-1]) == ("text", END)


def trained(pairs: Path, folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    given = ["--max-steps", "2", "--check", "false", "--use-cpu", "--max-length", "64", "--output-dir", str(folder)]
    assert main(["train", "dpo", "--data", str(pairs), *given, *more]) == 0
    return capsys.readouterr().out


def test_a_run_says_that_it_is_on_policy(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = trained(pairs, tmp_path / "run", capsys)
    found = re.search(r"samples    on-policy: the policy's log-probs are those of the samples, to (\S+) nats a token", said)
    assert found, said
    assert float(found[1]) < 1e-4


def test_a_run_says_how_far_off_policy_it_is(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny.policy(seed=1).float()
    model.save_pretrained(tmp_path / "model")
    tiny.template().tokenizer.save_pretrained(tmp_path / "model")
    said = trained(pairs, tmp_path / "run", capsys, "--model", str(tmp_path / "model"))
    found = re.search(r"off-policy: written by weights 9255449b5186, log-probs differ by up to (\S+) nats a token; (\d+) completions are worth (\d+)%", said)
    assert found, said
    assert float(found[1]) > 0.01
    assert 0 < int(found[3]) <= 100


def test_effective_sample_size() -> None:
    assert effective_share([0.3] * 8) == pytest.approx(1)
    assert effective_share([0.0, -1000.0, -1000.0, -1000.0]) == pytest.approx(0.25)
    weights = torch.randn(50, dtype=torch.float64)
    w = weights.exp()
    assert effective_share(weights.tolist()) == pytest.approx(float(w.sum() ** 2 / (50 * (w**2).sum())))
    assert math.isfinite(effective_share([900.0, 901.0]))


def test_log_probs_of_the_sampler_reach_an_objective_that_reads_them(pairs: Path, tmp_path: Path) -> None:
    """On-policy, the ratio pi / pi_old is 1 for every token: a clipped objective's loss is its unclipped one."""
    objective = {
        "name": "ratio", "feedback": "paired", "reward": "sum(exp(logp - old_logp)) / length", "reference_point": "rejected",
        "value": "z", "sign": -1,
    }  # fmt: skip
    file = tmp_path / "ratio.yaml"
    file.write_text(json.dumps(objective))
    given = ["--data", str(pairs), "--max-steps", "1", "--check", "false", "--use-cpu", "--max-length", "64", "--output-dir", str(tmp_path / "run")]
    assert main(["train", str(file), *given]) == 0
    (record,) = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert record["loss"] == pytest.approx(0, abs=1e-4)  # 1 - 1 of every pair


def test_parquet_trains_as_json_lines_do(pairs: Path, tmp_path: Path) -> None:
    """The same feedback in the other file: the same losses, number for number."""
    given = ["pair", str(pairs.parent / "samples"), "--by", "gold", "--keep-cut", "--out", str(tmp_path / "pairs.parquet")]
    assert main(given) == 0
    losses = []
    for file in (pairs, tmp_path / "pairs.parquet"):
        out = tmp_path / file.suffix[1:]
        run = ["train", "dpo", "--data", str(file), "--max-steps", "2", "--logging-steps", "1", "--check", "false", "--use-cpu"]
        assert main([*run, "--output-dir", str(out)]) == 0
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses.append([(row["step"], row["loss"]) for row in rows if "loss" in row])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2
