"""A batch written out as scalars has the loss that the exact evaluator finds, for every mark, order and reduction."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from mpmath import mp

import halo
from halo.analysis.values import sure_value
from halo.checks.scalars.batch.outlines import outlines
from halo.checks.scalars.batch.whole_batch import WholeBatch
from halo.checks.subject import Subject
from halo.compiler.exact import evaluate
from halo.compiler.graph import Node
from halo.plugin.objectives import find_objective

QUICK = ("dpo", "kto", "sft", "cpo_simpo", "dpo_pl", "bco", "tdpo2", "opo", "aot", "alpha_dpo", "grpo_offline", "dr_dpo", "ld_dpo")


def numbered(batch: WholeBatch, rng: random.Random) -> dict[Node, Fraction]:
    """A number in each variable's range."""
    point = {}
    for variable, span in batch.box.items():
        low = span.low if span.low != -mp.inf else min(Fraction(-4), span.high - 4)
        high = span.high if span.high != mp.inf else max(Fraction(4), low + 4)
        point[variable] = low + (high - low) * Fraction(rng.randint(1, 999), 1000)
        if variable.data == "vocab_size":
            point[variable] = Fraction(rng.randint(2, 50_000))
    return point


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in find_objective.names()])
def test_it_has_the_loss_of_the_exact_evaluator(name: str) -> None:
    rng = random.Random(name)
    subject = Subject(halo.compile_objective(name, validate=False).compiled)
    drawn = [outline for examples in (1, 2, 3) for outline in outlines(subject.view.graph, examples)]
    for outline in rng.sample(drawn, 4):
        batch = WholeBatch(subject.view, outline)
        loss = batch.loss
        point = numbered(batch, rng)
        exact = evaluate([batch.graph.loss], batch.numbers(point), batch.shared(point))[batch.graph.loss]
        assert mp.almosteq(sure_value(loss, point), exact, 1e-12), outline
