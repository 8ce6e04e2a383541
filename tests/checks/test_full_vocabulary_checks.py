"""What is proved where a loss reads the whole next-token distribution: its words depend on theta and are no constants."""

from __future__ import annotations

from typing import Any

import pytest
from refusals import refused

from halo.analysis.verdict import Finding
from halo.checks.catalogue import CHECKS
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.notation.typeset import typeset
from halo.objective.vocabulary import FULL_VOCABULARY
from halo.plugin.objectives import find_objective

KL = {"let": {"kl": "sum(kl_ref_policy)"}}
TDPO1 = {**KL, "margin": "beta * (rejected.kl - chosen.kl)"}
TDPO2 = {**KL, "margin": "beta * (rejected.kl - stop(chosen.kl))"}
WPO = {"let": {"confidence": "mean(logp - log_sum_sq_probs)"}, "weight": "stop(min(1, exp(chosen.confidence + rejected.confidence)))"}
ENTROPY = {"regularizers": {"spread": {"role": "chosen", "weight": 0.01, "expression": "-entropy", "reduce": {"tokens": "mean"}}}}
HALF = {"let": {"h": "log((mean(chosen.ref_entropy) + mean(rejected.ref_entropy)) / 2)"}, "normalizer": "beta * exp(h)"}


def found(check: str, more: dict[str, Any]) -> list[Finding]:
    subject = Subject(compile_source({"name": "mine", "extends": "dpo", **more}, None, find_objective))
    for part in subject.parts:
        subject.view.whole(part)
    return list(CHECKS[check].findings(subject))


@pytest.mark.parametrize(
    ("more", "chosen", "rejected"),
    [
        ({}, "up", "down"),
        (TDPO1, None, None),
        (TDPO2, "up", None),  # the chosen KL is detached: only its value steers the pull
        (WPO, "up", "down"),
        (ENTROPY, None, "down"),
        ({"reward": "sum(exp(logp) * kl_policy_ref) + sum(logp - ref_logp)"}, None, None),  # inside a reduction
        ({"reward": "sum(logp - ref_logp) + sum(ref_entropy)"}, "up", "down"),  # the reference's does not move
    ],
    ids=["dpo", "tdpo1", "tdpo2", "wpo", "entropy", "inside", "reference"],
)
def test_no_direction_is_proved_past_a_word_that_moves_too(more: dict[str, Any], chosen: str | None, rejected: str | None) -> None:
    findings = {f.check: f for f in found("direction", more)}
    assert (findings["direction.chosen"].value, findings["direction.rejected"].value) == (chosen, rejected)
    for finding in findings.values():
        if finding.value is None:
            assert finding.verdict == "undecided"
            assert "also moves" in finding.reason


@pytest.mark.parametrize(
    ("more", "verdict", "reason"),
    [
        (TDPO2, "refuted", "which depends on theta beside log(pi/pi_ref)"),
        (WPO, "refuted", "depends on theta"),
        (ENTROPY, "refuted", "the regularizer spread depends on theta"),
        (HALF, "refuted", "the normalizer depends on"),
        ({"reward": "sum(logp - ref_logp) + 0 * sum(entropy)"}, "proved", ""),
    ],
)
def test_halo_does_not_take_them_for_constants(more: dict[str, Any], verdict: str, reason: str) -> None:
    (first, *_) = found("halo", more)
    assert first.verdict == verdict
    assert reason in first.reason


def test_divergences_vanish_at_the_reference() -> None:
    for more in (TDPO1, TDPO2):
        (finding,) = found("at_reference", more)
        assert (finding.verdict, finding.value) == ("proved", "log(2)")
    (finding,) = found("at_reference", {"margin": "sum(chosen.entropy) - sum(chosen.ref_entropy) + sum(exp(logp) * kl_policy_ref)"})
    assert (finding.verdict, finding.value) == ("proved", "log(2)")
    assert found("at_reference", ENTROPY)[0].verdict == "refuted"


def test_their_ranges_are_known() -> None:
    for margin in ("log(sum(entropy))", "sqrt(sum(kl_ref_policy))", "sqrt(mean(kl_policy_ref))", "log(-sum(log_sum_sq_probs))", "log(mean(ref_entropy) / 2)"):
        assert found("domain", {"margin": margin})[0].verdict == "proved"
    assert found("domain", {"margin": "log(sum(kl_ref_policy))"})[0].verdict != "proved"


def test_a_sum_over_tokens_grows_with_the_length() -> None:
    more = {"reward": "mean(logp - ref_logp)", "margin": "beta * mean(rejected.kl_ref_policy)"}
    assert found("length_neutral", more)[0].verdict == "proved"
    assert found("length_neutral", {**more, "margin": "beta * sum(rejected.kl_ref_policy) / chosen.length"})[0].verdict == "refuted"


def test_units_levels_and_names() -> None:
    with refused(ObjectiveError, "wrong-unit", at="dpo.yaml:8:9"):
        found("units", {"margin": "sum(kl_ref_policy) + mean(logp)"})
    with refused(ObjectiveError, "wrong-level", at="mine:3:9"):
        found("units", {"margin": "batch_mean(chosen.entropy)"})
    for word in FULL_VOCABULARY:
        with refused(ObjectiveError, "wrong-value", at="mine:4:3"):
            found("units", {"let": {word: "sum(logp)"}})


def test_they_are_written_as_papers_do() -> None:
    compiled = compile_source({"name": "mine", "extends": "dpo", "margin": "sum(kl_ref_policy) - sum(log_sum_sq_probs) + sum(ref_entropy)"},
                              None, find_objective)  # fmt: skip
    assert "KL(π_ref(·|x,y_{w,<t}) ‖ π_θ(·|x,y_{w,<t}))" in typeset(compiled, "unicode")
    assert r"\log \sum_{v} \pi_\theta(v \mid x, y_{w,<t})^{2}" in typeset(compiled, "latex")
    assert r"\mathrm{H}(\pi_{\mathrm{ref}}(\cdot \mid x, y_{w,<t}))" in typeset(compiled, "latex")
