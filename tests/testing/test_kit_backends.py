"""The kit on backends: core's pass, planted mistakes are caught, and accelerate's and torch's states are left as they were."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

import halo.plugin
from halo.plugin import Backend, BackendContext, Launched, Placement
from halo.plugin.registry import choose
from halo.testing import check_backend

SINGLE = choose("backend", "single")


@pytest.mark.parametrize("name", ["single", "ddp"])
def test_cores_backends_pass(name: str) -> None:
    check_backend(choose("backend", name))


def test_plain_torch_without_accelerate_passes() -> None:
    check_backend(Backend("plain", "", Placement))


def test_no_type_of_accelerate_stands_in_the_contract() -> None:
    described = {name: getattr(halo.plugin, name) for name in halo.plugin.__all__}
    contracts = [thing for thing in described.values() if inspect.isclass(thing)]
    for contract in contracts:
        methods = [member for _, member in inspect.getmembers(contract, inspect.isfunction)]
        for thing in (contract, *methods):
            assert "accelerate" not in str(getattr(thing, "__annotations__", {})).lower(), thing


@pytest.mark.slow
def test_two_processes_train_as_one() -> None:
    check_backend(choose("backend", "ddp"), processes=2)


def changed(**fields: Any) -> Callable[[BackendContext], Any]:
    return lambda context: SINGLE.build(replace(context, **fields))


class Accumulating(Launched):
    """Divides every gradient, as accelerate does where it is told to accumulate."""

    def backward(self, outputs: Sequence[Any], grads: Sequence[Any]) -> None:
        super().backward(outputs, [grad / 4 for grad in grads])


class Scaled(Launched):
    """Every gradient doubled on its way into the weights."""

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        for parameter in scorer.parameters():
            parameter.register_hook(lambda gradient: 2 * gradient)
        super().prepare(scorer, optimizer)


class Lonely:
    """Says that it is one of two."""

    size = 2


def of_two(context: BackendContext) -> Any:
    built = SINGLE.build(context)
    built.size = 2
    return built


class Silent(Placement):
    """Keeps to itself what it was given."""

    def gather(self, value: Any) -> list[Any]:
        return []


WRONG = {
    "its own precision": (changed(mixed_precision="no"), "torch.float32; torch.bfloat16 as context.mixed_precision 'bf16' says"),
    "its own folder": (changed(folder="elsewhere"), "its folder is elsewhere, not context.folder"),
    "accumulates": (Accumulating, "at step 1 grad_norm is"),
    "no placement": (lambda context: Lonely(), "a halo.plugin.Placement would be right"),
    "more processes": (of_two, "it has 2 processes, the launcher started 1"),
    "gathers nothing": (Silent, "gather(rank) gives []"),
    "other gradients": (Scaled, "at step 1 grad_norm is"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str) -> None:
    build, said = WRONG[case]
    with pytest.raises(AssertionError) as caught:
        check_backend(Backend("mine", "", build))
    assert said in str(caught.value)
    assert str(caught.value).startswith("the backend mine: ")


def test_what_a_backend_switches_on_is_switched_off_again() -> None:
    def deterministic(context: BackendContext) -> Any:
        torch.use_deterministic_algorithms(True)
        return SINGLE.build(context)

    check_backend(Backend("mine", "", deterministic))
    assert not torch.are_deterministic_algorithms_enabled()
