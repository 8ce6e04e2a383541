"""Accumulation never changes the mathematics: one big batch equals many small ones, for every way a batch can couple."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from tolerances import RUN, assert_near

import halo
from halo.errors import RunFailed
from halo.scoring.scorer import Scorer
from halo.training.step.step import Step

KTO_PAIR = {  # attached batch means: needs two passes
    "name": "kto_pair", "feedback": "paired", "role": ["chosen", "rejected"], "reward": "sum(logp - ref_logp)", "normalizer": 0.1,
    "reference_point": {"chosen": "max(0, batch_mean(rejected.reward))", "rejected": "max(0, batch_mean(chosen.reward))"},
    "value": "sigmoid(z)", "sign": {"chosen": -1, "rejected": 1}, "constant": {"chosen": 1, "rejected": 0},
    "reduce": {"completions": "mean", "examples": "mean"},
}  # fmt: skip
DR_DPO = {"name": "dr_dpo", "extends": "dpo", "reduce": {"examples": "-log(mean(exp(-loss)))"}}
ATTACHED_KTO = {"name": "attached", "extends": "kto", "reference_point": "batch_mean(mismatched.reward)"}
AOT = {"name": "aot", "extends": "dpo", "reward": "batch_sort(sum(logp - ref_logp))"}
BETA_DPO = {  # a statistic and a batch mean, both detached
    "name": "beta_dpo", "extends": "dpo", "let": {"u": "sum(logp - ref_logp)", "gap": "chosen.u - rejected.u"},
    "statistics": {"gap_mean": {"of": "gap", "reduce": "mean", "update": "ema(0.9)"}},
    "reward": "u", "normalizer": "stop(max(1e-3, 0.1 + beta * (batch_mean(gap) - gap_mean)))",
}  # fmt: skip
BCO = {
    "name": "bco", "extends": "kto", "statistics": {"delta": {"of": "completion.reward", "reduce": "mean", "update": "all"}},
    "reference_point": "delta",
}  # fmt: skip
HUMANLINE = {"name": "humanline", "extends": "kto", "reward": "sum(clip(logp - ref_logp, -1, 1.5))"}
CASES: dict[str, Any] = {
    "dpo": "dpo", "kto": "kto", "rrhf": "rrhf", "orpo_code": "orpo_code", "ppo_offline": "ppo_offline", "cpo_token_nll": "cpo_token_nll",
    "kto_pair": KTO_PAIR, "dr_dpo": DR_DPO, "attached": ATTACHED_KTO, "humanline": HUMANLINE,
    "aot": AOT, "beta_dpo": BETA_DPO, "bco": BCO,
}  # fmt: skip


class Reference:
    """The embedded policy where it started."""

    def __init__(self) -> None:
        self.scorer = Scorer(tiny.policy())

    def logps(self, rows: Any) -> torch.Tensor:
        return self.scorer(rows)["logp"].detach()

    def describe(self) -> str:
        return "the start"


def gradient(source: Any, micro: int) -> tuple[float, torch.Tensor, int]:
    """Loss, flat gradient and number of scored rows of one effective batch of 8, in micro-batches of `micro`."""
    loss = halo.compile_objective(source)
    model = tiny.policy(seed=1)
    scorer = Scorer(model)
    examples = tiny.examples(loss.feedback, loss.needs.slots)
    forwards = 0

    def counted(rows: Any) -> Any:
        nonlocal forwards
        forwards += len(rows.owner)
        return scorer(rows)

    step = Step(loss, counted, Reference(), torch.device("cpu"))
    stepped = step.run([examples[i : i + micro] for i in range(0, len(examples), micro)])
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return stepped.output.loss.item(), flat, forwards


@pytest.mark.numeric
@pytest.mark.parametrize("name", CASES)
def test_accumulation_equals_one_batch(name: str) -> None:
    whole, whole_gradient, _ = gradient(CASES[name], 8)
    parts, parts_gradient, _ = gradient(CASES[name], 3)
    assert parts == pytest.approx(whole, rel=RUN)
    assert_near(parts_gradient, whole_gradient, RUN)


@pytest.mark.parametrize(("name", "rows"), [("dpo", 16), ("kto", 16), ("kto_pair", 32), ("dr_dpo", 32), ("aot", 32), ("beta_dpo", 32), ("bco", 16)])
def test_only_what_the_objective_couples_is_scored_twice(name: str, rows: int) -> None:
    """DPO: 16 completions once. KTO: 8 and 8 mismatched ones. Attached batch quantities: one more forward pass."""
    assert gradient(CASES[name], 4)[2] == rows
    assert gradient(CASES[name], 8)[2] == (8 if name == "bco" else 16)  # nothing is scored twice in a single pass


@pytest.mark.numeric
@pytest.mark.parametrize("source", [BETA_DPO, BCO], ids=["beta_dpo", "bco"])
def test_statistics_take_each_step_in_once(source: Any) -> None:
    """Two steps in micro-batches of 3 leave what two calls of the library leave; evaluations in between leave nothing."""
    loss, plain = halo.compile_objective(source), halo.compile_objective(source)
    scorer = Scorer(tiny.policy(seed=1))
    step = Step(loss, scorer, Reference(), torch.device("cpu"))
    examples = tiny.examples(loss.feedback, loss.needs.slots)
    for batch in (examples, examples[:5]):
        step.run([batch], train=False)
        stepped = step.run([batch[i : i + 3] for i in range(0, len(batch), 3)])
        step.run([batch[:2]], train=False)
        plain.update_statistics(stepped.inputs)
        library = plain(stepped.inputs)
        assert library.loss.item() == pytest.approx(stepped.output.loss.item(), rel=1e-12)
        for name, value in loss.statistics().items():
            assert value.item() != 0
            assert value.item() == pytest.approx(plain.statistics()[name].item(), rel=1e-12)


def test_mismatched_completions_get_no_gradient_in_kto_but_do_when_attached() -> None:
    assert halo.compile_objective("kto").needs.gradient == ("completion",)
    assert halo.compile_objective(ATTACHED_KTO).needs.gradient == ("completion", "mismatched")


def test_loss_that_is_not_finite_names_the_rows() -> None:
    source = {
        "name": "bad",
        "feedback": "paired",
        "reward": "sum(logp)",
        "reference_point": "rejected",
        "value": "log(z - 1000000)",
        "sign": -1,
    }
    loss = halo.compile_objective(source)
    model = tiny.policy()
    step = Step(loss, Scorer(model), None, torch.device("cpu"))
    with pytest.raises(halo.HaloError, match=r"non-finite.*") as caught:
        step.run([tiny.examples("paired", ("chosen", "rejected"))])
    assert "feedback.jsonl:1" in str(caught.value)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("parts", [1, 2])
def test_a_policy_that_is_nan_names_the_rows(parts: int) -> None:
    """The loss refuses nan as it would from anyone; a run says on which rows, and nothing is updated."""
    model = tiny.policy()
    with torch.no_grad():
        next(iter(model.parameters()))[:] = float("nan")
    step = Step(halo.compile_objective("simpo"), Scorer(model, "plain"), None, torch.device("cpu"))
    examples = tiny.examples("paired", ("chosen", "rejected"))
    half = len(examples) // 2
    with pytest.raises(RunFailed, match=r"token_logps is nan on rows such as .*feedback\.jsonl:1"):
        step.run([examples] if parts == 1 else [examples[:half], examples[half:]])
    assert all(p.grad is None for p in model.parameters())
