"""The kit on backends: core's pass, planted mistakes are caught, and accelerate's and torch's states are left as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from halo.plugin import Backend, BackendContext
from halo.plugin.registry import choose
from halo.testing import check_backend

SINGLE = choose("backend", "single")


@pytest.mark.parametrize("name", ["single", "ddp"])
def test_cores_backends_pass(name: str) -> None:
    check_backend(choose("backend", name))


@pytest.mark.slow
def test_two_processes_train_as_one() -> None:
    check_backend(choose("backend", "ddp"), processes=2)


def changed(**fields: Any) -> Callable[[BackendContext], Any]:
    return lambda context: SINGLE.build(replace(context, **fields))


def accumulating(context: BackendContext) -> Any:
    built = SINGLE.build(context)
    built.gradient_accumulation_steps = 4
    return built


def scaled(context: BackendContext) -> Any:
    """Every gradient doubled on its way into the weights."""
    built = SINGLE.build(context)
    prepare = built.prepare

    def prepared(scorer: Any) -> Any:
        for parameter in scorer.parameters():
            parameter.register_hook(lambda gradient: 2 * gradient)
        return prepare(scorer)

    built.prepare = prepared
    return built


class Lonely:
    """Says that it is one of two."""

    num_processes = 2


def of_two(context: BackendContext) -> Any:
    built = SINGLE.build(context)
    built.state.num_processes = 2
    return built


WRONG = {
    "its own precision": (changed(mixed_precision="no"), "mixed_precision is 'no', and context.mixed_precision 'bf16'"),
    "its own folder": (changed(folder="elsewhere"), "project_dir is elsewhere, not context.folder"),
    "accumulates": (accumulating, "gradient_accumulation_steps is 4, not 1"),
    "no accelerator": (lambda context: Lonely(), "an accelerate.Accelerator would be right"),
    "more processes": (of_two, "it has 2 processes, the launcher started 1"),
    "other gradients": (scaled, "at step 1 grad_norm is"),
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
