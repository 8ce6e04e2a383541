"""Running statistics over several steps against Python's own arithmetic, and when they change and when not."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from refusals import refused
from torch import Tensor
from torch.nn.functional import logsigmoid

from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs, LossOutput
from halo.plugin.objectives import find_objective

BCO = """feedback: labelled
parameters:
  beta: {default: 0.1, domain: "(0, inf)"}
columns:
  density_ratio: {level: example, default: 1, domain: "[0, inf)"}
statistics:
  delta: {of: completion.reward, reduce: mean, update: all}
reward: sum(logp - ref_logp)
normalizer: beta
reference_point: delta
value:
  desirable: logsigmoid(z)
  undesirable: logsigmoid(-z)
sign: -1
weight: {desirable: 1, undesirable: density_ratio}
"""
BETA_DPO = """extends: dpo
parameters:
  alpha: {default: 0.6, domain: "[0, inf)"}
let:
  u: sum(logp - ref_logp)
  gap: chosen.u - rejected.u
statistics:
  gap_mean: {of: gap, reduce: mean, update: ema(0.9)}
reward: u
normalizer: stop(max(1e-3, beta * (1 + alpha * (batch_mean(gap) - gap_mean))))
"""
ALPHA_DPO = """extends: simpo
parameters:
  beta: {default: 2.5, domain: "(0, inf)"}
  gamma: {default: 0.6, domain: "[0, inf)"}
  alpha: {default: 0.2, domain: "[0, inf)"}
let:
  u: mean(logp - ref_logp)
  gap: chosen.u - rejected.u
statistics:
  gap_mean: {of: gap, reduce: mean, update: ema(0.9)}
  gap_std: {of: gap, reduce: std, update: ema(0.9)}
margin: beta * stop(gamma + alpha * (gap - gap_mean) / gap_std)
"""
SEEN_STD = """extends: dpo
let: {gap: sum(chosen.logp) - sum(rejected.logp)}
statistics:
  spread: {of: gap, reduce: std, update: all, start: 2}
  far: {of: gap / spread, reduce: mean, update: ema(beta), start: -1}
