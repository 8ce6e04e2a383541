"""Limits, bounds and largest slopes are taken where z can be, and of every part that uses a v."""

from __future__ import annotations

from typing import Any

import pytest

from halo.checks.catalogue import CHECKS
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source

DPO: dict[str, Any] = {
    "name": "mine", "feedback": "paired", "parameters": {"beta": {"default": 0.1, "domain": "(0, inf)"}}, "reward": "sum(logp - ref_logp)",
    "normalizer": "beta", "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1,
}  # fmt: skip
KTO = {**DPO, "feedback": "labelled", "reference_point": "none"}
ODDS = {"reward": "mean(logp)", "reference_point": "none", "normalizer": "1", "parameters": {}}
CLIPPED = {"reward": "clip(sum(logp - ref_logp), -1, 1)", "normalizer": "1", "parameters": {}}
SCALED = {"reward": "clip(sum(logp - ref_logp), -1, 1)"}
SQUASHED = {"reward": "tanh(sum(logp - ref_logp))", "normalizer": "1", "parameters": {}}
PER_TOKEN = {"reward": "sum(clip(logp - ref_logp, -1, 1))", "normalizer": "1/length", "reference_point": "none", "parameters": {}}
WEIGHED = {"columns": {"trust": {"level": "example", "domain": "(-1, 1)"}}, "weight": "trust"}


def said(name: str, file: dict[str, Any]) -> tuple[str, str | None]:
    (finding,) = CHECKS[name].findings(Subject(compile_source(file)))
    return finding.verdict, finding.value


@pytest.mark.parametrize(("name", "changes", "verdict"), [
    # an open end at 0
    ("lipschitz", {**ODDS, "value": "z - log1mexp(z)"}, "refuted"), ("saturates", {**ODDS, "value": "z - log1mexp(z)"}, "refuted"),
    ("bounded", {**ODDS, "value": "z - log1mexp(z)"}, "refuted"), ("bounded", {**ODDS, "value": "log1mexp(z)"}, "proved"),
    ("monotone", {**ODDS, "value": "z - log1mexp(z)"}, "proved"), ("concave_on_gains", {**ODDS, "value": "z - log1mexp(z)"}, "proved"),
    ("lipschitz", {**ODDS, "value": "logsigmoid(z - log1mexp(z))"}, "proved"), ("lipschitz", {**ODDS, "value": "exp(z)"}, "proved"),
    ("lipschitz", {**ODDS, "value": "-sqrt(-z)"}, "refuted"), ("lipschitz", {**ODDS, "value": "1/z"}, "refuted"), ("monotone", {**ODDS, "value": "-1/z"}, "proved"),
    ("lipschitz", {"reward": "mean(logp)", "reference_point": "none", "value": "z - log1mexp(z)"}, "refuted"),
    # poles
    ("domain", {"value": "1/(exp(z) - 2)"}, "refuted"), ("lipschitz", {"value": "1/(exp(z) - 2)"}, "refuted"), ("bounded", {"value": "1/(exp(z) - 2)"}, "refuted"),
    ("monotone", {"value": "1/(exp(z) - 2)"}, "refuted"), ("concave_on_gains", {"value": "1/(exp(z) - 2)"}, "refuted"),
    ("monotone", {"value": "-1/(exp(z) - 2)"}, "refuted"), ("finite_optimum", {"value": "1/(exp(z) - 2)"}, "refuted"),
    ("domain", {**ODDS, "value": "1/(exp(z) - 2)"}, "proved"), ("lipschitz", {**ODDS, "value": "1/(exp(z) - 2)"}, "proved"),
    ("domain", {**CLIPPED, "value": "1/(exp(z) - 9)"}, "proved"), ("domain", {**CLIPPED, "value": "1/(exp(z) - 7)"}, "refuted"),
    ("lipschitz", {**CLIPPED, "value": "1/(exp(z) - 9)"}, "proved"), ("lipschitz", {**CLIPPED, "value": "1/(exp(z) - 7)"}, "refuted"),
    # rewards with an end
    ("finite_optimum", CLIPPED, "proved"), ("preference_link", CLIPPED, "proved"), ("saturates", {**CLIPPED, "value": "sigmoid(z)"}, "refuted"),
    ("lipschitz", {**CLIPPED, "value": "-(z - 1)**2"}, "proved"), ("finite_optimum", SQUASHED, "refuted"), ("preference_link", SQUASHED, "proved"),
    ("finite_optimum", SCALED, "proved"),
    # a sum of what is bounded, for each token
    ("bounded", {**PER_TOKEN, "normalizer": "1", "value": "z"}, "refuted"), ("bounded", {**PER_TOKEN, "value": "z", "reward": "mean(clip(logp - ref_logp, -1, 1))", "normalizer": "1"}, "proved"),
    # a v in several places, with signs and weights
    ("bounded", {**KTO, "sign": {"desirable": -1, "undesirable": 1}}, "refuted"), ("bounded", {**KTO, "sign": {"desirable": 1, "undesirable": -1}}, "refuted"),
    ("bounded", {**KTO, "sign": {"desirable": -1, "undesirable": 1}, "value": "sigmoid(z)"}, "proved"),
    ("bounded", {**KTO, "sign": {"desirable": -1, "undesirable": 1}, "value": "atan(z) - exp(-z**2)"}, "proved"), ("bounded", {**DPO, **WEIGHED}, "refuted"), ("bounded", {**DPO, **WEIGHED, "value": "tanh(z)"}, "proved"),
])  # fmt: skip
def test_where_z_can_be(name: str, changes: dict[str, Any], verdict: str) -> None:
    assert said(name, {**DPO, **changes})[0] == verdict


def test_what_each_token_has_at_most_is_no_sum_without_end() -> None:
    assert said("bounded", {**DPO, **PER_TOKEN, "value": "z"})[0] != "refuted"


def test_a_margin_that_is_the_strength_itself_is_answered() -> None:
    """Under the logarithm stands a power of an exponential with a negative exponent, which once had a traceback."""
    trust = {"columns": {"trust": {"level": "example", "domain": "[0, 1]"}}, "weight": "trust"}
    assert said("finite_optimum", {**DPO, **trust, "value": "-softplus(beta - z)"})[0] != "proved"


def test_an_end_that_a_parameter_moves_is_no_end_at_infinity() -> None:
    assert said("lipschitz", {**DPO, **SCALED, "value": "exp(z)"})[0] != "refuted"
    assert said("finite_optimum", {**DPO, "reward": "clip(sum(logp - ref_logp), -beta, beta)"})[0] != "refuted"


def test_the_least_loss_of_a_clipped_reward_is_at_its_end() -> None:
    assert said("finite_optimum", {**DPO, **CLIPPED}) == ("proved", "2")
    assert said("finite_optimum", {**DPO, **CLIPPED, "value": "-softplus(z)"}) == ("proved", "-2")


def test_where_a_loss_becomes_flat_is_the_last_of_several_kinks() -> None:
    flat = "where(z >= 1, 0, where(z <= 0, z - 1/2, -(1 - z)**2/2))"
    assert said("finite_optimum", {**DPO, "normalizer": "1", "parameters": {}, "value": flat}) == ("proved", "flat")
