"""Whether a loss is human-aware does not depend on how it is spelt, and two functions by label are not one v."""

from __future__ import annotations

from typing import Any

import pytest

from halo.analysis.verdict import Finding
from halo.checks.human_aware.halo import ask
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.plugin.objectives import find_objective

G = {"parameters": {"g": {"default": 0.2, "domain": "[0, inf)"}}}
B2 = {"parameters": {"b2": {"default": 0.2, "domain": "(0, inf)"}}}
PARTS = "batch_mean(relu(mismatched.reward)) - batch_mean(relu(-mismatched.reward))"
PLAIN = "stop(batch_mean(mismatched.reward))"
MEAN = "stop(max(0, batch_mean(mismatched.reward)))"


def by_label(desirable: Any, undesirable: Any, **more: Any) -> dict[str, Any]:
    return {"desirable": desirable, "undesirable": undesirable, **more}


def finding(changes: dict[str, Any], extends: str) -> Finding:
    subject = Subject(compile_source({"name": "mine", "extends": extends, **changes}, None, find_objective))
    return next(iter(ask(subject)))


KTO_SPELT_OTHERWISE = {
    "in parts": {"reward": "sum(relu(logp - ref_logp)) - sum(relu(ref_logp - logp))"},
    "in other parts": {"reward": "sum(max(logp - ref_logp, 0)) + sum(min(logp - ref_logp, 0))"},
    "a reference point in parts": {"reference_point": f"stop(max(0, {PARTS}))"},
    "a margin that is the reference point": {"reference_point": "none", "margin": MEAN},
    "signs in v": {"value": by_label("sigmoid(z)", "-sigmoid(z)"), "sign": -1},
    "weights in v": {"value": by_label("lambda_d * sigmoid(z)", "lambda_u * sigmoid(z)"), "weight": 1},
    "the normalizer in v": {"normalizer": 1, "value": "sigmoid(beta * z)"},
    "one table for both labels": {"normalizer": by_label("beta", "beta", mismatched="beta"), "reference_point": by_label(MEAN, MEAN)},
    "a negated reward": {"reward": "sum(ref_logp - logp)", "reference_point": PLAIN, "value": "sigmoid(-z)"},
    "the paper's two values": {"value": by_label("sigmoid(z)", "sigmoid(-z)"), "sign": -1, "constant": by_label("lambda_d", "lambda_u")},
    "a negative margin": {**G, "margin": "-g"},
    "that margin in the reference point": {**G, "reference_point": f"{MEAN} - g"},
    "that margin in v": {**G, "value": "sigmoid(z + g)"},
    "two margins of an affine v": {**G, "value": "z", "margin": by_label("g", "-g")},
}  # fmt: skip


@pytest.mark.parametrize("changes", KTO_SPELT_OTHERWISE.values(), ids=KTO_SPELT_OTHERWISE.keys())
def test_kto_is_human_aware_however_it_is_spelt(changes: dict[str, Any]) -> None:
    found = finding(changes, "kto")
    assert found.verdict == "proved", found.reason


NOT_KTO = {
    "two margins are two v": ({**G, "value": "logsigmoid(z)", "constant": 0, "margin": by_label("g", "-g")}, "share no v"),
    "two scales are two v": ({**B2, "value": by_label("sigmoid(z)", "sigmoid(b2 * z)")}, "share no v"),
    "two normalizers are two rewards": (
        {**B2, "normalizer": by_label("beta", "b2 / length", mismatched="beta")},
        "is not E_Q of the reward",
    ),
    "a margin moves the gains": ({**G, "margin": "g"}, "not concave on gains"),
    "that margin in the reference point": ({**G, "reference_point": f"{MEAN} + g"}, "not concave on gains"),
    "that margin in v": ({**G, "value": "sigmoid(z - g)"}, "not concave on gains"),
    "another reference point": ({"reference_point": "stop(batch_mean(2 * mismatched.reward))"}, "is not E_Q of the reward"),
    "clipped tokens": ({"reward": "sum(clip(logp - ref_logp, -1, 1))"}, "not linear in log(pi/pi_ref)"),
    "a reference point free of theta": ({"reference_point": "sum(mismatched.ref_logp)"}, "does not depend on theta"),
}


@pytest.mark.parametrize(("changes", "reason"), NOT_KTO.values(), ids=NOT_KTO.keys())
def test_what_is_not_of_the_form_is_refuted_for_its_reason(changes: dict[str, Any], reason: str) -> None:
    found = finding(changes, "kto")
    assert (found.verdict, reason in found.reason) == ("refuted", True), found.reason


def test_humanline_kto_is_refuted_for_its_clip() -> None:
    reason = finding({}, "humanline_kto").reason
    assert reason.startswith("the reward holds total(clip(completion.logp - completion.ref_logp, log_eps_p, log_eps_r))")
    assert reason.endswith("not linear in log(pi/pi_ref)")


OTHER_SIDE = {"role": "rejected", "reference_point": "chosen", "value": "logsigmoid(-z)"}
DPO_SPELT_OTHERWISE = {
    "in parts": {"reward": "sum(relu(logp - ref_logp)) - sum(relu(ref_logp - logp))"},
    "softplus of a negated reward": {"reward": "sum(ref_logp - logp)", "value": "softplus(z)", "sign": 1},
    "from the other side": OTHER_SIDE,
    "from both sides": {"terms": {"one": {"role": "chosen"}, "other": OTHER_SIDE}},
    "in two halves": {"terms": {"one": {"role": "chosen", "weight": 0.5}, "other": {"role": "chosen", "value": "logsigmoid(z) / 2"}}},
    "parts of z": {"value": "logsigmoid(relu(z) - relu(-z))"},
}


@pytest.mark.parametrize("changes", DPO_SPELT_OTHERWISE.values(), ids=DPO_SPELT_OTHERWISE.keys())
def test_dpo_is_human_aware_however_it_is_spelt(changes: dict[str, Any]) -> None:
    found = finding(changes, "dpo")
    assert found.verdict == "proved", found.reason


def test_ppo_clip_of_whole_answers_is_no_halo_by_the_letter() -> None:
    """Nor would it be with a reference point: docs/checks.md says where this differs from the paper's own words."""
    whole = {"reward": "sum(logp - ref_logp)", "reduce": {"examples": "mean"}}
    assert "no reference point" in finding(whole, "ppo_offline").reason
    found = finding({**whole, "reference_point": PLAIN}, "ppo_offline")
    assert (found.verdict, "not concave on gains" in found.reason or "share no v" in found.reason) == ("refuted", True), found.reason
