"""Objectives that read the whole next-token distribution, against plain writings from full logits, and trained end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from tolerances import KEPT, RUN, assert_near, roundings
from torch import Tensor

import halo
from halo.cli.main import main
from halo.loss.inputs import Completions, LossInputs
from halo.scoring.distributions import Uniform
from halo.scoring.scorer import Scorer
from halo.training.step.step import Step

DPO = {"feedback": "paired", "parameters": {"beta": {"default": 0.3}}, "reward": "sum(logp - ref_logp)", "normalizer": "beta",
       "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1}  # fmt: skip
TDPO1 = {**DPO, "name": "tdpo1", "let": {"kl": "sum(kl_ref_policy)"}, "margin": "beta * (rejected.kl - chosen.kl)"}
TDPO2 = {**TDPO1, "name": "tdpo2", "parameters": {**DPO["parameters"], "alpha": {"default": 0.5, "domain": "[0, inf)"}},  # type: ignore[dict-item]
         "margin": "alpha * beta * (rejected.kl - stop(chosen.kl))"}  # fmt: skip
WPO = {**DPO, "name": "wpo", "let": {"confidence": "mean(logp - log_sum_sq_probs)"},
       "weight": "stop(min(1, exp(chosen.confidence + rejected.confidence)))"}  # fmt: skip
DISPERSION = "-0.29 * log((mean(chosen.ref_entropy) + mean(rejected.ref_entropy)) / 2 / log_vocabulary)"
MALLOWS = {**DPO, "name": "mallows", "parameters": {**DPO["parameters"], "log_vocabulary": {"default": 5.0, "domain": "(0, inf)"}},  # type: ignore[dict-item]
           "let": {"phi": DISPERSION}, "normalizer": "beta * phi"}  # fmt: skip
RAINBOW = {**MALLOWS, "name": "rainbow", "reward": "mean(logp) - 0.25 * mean(ref_logp)", "margin": 0.75 * 0.1}
FORWARD = {"name": "forward_kl", "feedback": "paired", "regularizers": {
    "stay": {"role": "chosen", "expression": "kl_policy_ref - 0.1 * entropy", "reduce": {"tokens": "mean"}}}}  # fmt: skip
SPREAD = {**DPO, "name": "spread", "reference_point": "batch_mean(rejected.reward + sum(rejected.kl_policy_ref))"}

Words = dict[str, Tensor]
Writing = Callable[[list[Words], list[Words]], Tensor]
"""The words of every chosen and every rejected completion, each a tensor of its tokens -> the loss."""


def gaps(chosen: list[Words], rejected: list[Words]) -> Tensor:
    return torch.stack([(w["logp"] - w["ref"]).sum() - (r["logp"] - r["ref"]).sum() for w, r in zip(chosen, rejected, strict=True)])


def summed(rows: list[Words], word: str) -> Tensor:
    return torch.stack([row[word].sum() for row in rows])


def averaged(rows: list[Words], word: str) -> Tensor:
    return torch.stack([row[word].mean() for row in rows])


def preference(z: Tensor) -> Tensor:
    return -torch.log(torch.sigmoid(z))


def tdpo(alpha: float, detached: bool) -> Writing:
    def loss(chosen: list[Words], rejected: list[Words]) -> Tensor:
        own = summed(chosen, "kl_ref_policy")
        own = own.detach() if detached else own
        return preference(0.3 * (gaps(chosen, rejected) - alpha * (summed(rejected, "kl_ref_policy") - own))).mean()

    return loss


def wpo(chosen: list[Words], rejected: list[Words]) -> Tensor:
    weights = [averaged(rows, "logp") - averaged(rows, "log_sum_sq") for rows in (chosen, rejected)]
    return ((weights[0] + weights[1]).exp().clamp(max=1).detach() * preference(0.3 * gaps(chosen, rejected))).mean()


def dispersion(chosen: list[Words], rejected: list[Words]) -> Tensor:
    return -0.29 * torch.log((averaged(chosen, "ref_entropy") + averaged(rejected, "ref_entropy")) / 2 / 5.0)


def mallows(chosen: list[Words], rejected: list[Words]) -> Tensor:
    return preference(0.3 * dispersion(chosen, rejected) * gaps(chosen, rejected)).mean()


def rainbow(chosen: list[Words], rejected: list[Words]) -> Tensor:
    rewards = [averaged(rows, "logp") - 0.25 * averaged(rows, "ref") for rows in (chosen, rejected)]
    return preference(0.3 * dispersion(chosen, rejected) * (rewards[0] - rewards[1]) - 0.075).mean()


def forward(chosen: list[Words], rejected: list[Words]) -> Tensor:
    return torch.cat([row["kl_policy_ref"] - 0.1 * row["entropy"] for row in chosen]).mean()


def spread(chosen: list[Words], rejected: list[Words]) -> Tensor:
    rewards = [0.3 * torch.stack([(row["logp"] - row["ref"]).sum() for row in rows]) for rows in (chosen, rejected)]
    return preference(rewards[0] - (rewards[1] + summed(rejected, "kl_policy_ref")).mean()).mean()


CASES: dict[str, tuple[Any, Writing]] = {
    "tdpo1": (TDPO1, tdpo(1.0, False)), "tdpo2": (TDPO2, tdpo(0.5, True)), "wpo": (WPO, wpo), "mallows": (MALLOWS, mallows),
    "rainbow": (RAINBOW, rainbow), "forward_kl": (FORWARD, forward), "spread": (SPREAD, spread),
}  # fmt: skip


def words_of(model: Any, other: Any, example: Any, slot: str) -> Words:
    """Everything a loss may read of one completion, from the models' own full logits."""
    tail = example.tails[slot][0]
    ids = torch.tensor([[*example.prefix, *tail.ids]])
    at = torch.tensor([len(example.prefix) + i for i, scored in enumerate(tail.scored) if scored])
    log_p = torch.log_softmax(model(ids).logits[0, at - 1], -1)
    with torch.no_grad():
        log_q = torch.log_softmax(other(ids).logits[0, at - 1], -1) if other else torch.full_like(log_p, -math.log(log_p.shape[1]))
    came = ids[0, at, None]
    return {
        "logp": log_p.gather(1, came)[:, 0], "ref": log_q.gather(1, came)[:, 0], "log_sum_sq": log_p.exp().square().sum(1).log(),
        "entropy": -(log_p.exp() * log_p).sum(1), "ref_entropy": -(log_q.exp() * log_q).sum(1),
        "kl_ref_policy": (log_q.exp() * (log_q - log_p)).sum(1), "kl_policy_ref": (log_p.exp() * (log_p - log_q)).sum(1),
    }  # fmt: skip


