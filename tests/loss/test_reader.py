"""The compiled loss against the evaluator that reads a file's texts: on whole random batches both have the same value."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from families import FAMILIES, drawn
from mpmath import mp
from reader import TooLarge
from reading import read
from whole_batches import Shape, inputs, parameters

import halo
from halo.errors import HaloError
from halo.loss.function import LossFunction
from halo.plugin.objectives import find_objective

NEAR = 1e-9
"""Relative; float64 has 16 digits, and some hundred steps and a cancellation or two lie between."""


def agree(loss: LossFunction, rng: random.Random) -> bool:
    """Whether the two agree on a batch; a batch on which the text has no real value, or one past all measure, says nothing."""
    batch, numbers = inputs(loss, rng, Shape(3)), parameters(loss, rng)
    if loss.compiled.graph.statistics:
        loss.update_statistics(inputs(loss, rng, Shape(2)), numbers)
    with mp.workdps(40):
        try:
            expected = read(loss, batch, numbers).total()
        except (TooLarge, ZeroDivisionError):
            return True
        found = float(loss(batch, numbers).loss)
        if isinstance(expected, mp.mpc) or abs(expected) > 1e300:
            return True
        return bool(abs(found - expected) <= NEAR * (1 + abs(expected)))


@pytest.mark.parametrize("name", find_objective.names())
def test_a_shipped_objective_is_what_its_text_says(name: str) -> None:
    assert agree(halo.compile_objective(name, validate=False), random.Random(name))


@pytest.mark.parametrize("family", FAMILIES)
def test_random_objectives_are_what_their_texts_say(family: str, tmp_path: Path) -> None:
    asked = 0
    for number in range(1000, 1010):
        file = drawn(family, number)
        path = tmp_path / f"{file['name']}.yaml"
        path.write_text(yaml.safe_dump(file, sort_keys=False))
        try:
            loss = halo.compile_objective(path, validate=False)
        except HaloError:
            continue
        asked += 1
        assert agree(loss, random.Random(number)), file
    assert asked >= 6


def test_a_normalizer_that_is_a_parameter_for_each_label_compiles(tmp_path: Path) -> None:
    """The choice between two numbers by label alone has no tensor beside it whose type it could take."""
    path = tmp_path / "two_strengths.yaml"
    path.write_text(
        """
name: two_strengths
feedback: labelled
parameters: {beta: {default: 0.5, domain: "(0, inf)"}, alpha: {default: 0.25, domain: "(0, 1)"}}
reward: sum(logp - ref_logp)
normalizer: {desirable: beta, undesirable: alpha * beta}
reference_point: none
value: z
sign: {desirable: -1, undesirable: 1}
"""
    )
    loss = halo.compile_objective(path)
    assert agree(loss, random.Random(1))
    batch = inputs(loss, random.Random(2), Shape(3))
    output = loss(batch)
    expected = [0.5 * (1 if good else 0.25) for good in batch.desirable.tolist()]  # type: ignore[union-attr]
    c = batch.completions["completion"]
    assert c.ref_token_logps is not None
    ratios = ((c.token_logps - c.ref_token_logps) * c.mask).sum(-1)
    assert [float(r) for r in output.rewards["completion"] / ratios] == pytest.approx(expected, rel=1e-12)
