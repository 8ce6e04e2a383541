"""Parameters that are tensors, transforms of torch.func, and examples that stand several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from refusals import refused
from torch import Tensor

import halo
from halo.errors import ObjectiveError
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs
from halo.loss.samples import sample
from halo.plugin.objectives import find_objective

NAMES = ("dpo", "kto", "simpo", "dpo_pl")
PARAMETER = {"dpo": "beta", "kto": "beta", "simpo": "gamma", "dpo_pl": "beta"}
SORTS = {"aot", "aot_unpaired"}
"""They sort the examples of a batch, among which a weight has no meaning."""


def loss_of(name: str) -> LossFunction:
    return LossFunction(halo.load_objective(name), validate=False)


def inputs_of(loss: LossFunction) -> LossInputs:
    """Three examples in float64, without a graph behind them."""
    held = sample(loss.compiled, "ordinary").inputs
    return LossInputs(
        {slot: replace(c, token_logps=c.token_logps.detach()) for slot, c in held.completions.items()},
        desirable=held.desirable,
        ranks=held.ranks,
        columns=held.columns,
        vocab_size=held.vocab_size,
    )


def with_logps(inputs: LossInputs, slot: str, logps: Tensor) -> LossInputs:
    return replace(inputs, completions={**inputs.completions, slot: replace(inputs.completions[slot], token_logps=logps)})


def by_parameter(name: str) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The loss as a function of one parameter, and its declared value."""
    loss = loss_of(name)
    inputs, parameter = inputs_of(loss), PARAMETER[name]
    at = torch.tensor(loss.objective_parameters[parameter], dtype=torch.float64)
    return lambda value: loss(inputs, {parameter: value}).loss, at