class Frozen:
    """The embedded policy where it started; counts how often it runs."""

    def __init__(self) -> None:
        self.scorer, self.rows = Scorer(tiny.policy()), 0

    def logps(self, rows: Any) -> Tensor:
        return self.states(rows).scored()["logp"]

    def states(self, rows: Any) -> Any:
        self.rows += len(rows.owner)
        with torch.no_grad():
            return self.scorer.states(rows)

    def describe(self) -> str:
        return "the start"


class Even(Frozen):
    def states(self, rows: Any) -> Any:
        return Uniform(int(rows.scored.sum()), self.scorer.model.config.vocab_size, torch.device("cpu"))


def flat_gradient(model: Any) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def stepped(source: Any, micro: int, reference: Any = None) -> tuple[float, Tensor]:
    loss = halo.compile_objective(source)
    model = tiny.policy(seed=1)
    examples = tiny.examples("paired", ("chosen", "rejected"))
    step = Step(loss, Scorer(model), reference or Frozen(), torch.device("cpu"))
    stepped = step.run([examples[i : i + micro] for i in range(0, len(examples), micro)])
    assert not step._states
    return stepped.output.loss.item(), flat_gradient(model)


def plainly(writing: Writing, other: Any) -> tuple[float, Tensor]:
    model = tiny.policy(seed=1)
    examples = tiny.examples("paired", ("chosen", "rejected"))
    rows = [[words_of(model, other, example, slot) for example in examples] for slot in ("chosen", "rejected")]
    loss = writing(*rows)
    loss.backward()
    return loss.item(), flat_gradient(model)


@pytest.mark.numeric
@pytest.mark.parametrize("name", CASES)
def test_objective_equals_a_plain_writing_from_full_logits(name: str) -> None:
    """One batch, and the same in three micro-batches: value and gradient of every weight."""
    source, writing = CASES[name]
    true, true_gradient = plainly(writing, tiny.policy())
    for micro in (8, 3):
        value, gradient = stepped(source, micro)
        assert value == pytest.approx(true, rel=RUN)
        assert_near(gradient, true_gradient, RUN)


@pytest.mark.numeric
@pytest.mark.parametrize("name", ["tdpo1", "forward_kl"])
def test_a_uniform_reference_needs_no_model(name: str) -> None:
    source, writing = CASES[name]
    true, true_gradient = plainly(writing, None)
    value, gradient = stepped(source, 4, Even())
    assert value == pytest.approx(true, rel=RUN)
    assert_near(gradient, true_gradient, RUN)


@pytest.mark.numeric
def test_the_mismatched_completions_have_their_own_divergences() -> None:
    """KTO with z0 as a sum of exact divergences, not of sampled log-ratios; alone, and in micro-batches."""
    source = {"name": "exact_z0", "extends": "kto", "reference_point": "stop(beta * batch_mean(sum(mismatched.kl_policy_ref)))"}
    loss = halo.compile_objective(source)
    examples = tiny.examples("labelled", loss.needs.slots)
    model, other = tiny.policy(seed=1), tiny.policy()
    rows = {slot: [words_of(model, other, example, slot) for example in examples] for slot in ("completion", "mismatched")}
    z = 0.1 * torch.stack([(row["logp"] - row["ref"]).sum() for row in rows["completion"]])
    z = z - 0.1 * summed(rows["mismatched"], "kl_policy_ref").mean().detach()
    good = torch.tensor([bool(example.desirable) for example in examples])
    true = torch.where(good, 1 - torch.sigmoid(z), torch.sigmoid(z)).mean()
    true.backward()
    for micro in (8, 3):
        trained = tiny.policy(seed=1)
        step = Step(loss, Scorer(trained), Frozen(), torch.device("cpu"))
        stepped = step.run([examples[i : i + micro] for i in range(0, 8, micro)])
        assert stepped.output.loss.item() == pytest.approx(true.item(), rel=RUN)
        assert_near(flat_gradient(trained), flat_gradient(model), RUN)