margin: far
weight: spread
"""


def loss_of(text: str, **parameters: float) -> LossFunction:
    return LossFunction(compile_source("name: mine\n" + text, parameters, find_objective))


def stepped(loss: LossFunction, inputs: LossInputs) -> LossOutput:
    """What a training loop does: the batch is taken in once, then the loss uses it."""
    loss.update_statistics(inputs)
    return loss(inputs)


def batch(feedback: str, step: int, dtype: torch.dtype = torch.float64, size: int = 6) -> LossInputs:
    """A batch of its own for each step; batches differ in size."""
    torch.manual_seed(step)
    size, roles = size - step % 2, {}
    for role in ("completion",) if feedback == "labelled" else ("chosen", "rejected"):
        logp, ref = ((-torch.rand(size, 5, dtype=torch.float64) * 3).to(dtype) for _ in range(2))
        roles[role] = Completions(mask=torch.arange(5) < torch.randint(1, 6, (size, 1)), token_logps=logp.requires_grad_(), ref_token_logps=ref)
    ratio = {"density_ratio": torch.rand(size, dtype=torch.float64).to(dtype)}
    return LossInputs(roles, desirable=torch.arange(size) % 3 > 0, ranks=None, columns=ratio)


def summed(inputs: LossInputs, role: str, mean: bool = False, ratio: bool = True) -> Tensor:
    c = inputs.completions[role]
    assert c.ref_logp is not None
    total = ((c.logp - (c.ref_logp if ratio else 0)) * c.mask).sum(1)
    return total / c.mask.sum(1) if mean else total


def bco(state: dict[str, Any], inputs: LossInputs) -> Tensor:
    r = 0.1 * summed(inputs, "completion")
    state.setdefault("seen", []).extend(r.tolist())
    z = r - statistics.fmean(state["seen"])
    assert inputs.desirable is not None
    return -torch.where(inputs.desirable, logsigmoid(z), inputs.columns["density_ratio"] * logsigmoid(-z)).mean()


def beta_dpo(state: dict[str, Any], inputs: LossInputs) -> Tensor:
    w, y = summed(inputs, "chosen"), summed(inputs, "rejected")
    mean = statistics.fmean((w - y).tolist())
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * mean
    return -logsigmoid(max(1e-3, 0.1 * (1 + 0.6 * (mean - state["m"]))) * (w - y)).mean()


def alpha_dpo(state: dict[str, Any], inputs: LossInputs) -> Tensor:
    gap = (summed(inputs, "chosen", mean=True) - summed(inputs, "rejected", mean=True)).detach()
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * statistics.fmean(gap.tolist())
    state["s"] = 0.9 * state.get("s", 0.0) + 0.1 * statistics.stdev(gap.tolist())
    margin = 2.5 * (0.6 + 0.2 * (gap - state["m"]) / state["s"])
    w, y = (2.5 * summed(inputs, role, mean=True, ratio=False) for role in ("chosen", "rejected"))
    return -logsigmoid(w - y - margin).mean()


def seen_std(state: dict[str, Any], inputs: LossInputs) -> Tensor:
    gap = (summed(inputs, "chosen", ratio=False) - summed(inputs, "rejected", ratio=False)).tolist()
    state.setdefault("seen", []).extend(gap)
    spread = statistics.stdev(state["seen"])
    state["far"] = 0.1 * state.get("far", -1.0) + 0.9 * statistics.fmean(g / spread for g in gap)
    w, y = summed(inputs, "chosen"), summed(inputs, "rejected")
    return -(spread * logsigmoid(0.1 * (w - y) - state["far"])).mean()


CASES: dict[str, tuple[str, Callable[[dict[str, Any], LossInputs], Tensor]]] = {
    "bco": (BCO, bco), "beta_dpo": (BETA_DPO, beta_dpo), "alpha_dpo": (ALPHA_DPO, alpha_dpo), "seen_std": (SEEN_STD, seen_std),
}  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_three_steps(name: str, dtype: torch.dtype) -> None:
    text, oracle = CASES[name]
    loss, state = loss_of(text), dict[str, Any]()
    tolerance = 1e-11 if dtype == torch.float64 else 2e-5
    for step in range(3):
        inputs = batch(loss.feedback.name, step, dtype)
        output, true = stepped(loss, inputs), oracle(state, inputs)
        assert output.loss.dtype == dtype
        assert output.loss.item() == pytest.approx(true.item(), rel=tolerance)
        leaves = [c.logp for c in inputs.completions.values()]
        for got, expected in zip(*(torch.autograd.grad(x, leaves) for x in (output.loss, true)), strict=True):
            torch.testing.assert_close(got, expected, rtol=10 * tolerance, atol=tolerance)
    assert {value.dtype for value in loss.statistics().values()} == {torch.float64}


@pytest.mark.parametrize("name", CASES)
def test_a_call_leaves_them_alone(name: str) -> None:
    """In training mode too: only `update_statistics` changes anything."""
    loss = loss_of(CASES[name][0])
    stepped(loss, batch(loss.feedback.name, 0))
    before = loss.statistics()
    inputs = batch(loss.feedback.name, 1)
    output = loss(inputs)
    assert torch.equal(loss(inputs).loss, output.loss)
    assert loss.statistics() == before
    assert {key: value.item() for key, value in output.statistics.items()} == {key: value.item() for key, value in before.items()}
    assert stepped(loss, inputs).loss.item() != output.loss.item()
    assert loss.statistics() != before


def test_observed_once_and_used_often() -> None:
    """Values may be given in place of the running ones, which then play no part."""
    loss, plain = loss_of(BETA_DPO), loss_of(BETA_DPO)
    for step in range(2):
        inputs = batch("paired", step)
        values = loss.update_statistics(inputs)
        assert loss(inputs, statistics=values).loss.item() == loss(inputs).loss.item() == stepped(plain, inputs).loss.item()
        other = {name: value + 1 for name, value in values.items()}
        assert loss(inputs, statistics=other).loss.item() != loss(inputs).loss.item()
    assert loss.statistics() == plain.statistics()


def test_state_goes_with_the_state_dict() -> None:
    loss, other = loss_of(SEEN_STD), loss_of(SEEN_STD)
    stepped(loss, batch("paired", 0))
    other.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert torch.equal(stepped(loss, batch("paired", 1)).loss, stepped(other, batch("paired", 1)).loss)
    assert not loss_of("extends: dpo\n").state_dict()


def test_a_fresh_loss_starts_where_the_file_says() -> None:
    assert {name: value.item() for name, value in loss_of(SEEN_STD).statistics().items()} == {"spread": 2.0, "far": -1.0}
    assert loss_of(BCO).statistics()["delta"].item() == 0


def test_a_batch_that_shows_nothing_changes_nothing() -> None:
    loss = loss_of(BCO.replace("of: completion.reward", "of: desirable.reward").replace("update: all", "update: ema(0.5), start: 3"))
    inputs = batch("labelled", 0)
    inputs.desirable = torch.zeros(6, dtype=torch.bool)
    assert stepped(loss, inputs).statistics["delta"].item() == 3
    inputs.desirable[0] = True
    assert stepped(loss, inputs).statistics["delta"].item() == pytest.approx(1.5 + 0.05 * summed(inputs, "completion")[0].item())


def test_over_the_completions_of_ragged_lists() -> None:
    loss = loss_of("""feedback: ranked
