"""The loss as a library: any training loop, torch.compile, bfloat16, closed forms and fixed points of the literature."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from refusals import refused

import halo
from halo.errors import ObjectiveError
from halo.loss.inputs import Completions, LossInputs
from halo.plugin.objectives import find_objective


def pair(chosen: torch.Tensor, rejected: torch.Tensor, ref: float = -1.0) -> LossInputs:
    """One-token completions with the given log-probs."""
    mask = torch.ones(len(chosen), 1, dtype=torch.bool)
    return LossInputs({"chosen": Completions(mask=mask, token_logps=chosen[:, None], ref_token_logps=torch.full_like(chosen, ref)[:, None]),
                       "rejected": Completions(mask=mask, token_logps=rejected[:, None], ref_token_logps=torch.full_like(rejected, ref)[:, None])})  # fmt: skip


def settled(source: Any, flips: float = 0.0, **parameters: float) -> float:
    """h = log-ratio of chosen minus that of rejected where training on pairs of which a share is flipped comes to rest.

    By bisection between a slope that is negative and one that is positive: a minimum, where descent ends whatever its rate.
    """
    loss = halo.compile_objective(source, parameters)

    def slope(at: float) -> float:
        h = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        right, wrong = (loss(pair((s * h / 2 - 1)[None], (-s * h / 2 - 1)[None])).loss for s in (1, -1))
        return torch.autograd.grad((1 - flips) * right + flips * wrong, h)[0].item()

    low, high = -10.0, 10.0
    assert slope(low) < 0 < slope(high)
    for _ in range(60):
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return high


CDPO = {"name": "cdpo", "extends": "dpo", "parameters": {"epsilon": {"default": 0.1, "domain": "[0, 1/2)"}},
        "value": "(1 - epsilon) * logsigmoid(z) + epsilon * logsigmoid(-z)"}  # fmt: skip


def test_fixed_points() -> None:
    """DPO with flips: beta h = logit(1 - e). IPO: 1/(2 tau), with flips (1 - 2e)/(2 tau). cDPO: logit(1 - e)/beta."""
    logit = math.log(0.8 / 0.2)
    assert settled("dpo", flips=0.2, beta=1.0) == pytest.approx(logit, abs=1e-9)
    assert settled("ipo", tau=0.5) == pytest.approx(1.0, abs=1e-9)
    assert settled("ipo", flips=0.2, tau=0.5) == pytest.approx(0.6, abs=1e-9)
    assert settled(CDPO, beta=1.0, epsilon=0.2) == pytest.approx(logit, abs=1e-9)


AT_REFERENCE = {"dpo": math.log(2), "rdpo": math.log(2), "ipo": 25.0, "ipo_mean": 25.0, "kto": 0.5, "kto_no_z0": 0.5, "kto_risk_neutral": 1.0,
                "kto_concave": 1 + math.log(2), "ppo_offline": 0.0}  # fmt: skip


@pytest.mark.parametrize("name", AT_REFERENCE)
def test_value_at_the_reference(name: str) -> None:
    """policy = reference: log 2 for DPO, 1/(4 tau^2) for IPO, 1/2 for KTO; offline PPO's +1 and -1 cancel."""
    loss = halo.compile_objective(name, validate=False)  # test_validation.py does that, for all of them
    logp, mask = -torch.rand(4, 5, dtype=torch.float64) - 0.1, torch.ones(4, 5, dtype=torch.bool)
    roles = {slot: Completions(mask=mask, token_logps=logp, ref_token_logps=logp.clone()) for slot in loss.needs.slots}
    desirable = torch.tensor([True, False, True, False]) if loss.feedback.labels else None
    assert loss(LossInputs(roles, desirable=desirable)).loss.item() == pytest.approx(AT_REFERENCE[name], rel=1e-12)


def inputs_for(loss: Any, dtype: torch.dtype) -> LossInputs:
    generator = torch.Generator().manual_seed(0)
    lists = loss.feedback.is_list
    shape = (4, 3, 6) if lists else (4, 6)
    mask = torch.rand(shape, generator=generator) < 0.8
    mask[..., 0] = True
    roles = {}
    for slot in loss.needs.slots:
        logp, ref = (-torch.rand(shape, generator=generator) * 2 - 0.05 for _ in range(2))
        old = (logp + ref) / 2
        leaf = logp.to(dtype).requires_grad_()
        roles[slot] = Completions(mask=mask, token_logps=leaf, ref_token_logps=ref.to(dtype), old_token_logps=old.to(dtype))
        roles[slot].columns = columns_for(loss, "completion", shape[:-1]) | columns_for(loss, "token", shape)
        roles[slot].columns |= {word: torch.full(shape, -0.5 if word == "log_sum_sq_probs" else 0.5) for word in loss.needs.words}
        if loss.feedback.has_scores:
            roles[slot].columns["score"] = torch.tensor([[1.0, 0.5, 0.5]] * 4)
    ranks = torch.tensor([[1, 2, 2]] * 4) if lists else None
    desirable = torch.tensor([True, False, True, True]) if loss.feedback.labels else None
    return LossInputs(roles, desirable=desirable, ranks=ranks, columns=columns_for(loss, "example", (4,)), vocab_size=50)