def test_only_those_who_name_a_word_pay_for_it() -> None:
    """The reference runs once per completion also where KL and log-probs are both read; other objectives ask for no words."""
    for source in (DPO | {"name": "plain"}, MALLOWS, TDPO2):
        loss, reference, asked = halo.compile_objective(source), Frozen(), []
        scorer = Scorer(tiny.policy(seed=1))

        def score(*given: Any, scorer: Any = scorer, asked: list[Any] = asked) -> Any:
            asked.append(given[1:])
            return scorer(*given)

        examples = tiny.examples("paired", ("chosen", "rejected"))
        Step(loss, score, reference, torch.device("cpu")).run([examples[:4], examples[4:]])
        assert reference.rows == 16
        assert [bool(words) for words in asked] == [source is TDPO2] * 2
    needs = halo.compile_objective(TDPO2).needs
    assert (needs.words, needs.divergences, needs.reference) == (("kl_ref_policy",), ("kl_ref_policy",), True)
    assert halo.compile_objective(FORWARD).needs.reference_slots == ()
    assert halo.compile_objective("dpo").needs.words == ()


def test_library_users_pass_words_as_token_tensors() -> None:
    loss = halo.compile_objective(TDPO1)
    mask = torch.tensor([[True, True, False]])

    def given(**columns: Tensor) -> LossInputs:
        logp = torch.full((1, 3), -1.0)
        return LossInputs({slot: Completions(mask=mask, token_logps=logp, ref_token_logps=logp, columns=columns) for slot in ("chosen", "rejected")})

    kl = torch.tensor([[0.2, 0.3, float("nan")]], requires_grad=True)
    assert loss(given(kl_ref_policy=kl)).loss.item() == pytest.approx(math.log(2))
    with pytest.raises(halo.HaloError, match=r"chosen\.kl_ref_policy, rejected\.kl_ref_policy"):
        loss(given())


# -- whole runs ----------------------------------------------------------------------------------------------------------


def written(folder: Path, source: Any) -> str:
    file = folder / f"{source['name']}.yaml"
    file.write_text(yaml.safe_dump(source))
    return str(file)


def trained(folder: Path, source: Any, *flags: str) -> list[dict[str, Any]]:
    output = folder / f"run{len(list(folder.iterdir()))}"
    common = ["--data", tiny.few(), "--max-steps", "3", "--learning-rate", "1e-3", "--warmup-ratio", "0", "--logging-steps", "1", "--check", "false"]
    assert main(["train", written(folder, source), "--output-dir", str(output), *common, *flags]) == 0
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["tdpo2", "wpo", "mallows"])
def test_training_run(name: str, tmp_path: Path) -> None:
    records = trained(tmp_path, CASES[name][0], "--per-device-train-batch-size", "4", "--eval-fraction", "0.1", "--eval-strategy", "epoch")
    losses = [record["loss"] for record in records if "loss" in record]
    if name != "wpo":
        assert losses[0] == pytest.approx(math.log(2), rel=roundings(4, torch.float32))  # KL = 0 where the policy is its reference
    assert len({round(loss, 9) for loss in losses}) == 3


@pytest.mark.numeric
def test_accumulation_and_bf16_train_the_same_objective(tmp_path: Path) -> None:
    double = ["--dtype", "float64"]
    whole = trained(tmp_path, TDPO2, *double, "--per-device-train-batch-size", "8")
    split = trained(tmp_path, TDPO2, *double, "--per-device-train-batch-size", "2", "--gradient-accumulation-steps", "4")
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)  # one process has one precision otherwise
    half = trained(tmp_path, TDPO2, "--per-device-train-batch-size", "8", "--bf16", "true")
    assert [r["loss"] for r in split] == pytest.approx([r["loss"] for r in whole], rel=RUN)
    AcceleratorState._reset_state(True)
    assert [r["loss"] for r in half] == pytest.approx([r["loss"] for r in whole], rel=roundings(25, torch.bfloat16))


def test_what_cannot_supply_a_divergence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, TDPO2)
    assert main(["train", file, "--precompute-ref-log-probs", "--output-dir", str(tmp_path / "a")]) == 2
    assert "tdpo2 reads kl_ref_policy: the reference's whole distribution" in capsys.readouterr().err
    assert main(["train", file, "--reference", "none", "--output-dir", str(tmp_path / "b")]) == 2
    capsys.readouterr()


def test_ref_entropy_can_be_computed_ahead(tmp_path: Path) -> None:
    live = trained(tmp_path, MALLOWS, "--dtype", "float64")
    ahead = trained(tmp_path, MALLOWS, "--dtype", "float64", "--precompute-ref-log-probs")
    assert [r["loss"] for r in ahead] == pytest.approx([r["loss"] for r in live], rel=KEPT)
