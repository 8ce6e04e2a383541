"""An example of weight w is w equal examples: in the loss, its gradient, statistics and metrics, in one batch and in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from tolerances import RUN, assert_near

import halo
from halo.data.tokenized import TokenizedExample
from halo.errors import DataError
from halo.scoring.scorer import Scorer
from halo.training.step.metrics import means, measure
from halo.training.step.step import Step

WEIGHTS = (2, 1, 3, 1, 0, 1, 1, 2)
STATISTIC = {
    "name": "carried", "extends": "dpo", "let": {"u": "sum(logp - ref_logp)", "gap": "chosen.u - rejected.u"},
    "statistics": {"spread": {"of": "gap", "reduce": "std", "update": "all"}}, "normalizer": "beta * (1 + spread)", "reward": "u",
}  # fmt: skip
CASES: dict[str, Any] = {
    "pairs": "dpo", "labels, a batch mean": "kto", "lists": "rrhf", "tokens": "cpo_token_nll", "a mean of losses": "dr_dpo",
    "a statistic": STATISTIC, "demonstrations": "sft",
}  # fmt: skip


def stepped(source: Any, examples: list[TokenizedExample], size: int) -> tuple[float, torch.Tensor, dict[str, float], dict[str, float]]:
    """Loss, gradient, statistics and metrics of one step in micro-batches of a size."""
    loss, model = halo.compile_objective(source), tiny.policy(seed=1)
    step = Step(loss, Scorer(model), tiny.Start(), torch.device("cpu"))
    found = step.run([examples[i : i + size] for i in range(0, len(examples), size)])
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    metrics = means(measure(found.output, found.inputs, loss.feedback, found.sources))
    return found.output.loss.item(), gradient, {name: x.item() for name, x in loss.statistics().items()}, metrics


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [8, 3], ids=["whole", "in parts"])
def test_a_weight_is_how_often_an_example_stands(case: str, size: int) -> None:
    loss = halo.compile_objective(CASES[case])
    plain = [replace(example, source="ab"[i % 2]) for i, example in enumerate(tiny.examples(loss.feedback, loss.needs.slots))]
    light = [replace(example, weight=float(weight)) for example, weight in zip(plain, WEIGHTS, strict=True)]
    heavy = [example for example, weight in zip(plain, WEIGHTS, strict=True) for _ in range(weight)]
    found, expected = stepped(CASES[case], light, size), stepped(CASES[case], heavy, len(heavy))
    assert found[0] == pytest.approx(expected[0], rel=RUN)
    assert_near(found[1], expected[1], RUN)
    assert found[2] == pytest.approx(expected[2], rel=RUN)
    assert found[3] == pytest.approx(expected[3], rel=RUN)


def test_weights_of_one_are_none() -> None:
    """The loss is then called as without weights: nothing is added to a step of examples that all stand once."""
    loss = halo.compile_objective("dpo")
    found = Step(loss, Scorer(tiny.policy()), tiny.Start(), torch.device("cpu")).run([tiny.examples("paired", loss.needs.slots)])
    assert found.inputs.weights is None


def test_a_weight_without_a_meaning_is_refused() -> None:
    loss, model = halo.compile_objective("aot"), tiny.policy()
    examples = [replace(example, weight=2.0) for example in tiny.examples("paired", loss.needs.slots)]
    with pytest.raises(DataError, match=r"have weights, and aot sorts or ranks .* has no meaning; repeat the rows instead"):
        Step(loss, Scorer(model), tiny.Start(), torch.device("cpu")).run([examples])
    assert all(p.grad is None for p in model.parameters())
