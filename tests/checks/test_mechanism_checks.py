"""What the checks may say of ranks, shares, sorts and statistics: proofs that random batches cannot break, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.examine.examiner import examined, findings
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective

BETA = {"beta": {"default": 0.4, "domain": "(0, inf)"}}
LIST: dict[str, Any] = {
    "name": "mine", "feedback": "scored", "parameters": BETA, "role": "completion", "reward": "sum(logp - ref_logp)", "normalizer": "beta",
    "reference_point": "none", "sign": -1, "reduce": {"completions": "sum", "examples": "mean"},
}  # fmt: skip
PAIRED: dict[str, Any] = {
    "name": "mine", "feedback": "paired", "parameters": BETA, "reward": "sum(logp - ref_logp)", "normalizer": "beta",
    "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1,
}  # fmt: skip
OF_PAIRS = {"role": "chosen", "reference_point": "rejected", "reduce": {"pairs": "sum", "examples": "mean"}}
GAP = {"gap": "sum(chosen.logp) - sum(rejected.logp)"}


def mean(of: str, **more: Any) -> dict[str, Any]:
    return {"s": {"of": of, "reduce": "mean", "update": "all", **more}}


OBJECTIVES: dict[str, dict[str, Any]] = {
    "lipo": LIST | OF_PAIRS | {"let": {"d": "1 / log(1 + list_rank(reward))"}, "value": "logsigmoid(z)",
        "weight": "(2 ** chosen.score + 2 ** rejected.score) * abs(chosen.d - rejected.d)"},
    "info_nca": LIST | {"value": "list_softmax(score) * list_log_softmax(z)"},
    "log share": LIST | {"value": "list_log_softmax(z)"},
    "share": LIST | {"value": "list_softmax(z)"},
    "minus share": LIST | {"value": "-list_softmax(z)"},
    "rank of z": LIST | {"value": "list_rank(z) * logsigmoid(z)"},
    "rank alone": LIST | {"value": "z - z + list_rank(z)"},
    "z inside a list word": LIST | {"value": "list_sum(worse.score * z)"},
    "gap inside a list word": LIST | {"value": "-list_logsumexp(others.reward - reward)"},
    "z against the others": LIST | {"value": "-list_logsumexp(others.reward - z)"},
    "ratio inside a list word": LIST | {"value": "list_mean(exp(others.reward) * exp(-reward))"},
    "highest of the list": LIST | {"value": "list_max(all.reward) + z"},
    "share of a share": LIST | {"let": {"p": "list_softmax(reward)"}, "value": "list_max(others.p) + z"},
    "aot": PAIRED | {"let": GAP | {"ref_gap": "sum(chosen.ref_logp) - sum(rejected.ref_logp)"},
        "reward": "batch_sort(gap) - batch_sort(ref_gap)", "reference_point": "none"},
    "aot_unpaired": PAIRED | {"reward": "batch_sort(sum(logp - ref_logp))"},
    "sort of z": PAIRED | {"value": "logsigmoid(batch_sort(z))"},
    "falling sort": PAIRED | {"value": "batch_sort(-z) + batch_sort(z)"},
    "sort of a square": PAIRED | {"value": "-batch_sort(z ** 2)"},
    "bco": PAIRED | {"reference_point": "s", "statistics": mean("chosen.reward")},
    "scaled by a statistic": PAIRED | {"statistics": {"s": {"of": "chosen.length", "reduce": "std", "update": "ema(0.9)"}}, "weight": "s"},
    "scaled by a signed statistic": PAIRED | {"statistics": mean("chosen.length - rejected.length"), "weight": "s"},
    "scaled by a positive statistic": PAIRED | {"statistics": mean("chosen.length"), "weight": "s"},
    "scaled by one that starts below": PAIRED | {"statistics": mean("chosen.length", start=-1), "weight": "s"},
}  # fmt: skip

# check -> verdict, for the objectives where it matters; what is left out is only attacked
VERDICTS: dict[str, dict[str, str]] = {
    "lipo": {"direction.best": "up", "direction.worst": "down", "log_partition_cancels": "proved", "halo": "refuted"},
    "info_nca": {"log_partition_cancels": "proved", "halo": "refuted", "at_reference": "log(2)"},
    "aot": {"direction.chosen": "up", "direction.rejected": "down", "at_reference": "log(2)", "halo": "refuted",
        "log_partition_cancels": "undecided"},
    "aot_unpaired": {"direction.chosen": "up", "direction.rejected": "down", "at_reference": "log(2)", "halo": "refuted",
        "log_partition_cancels": "undecided"},
    "bco": {"direction.chosen": "up", "at_reference": "refuted", "halo": "refuted"},
    "scaled by a statistic": {"direction.chosen": "up", "direction.rejected": "down", "at_reference": "refuted"},
    "scaled by a positive statistic": {"direction.chosen": "up", "direction.rejected": "down"},
}  # fmt: skip


def compiled(name: str) -> CompiledObjective:
    return compile_source(OBJECTIVES[name], None, find_objective)


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str) -> None:
    found = {finding.check: finding.value or finding.verdict for finding in findings(compiled(name))}
    verdicts = {finding.check: finding.verdict for finding in findings(compiled(name))}
    for check, wanted in VERDICTS[name].items():
        assert wanted in (found[check], verdicts[check]), (check, found[check], verdicts[check])


def batch(feedback: str, seed: int) -> LossInputs:
    """Pairs, or lists of 3 with one of 1, in float64."""
    torch.manual_seed(seed)
    roles, ranks = {}, None
    for role in ("completion",) if feedback == "scored" else ("chosen", "rejected"):
        shape = (4, 3, 5) if feedback == "scored" else (4, 5)
        mask = torch.arange(5) < torch.randint(1, 6, shape[:-1])[..., None]
        if feedback == "scored":
            mask[3, 1:] = False
        logp, ref = -torch.rand(shape, dtype=torch.float64) * 3, -torch.rand(shape, dtype=torch.float64) * 3
        score = torch.rand(shape[:-1], dtype=torch.float64) if feedback == "scored" else None
        if score is not None:
            ranks = 1 + (score[:, None, :] > score[:, :, None]).sum(-1)
        roles[role] = Completions(
            mask=mask, token_logps=logp.requires_grad_(), ref_token_logps=ref, columns={} if score is None else {"score": score}
        )
    return LossInputs(roles, ranks=ranks)


def pulls(loss: LossFunction, role: str, seed: int) -> torch.Tensor:
    """-d loss / d log pi of every token of the role."""
    inputs = batch(loss.feedback.name, seed)
    slot = "completion" if loss.feedback.has_scores else role
    output = loss(inputs).loss
    (slope,) = torch.autograd.grad(output, inputs.completions[slot].logp, allow_unused=True) if output.requires_grad else (None,)
    slope = torch.zeros_like(inputs.completions[slot].logp) if slope is None else slope
    if role in ("best", "worst"):
        ends = inputs.best if role == "best" else inputs.worst
        several = inputs.completions[slot].mask.any(-1).sum(-1) > 1
        return -slope[torch.arange(4), ends][several]
    return -slope[inputs.completions[slot].mask]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_batch_breaks_a_direction(name: str) -> None:
    objective = compiled(name)
    loss = LossFunction(objective)
    proved = {f.check.split(".")[1]: f.value for f in findings(objective) if f.check.startswith("direction.") and f.verdict == "proved"}
    for role, way in proved.items():
        for seed in range(30):
            pull = pulls(loss, role, seed)
            assert way != "up" or pull.min() >= 0, (role, way, seed)
            assert way != "down" or pull.max() <= 0, (role, way, seed)
            assert way != "none" or not pull.any(), (role, way, seed)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_log_z_cancels_where_that_is_proved(name: str) -> None:
    """A constant of each prompt, added to the log-ratio of all its completions."""
    objective = compiled(name)
    verdict = {f.check: f.verdict for f in findings(objective)}.get("log_partition_cancels")
    if verdict != "proved":
        return
    for seed in range(10):
        first, second = (batch(objective.declared.feedback.name, seed) for _ in range(2))
        shift = torch.randn(4, dtype=torch.float64) * 2
        for completions in second.completions.values():
            lengths = completions.mask.sum(-1, keepdim=True).clamp(min=1)
            assert completions.ref_token_logps is not None
            completions.ref_token_logps = completions.ref_token_logps - shift.reshape(-1, *[1] * (lengths.ndim - 1)) / lengths
        losses = [LossFunction(objective, validate=False)(inputs).loss.item() for inputs in (first, second)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-10)


def test_examinations_of_all_of_them_come_to_an_end() -> None:
    for name in OBJECTIVES:
        assert examined(compiled(name)).findings


def test_a_std_may_be_zero_and_the_domain_says_so() -> None:
    source = PAIRED | {"statistics": {"s": {"of": "chosen.reward", "reduce": "std", "update": "ema(0.9)"}}, "weight": "1 / s"}
    (found,) = [f for f in findings(compile_source(source, None, find_objective)) if f.check == "domain"]
    assert found.verdict == "refuted"
    assert found.witness["s"] == "0"