def in_single(c: Completions) -> Completions:
    """The same log-probs in float32."""
    assert c.ref_token_logps is not None
    assert c.old_token_logps is not None
    ref, old = c.ref_token_logps.float(), c.old_token_logps.float()
    return Completions(mask=c.mask, token_logps=c.token_logps.float(), ref_token_logps=ref, old_token_logps=old, columns=c.columns)


def columns_for(loss: Any, level: str, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """One half, which every domain of a shipped objective holds."""
    return {name: torch.full(shape, 0.5) for name, c in loss.compiled.objective.declaration.columns.items() if c.level == level}


@pytest.mark.parametrize("name", find_objective.names())
def test_bfloat16_is_computed_in_float32_and_parts_add_up(name: str) -> None:
    loss = halo.compile_objective(name, validate=False)  # test_validation.py does that, for all of them
    low, same = inputs_for(loss, torch.bfloat16), inputs_for(loss, torch.bfloat16)
    wide = LossInputs(
        {k: in_single(c) for k, c in same.completions.items()},
        desirable=same.desirable,
        ranks=same.ranks,
        columns=same.columns,
        vocab_size=50,
    )
    output = loss(low)
    assert output.loss.dtype == torch.float32
    assert output.loss.item() == loss(wide).loss.item()
    assert sum(output.terms.values()).item() == pytest.approx(output.loss.item(), rel=1e-6)
    output.loss.backward()
    assert low.completions[loss.needs.gradient[0]].logp.grad.dtype == torch.bfloat16
    assert all(value.shape[0] == 4 for value in [*output.items.values(), *output.rewards.values()])


@pytest.mark.parametrize("name", ["dpo", "kto", "rrhf"])
def test_torch_compile_without_a_graph_break(name: str) -> None:
    loss = halo.compile_objective(name, validate=False)  # test_validation.py does that, for all of them
    eager = loss(inputs_for(loss, torch.float32))
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)(inputs_for(loss, torch.float32))
    assert compiled.loss.item() == pytest.approx(eager.loss.item(), rel=1e-6)


def test_missing_inputs_are_named() -> None:
    loss = halo.compile_objective("dpo")
    mask = torch.ones(1, 1, dtype=torch.bool)
    with refused(ObjectiveError, "missing-key"):
        loss(LossInputs({"chosen": Completions(mask=mask, token_logps=torch.zeros(1, 1))}))


def test_missing_columns_are_named() -> None:
    for name in ("odpo", "sampo"):
        loss = halo.compile_objective(name, validate=False)  # test_validation.py does that, for all of them
        held = inputs_for(loss, torch.float32)
        roles = {slot: Completions(mask=c.mask, token_logps=c.logp, ref_token_logps=c.ref_logp) for slot, c in held.completions.items()}
        with refused(ObjectiveError, "missing-key"):
            loss(LossInputs(roles))


@pytest.mark.parametrize(("domain", "default"), [("(0, 0.1]", 0.1), ("[0.3, 1)", 0.3), ("[0.7, 1]", 0.7), ("(0, 1/3]", 1 / 3)])
def test_a_parameter_may_be_at_the_closed_end_of_its_domain(domain: str, default: float) -> None:
    """As default, as search value, given in Python and on the command line, in double and in single precision."""
    parameters = {"beta": {"default": default, "domain": domain, "search": [default]}}
    source = {"name": "mine", "extends": "dpo", "parameters": parameters}
    assert halo.compile_objective(source).objective_parameters == {"beta": default}
    single = torch.tensor(default, dtype=torch.float32).item()
    for given in (default, float(str(default)), single):
        assert halo.compile_objective(source, {"beta": given}, validate=False).objective_parameters == {"beta": default}
    opened = {"beta": {"default": default, "domain": domain.replace("[", "(").replace("]", ")")}}
    with refused(ObjectiveError, "out-of-domain", at="mine:5:14"):
        halo.compile_objective(source | {"parameters": opened})


def test_sources_of_every_kind() -> None:
    text = "name: mine\nextends: dpo\nvalue: min(0, z)\n"
    for source in ("dpo", "objectives/dpo.yaml", text, {"name": "mine", "extends": "dpo", "value": "min(0, z)"}):
        assert halo.compile_objective(source, {"beta": 0.3}).objective_parameters == {"beta": 0.3}
    with refused(ObjectiveError, "out-of-domain", at="dpo.yaml"):
        halo.compile_objective("dpo", {"beta": -1})
    with refused(ObjectiveError, "out-of-domain", at="dpo.yaml"):
        halo.compile_objective("dpo", {"beta": 10**400})
    with refused(ObjectiveError, "unknown-name", at="dpo.yaml"):
        halo.compile_objective("dpo", {"bta": 1})