role: completion
statistics: {centre: {of: completion.reward, reduce: std, update: all}}
reward: sum(logp)
reference_point: centre
value: z
sign: -1
reduce: {completions: sum, examples: mean}
""")
    logp = torch.tensor([[[-1.0], [-2.0]], [[-4.0], [9.0]]], dtype=torch.float64)
    mask = torch.tensor([[[True], [True]], [[True], [False]]])
    loss.update_statistics(LossInputs({"completion": Completions(mask=mask, token_logps=logp)}, ranks=torch.tensor([[1, 2], [1, 1]])))
    assert loss.statistics()["centre"].item() == pytest.approx(statistics.stdev([-1, -2, -4]))


def test_no_gradient_reaches_them() -> None:
    loss = loss_of("extends: dpo\nstatistics: {s: {of: chosen.reward, reduce: mean, update: all}}\nmargin: s\n")
    inputs = batch("paired", 0)
    (got,) = torch.autograd.grad(stepped(loss, inputs).loss, inputs.completions["chosen"].logp)
    w, y = (0.1 * summed(inputs, role) for role in ("chosen", "rejected"))
    (true,) = torch.autograd.grad(-logsigmoid(w - y - w.mean().detach()).mean(), inputs.completions["chosen"].logp)
    torch.testing.assert_close(got, true)


def test_what_an_ema_keeps_may_be_a_parameter() -> None:
    text = BETA_DPO.replace("ema(0.9)", "ema(keep)").replace("  alpha:", '  keep: {default: 0.9, domain: "[0, 2]"}\n  alpha:')
    inputs = batch("paired", 0)
    mean = (summed(inputs, "chosen") - summed(inputs, "rejected")).mean().item()
    for keep in (0.0, 0.25):
        assert stepped(loss_of(text, keep=keep), inputs).statistics["gap_mean"].item() == pytest.approx((1 - keep) * mean)
    with refused(ObjectiveError, "out-of-domain", at="objective:10:45"):
        loss_of(text, keep=1.5)


def test_the_size_of_the_vocabulary_is_given_with_the_batch() -> None:
    """A uniform reference, written out: log pi - log(1 / V) for each token."""
    loss = loss_of("extends: simpo\nreward: sum(logp + log(vocab_size))\n", gamma=0.0)
    assert "math.log(batch.vocab_size)" in loss.source
    assert loss.needs.vocab_size
    inputs = batch("paired", 0)
    with refused(ObjectiveError, "missing-key"):
        loss(inputs)
    inputs.vocab_size = 50
    w, y = (summed(inputs, role, ratio=False) + inputs.completions[role].mask.sum(1) * math.log(50) for role in ("chosen", "rejected"))
    assert loss(inputs).loss.item() == pytest.approx(-logsigmoid(2 * (w - y)).mean().item())


@pytest.mark.numeric
def test_a_choice_by_a_statistic_or_a_column_alone() -> None:
    """No completion stands inside, whose type the numbers could take."""
    text = BCO.replace("undesirable: density_ratio}", 'undesirable: "where(density_ratio > 0.5, 2, 3) * where(delta > 0, 1, 2)"}')
    loss, inputs, state = loss_of(text), batch("labelled", 1, torch.float32), dict[str, Any]()
    chosen = torch.where(inputs.columns["density_ratio"] > 0.5, 2.0, 3.0)
    output = stepped(loss, inputs)
    inputs.columns = {"density_ratio": chosen * (1 if output.statistics["delta"] > 0 else 2)}
    assert output.loss.item() == pytest.approx(bco(state, inputs).item(), rel=1e-5)
    assert output.loss.dtype == torch.float32


def test_torch_compile_takes_them() -> None:
    loss, plain = loss_of(BETA_DPO), loss_of(BETA_DPO)
    compiled = torch.compile(loss, backend="eager")
    for step in range(2):
        loss.update_statistics(batch("paired", step))
        assert compiled(batch("paired", step)).loss.item() == pytest.approx(stepped(plain, batch("paired", step)).loss.item(), rel=1e-12)
    assert loss.statistics()["gap_mean"].item() == pytest.approx(plain.statistics()["gap_mean"].item(), rel=1e-12)