# -- parameters ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", find_objective.names())
def test_a_tensor_gives_what_the_number_gives(name: str) -> None:
    """All parameters at once, as one number each."""
    loss = loss_of(name)
    inputs = inputs_of(loss)
    tensors = {key: torch.tensor(value, dtype=torch.float64) for key, value in loss.objective_parameters.items()}
    plain, given = loss(inputs), loss(inputs, tensors)
    torch.testing.assert_close(given.loss, plain.loss, rtol=1e-12, atol=0)
    for key, item in plain.items.items():
        torch.testing.assert_close(given.items[key], item, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_one_number_for_each_example(name: str) -> None:
    """Items are those of losses with each number in turn."""
    loss = loss_of(name)
    inputs, parameter = inputs_of(loss), PARAMETER[name]
    if name == "kto":  # its reference point is a mean over the batch, so it is held still
        parameter = "lambda_d"
    values = loss.objective_parameters[parameter] * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    given = loss(inputs, {parameter: values}).items
    for row, value in enumerate(values.tolist()):
        for key, item in loss(inputs, {parameter: value}).items.items():
            torch.testing.assert_close(given[key][row], item[row], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_by_a_parameter(name: str) -> None:
    """Against central differences: a step of 1e-5 leaves an error of about 1e-10 of cut and as much of rounding."""
    function, at = by_parameter(name)
    leaf = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(leaf), leaf)
    assert slope.item() == pytest.approx((function(at + 1e-5) - function(at - 1e-5)).item() / 2e-5, rel=1e-6)
    assert torch.func.grad(function)(at).item() == pytest.approx(slope.item(), rel=1e-12)
    torch.testing.assert_close(torch.func.jacfwd(function)(at), slope, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_curvature_by_a_parameter(name: str) -> None:
    function, at = by_parameter(name)
    slope = torch.func.grad(function)
    expected = (slope(at + 1e-5) - slope(at - 1e-5)).item() / 2e-5
    assert torch.func.hessian(function)(at).item() == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_a_parameter(name: str) -> None:
    function, at = by_parameter(name)
    values = at * torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(function)(values), torch.stack([function(value) for value in values]), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_transforms_over_log_probs(name: str) -> None:
    loss = loss_of(name)
    inputs, slot = inputs_of(loss), loss.needs.gradient[0]
    logps = inputs.completions[slot].token_logps

    def function(given: Tensor) -> Tensor:
        return loss(with_logps(inputs, slot, given)).loss

    leaf = logps.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(function)(logps), slope, rtol=1e-12, atol=1e-15)
    several = torch.stack([logps, logps - 0.1])
    torch.testing.assert_close(torch.func.vmap(function)(several), torch.stack([function(x) for x in several]), rtol=1e-12, atol=0)
    direction = torch.linspace(-1, 1, logps.numel(), dtype=torch.float64).reshape(logps.shape)
    curved = (torch.func.hessian(function)(logps).reshape(logps.numel(), -1) @ direction.flatten()).reshape(logps.shape)
    gradient = torch.func.grad(function)
    expected = (gradient(logps + 1e-5 * direction) - gradient(logps - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close(curved, expected, rtol=1e-5, atol=1e-9)  # the differences have about six digits


def test_parameters_that_cannot_be() -> None:
    loss = loss_of("dpo")
    inputs = inputs_of(loss)
    with refused(ObjectiveError, "out-of-domain", at="dpo.yaml"):
        loss(inputs, {"beta": -1.0})
    with refused(ObjectiveError, "unknown-name"):
        loss(inputs, {"bta": torch.tensor(1.0)})
    with refused(ObjectiveError, "wrong-value"):
        loss(inputs, {"beta": torch.ones(2)})
    outside = loss_of("dr_dpo")
    with refused(ObjectiveError, "wrong-level"):
        outside(inputs_of(outside), {"beta_prime": torch.ones(3)})


# -- weights ---------------------------------------------------------------------------------------------------------------


def repeated(inputs: LossInputs, times: Tensor) -> LossInputs:
    """Each example as often as its weight says."""

    def rows(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.repeat_interleave(times, 0)

    completions = {
        slot: Completions(
            token_logps=c.token_logps.repeat_interleave(times, 0),
            mask=c.mask.repeat_interleave(times, 0),
            ref_token_logps=rows(c.ref_token_logps),
            old_token_logps=rows(c.old_token_logps),
            columns={name: x.repeat_interleave(times, 0) for name, x in c.columns.items()},
        )
        for slot, c in inputs.completions.items()
    }
    columns = {name: x.repeat_interleave(times, 0) for name, x in inputs.columns.items()}
    return replace(inputs, completions=completions, desirable=rows(inputs.desirable), ranks=rows(inputs.ranks), columns=columns)


@pytest.mark.parametrize("name", sorted({*find_objective.names()} - SORTS))
def test_a_weight_is_how_often_an_example_stands(name: str) -> None:
    """Loss, terms and gradient, after a step of the running statistics; no times too."""
    weighed, plain = loss_of(name), loss_of(name)
    slot = weighed.needs.gradient[0]
    for times in (torch.tensor([2, 1, 3]), torch.tensor([1, 2, 0])):
        inputs = inputs_of(weighed)
        leaf = inputs.completions[slot].token_logps.clone().requires_grad_()
        inputs = with_logps(inputs, slot, leaf)
        light, heavy = replace(inputs, weights=times), repeated(inputs, times)
        weighed.update_statistics(light)
        plain.update_statistics(heavy)
        for key, value in plain.statistics().items():
            torch.testing.assert_close(weighed.statistics()[key], value, rtol=1e-12, atol=1e-15)
        got, true = weighed(light), plain(heavy)
        torch.testing.assert_close(got.loss, true.loss, rtol=1e-12, atol=1e-15)
        for key, term in true.terms.items():
            torch.testing.assert_close(got.terms[key], term, rtol=1e-12, atol=1e-15)
        slopes = [torch.autograd.grad(output.loss, leaf)[0] for output in (got, true)]
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ["dpo", "kto", "sft", "dr_dpo", "beta_dpo"])
def test_weights_of_one_change_nothing(name: str) -> None:
    loss = loss_of(name)
    inputs = inputs_of(loss)
    torch.testing.assert_close(loss(replace(inputs, weights=torch.ones(3))).loss, loss(inputs).loss, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["dpo", "simpo", "dpo_pl"])
def test_parts_weighed_by_their_weights_make_the_whole(name: str) -> None:
    """Accumulation: fractions too."""
    loss = loss_of(name)
    inputs, weights = inputs_of(loss), torch.tensor([0.25, 0.5, 1.5], dtype=torch.float64)
    alone = [loss(replace(inputs, weights=weights * (torch.arange(3) == row))).loss for row in range(3)]
    whole = loss(replace(inputs, weights=weights)).loss
    torch.testing.assert_close(sum(w * x for w, x in zip(weights, alone, strict=True)) / weights.sum(), whole, rtol=1e-12, atol=0)


def test_a_weight_has_a_gradient() -> None:
    loss = loss_of("dpo")
    inputs = inputs_of(loss)
    slope = torch.func.grad(lambda weights: loss(replace(inputs, weights=weights)).loss)(torch.ones(3, dtype=torch.float64))
    items = loss(inputs).items["main"]
    torch.testing.assert_close(slope, (items - items.mean()) / 3)


@pytest.mark.parametrize("name", sorted(SORTS))
def test_weights_without_a_meaning(name: str) -> None:
    loss = loss_of(name)
    with refused(ObjectiveError, "wrong-value"):
        loss(replace(inputs_of(loss), weights=torch.ones(3)))


def test_the_plain_source_knows_no_weights() -> None:
    assert "weights" not in loss_of("kto").source
