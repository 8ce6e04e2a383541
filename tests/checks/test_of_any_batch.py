"""Verdicts speak of batches of any size and composition: tables of whole objectives, and whole random batches against what is proved."""

from __future__ import annotations

import random
from typing import Any

import pytest
from batch_claims import Claim, against
from witness_claims import shown_by

from halo.checks.catalogue import CHECKS
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.loss.function import LossFunction
from halo.plugin.objectives import find_objective

BETA = {"beta": {"default": 0.4, "domain": "(0, inf)"}}
GAMMA = BETA | {"gamma": {"default": 0.4, "domain": "(0, inf)"}}
DPO: dict[str, Any] = {"name": "mine", "feedback": "paired", "parameters": BETA, "columns": {}, "reward": "sum(logp - ref_logp)", "normalizer": "beta",
    "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1}  # fmt: skip
MEAN = DPO | {"reward": "mean(logp - ref_logp)"}
LABELLED = MEAN | {"feedback": "labelled", "reference_point": "none"}
LIST = DPO | {"feedback": "ranked", "role": "completion", "reference_point": "none", "reduce": {"completions": "sum", "examples": "mean"}}
TOKENS: dict[str, Any] = {"name": "mine", "feedback": "demonstrations", "parameters": {}, "columns": {}, "reward": "logp", "reference_point": "none",
    "value": "z", "sign": -1, "reduce": {"tokens": "mean"}}  # fmt: skip
DEVIATION = "sum(abs(chosen.logp - chosen.ref_logp)) - abs(sum(chosen.logp - chosen.ref_logp))"


def nll(expression: str) -> dict[str, Any]:
    return DPO | {"regularizers": {"r": {"role": "chosen", "expression": expression, "reduce": {"tokens": "mean"}}}}


def running(of: str, **more: Any) -> dict[str, Any]:
    return {"statistics": {"s": {"of": of, "reduce": "mean", "update": "all"}}, **more}


DOMAIN: list[tuple[dict[str, Any], str]] = [
    (DPO | {"weight": "sqrt(batch_max(chosen.reward) - chosen.reward)"}, "proved"),
    (DPO | {"weight": "log(batch_max(chosen.reward) - chosen.reward)"}, "refuted"),
    (DPO | {"weight": "sqrt(batch_max(chosen.reward) - batch_mean(chosen.reward))"}, "proved"),
    (DPO | {"weight": "sqrt(batch_mean(chosen.reward) - batch_max(chosen.reward))"}, "refuted"),
    (DPO | {"weight": f"sqrt({DEVIATION})"}, "proved"),
    (DPO | {"weight": f"log({DEVIATION})"}, "refuted"),
    (DPO | {"weight": "sqrt(mean(chosen.logp ** 2) - mean(chosen.logp) ** 2)"}, "proved"),
    (DPO | {"weight": "1 / batch_std(chosen.reward)"}, "refuted"),
    (LABELLED | {"weight": "1 / batch_mean(desirable.length)"}, "refuted"),  # no example of a batch may be desirable
    (LABELLED | {"weight": "1 / batch_mean(completion.length)"}, "proved"),
    (nll("logp * sqrt(length - position)"), "proved"),
    (nll("logp / (position - 1)"), "refuted"),
    (LIST | {"weight": "sqrt(list_max(all.reward) - list_min(all.reward))"}, "proved"),
    (LIST | {"weight": "sqrt(list_logsumexp(all.reward) - reward)"}, "proved"),
    (LIST | {"weight": "sqrt(list_max(others.reward) - reward)"}, "refuted"),
    (LIST | {"weight": "1 / list_max(worse.length)"}, "refuted"),  # nobody is worse than the last
    (LIST | {"value": "z - list_logsumexp(worse.reward)"}, "refuted"),
    (LIST | {"value": "logsigmoid(z - list_logsumexp(worse.reward))"}, "proved"),
    (LIST | {"feedback": "scored", "weight": "1 / (best.score - worst.score)"}, "refuted"),  # all may have one score
    (DPO | {"reduce": {"examples": "log(mean(loss))"}}, "proved"),
    (DPO | {"reduce": {"examples": "log(mean(loss) - 1)"}}, "refuted"),
    (DPO | running("log(chosen.reward)", weight="1 + s"), "refuted"),
]  # fmt: skip
AT_REFERENCE: list[tuple[dict[str, Any], str]] = [
    (MEAN | {"reduce": {"examples": "sum"}}, "refuted"),
    (DPO | {"value": "z", "reduce": {"examples": "sum"}}, "proved"),
    (MEAN | {"reduce": {"examples": "log(mean(exp(loss)))"}}, "proved"),
    (MEAN | {"reduce": {"examples": "log(sum(exp(loss)))"}}, "refuted"),
    (MEAN | {"parameters": GAMMA, "reward": "gamma + mean(logp - ref_logp)", "reference_point": "batch_mean(rejected.reward)"}, "proved"),
    (MEAN | {"parameters": GAMMA, "reward": "gamma + mean(logp - ref_logp)", "reference_point": "batch_sum(rejected.reward)"}, "refuted"),
    (MEAN | {"weight": "1 + batch_std(chosen.length)"}, "refuted"),
    (DPO | {"reward": "batch_sort(sum(logp - ref_logp))"}, "proved"),
    (MEAN | running("chosen.reward", reference_point="s"), "refuted"),
    (LABELLED | {"reward": "logp - ref_logp", "reduce": {"tokens": "mean"}}, "proved"),
]  # fmt: skip
LENGTH: list[tuple[dict[str, Any], str]] = [
    (MEAN, "proved"),
    (TOKENS, "refuted"),
    (TOKENS | {"reduce": {"tokens": "mean", "examples": "mean"}}, "proved"),
    (MEAN | {"regularizers": {"r": {"role": "chosen", "expression": "-logp", "reduce": {"tokens": "mean"}}}}, "refuted"),
    (LABELLED | {"reward": "logp - ref_logp", "reduce": {"tokens": "mean"}}, "refuted"),
    (MEAN | {"reduce": {"examples": "log(mean(exp(loss)))"}}, "proved"),
    (MEAN | {"reference_point": "batch_mean(chosen.reward)"}, "proved"),
    (DPO | {"reference_point": "batch_sum(chosen.reward)"}, "refuted"),
    (MEAN | {"weight": "1 + batch_std(chosen.length)"}, "refuted"),
    (MEAN | {"reward": "mean(position * (logp - ref_logp))"}, "refuted"),
    (MEAN | {"reward": "mean(abs(logp - mean(logp)))"}, "proved"),
    (LIST | {"reward": "mean(logp - ref_logp)", "reduce": {"completions": "mean"}}, "proved"),
]  # fmt: skip
SYMMETRY: list[tuple[dict[str, Any], str]] = [
    (DPO | {"reduce": {"examples": "sum"}}, "proved"),
    (DPO | {"reduce": {"examples": "log(mean(exp(loss)))"}}, "refuted"),
    (MEAN | {"weight": "1 + batch_std(chosen.length)"}, "refuted"),
    (DPO | {"reward": "batch_sort(sum(logp - ref_logp))"}, "refuted"),
    (MEAN | {"reward": "mean(exp(logp))"}, "proved"),
    (MEAN | {"reward": "sum(abs(logp)) + sum(logp)"}, "proved"),
]  # fmt: skip
DIRECTION: list[tuple[dict[str, Any], str]] = [
    (nll("position * (mean(logp) - logp)"), "both"),
    (nll("mean(logp) - logp"), "up"),
    (nll("-position * logp"), "up"),
    (TOKENS | {"value": "position * (z - mean(logp))"}, "both"),
    (TOKENS | {"value": "-(z - mean(logp)) ** 2"}, "both"),
    (TOKENS | {"value": "(z + 1) * (mean(logp) + 1)"}, "both"),
    (TOKENS | {"value": "exp(z) * exp(mean(logp))"}, "up"),
    (TOKENS | {"value": "min(z, mean(logp))"}, "up"),
    (TOKENS | {"reward": "mean(exp(logp)) - mean(logp)", "reduce": {"examples": "mean"}}, "down"),
    (TOKENS | {"reward": "mean(abs(logp - mean(logp)))", "reduce": {"examples": "mean"}}, "both"),
    (DPO | {"weight": "stop(1 + batch_max(chosen.reward) - chosen.reward)"}, "up"),
    (DPO | {"weight": "stop(1 - batch_max(chosen.reward) + chosen.reward)"}, "both"),
]  # fmt: skip
OVERFLOW: list[tuple[dict[str, Any], str]] = [
    (DPO | {"weight": "1 + mean(exp(-chosen.logp))"}, "refuted"),
    (DPO | {"weight": "1 + mean(exp(chosen.logp))"}, "proved"),
    (DPO | {"weight": "1 + sum(exp(5 * (chosen.logp - chosen.ref_logp))) / chosen.length"}, "refuted"),
    (DPO | {"weight": "1 + mean(chosen.logp ** 2)"}, "proved"),
    (DPO | {"weight": "1 + mean(chosen.logp / chosen.ref_logp)"}, "refuted"),
    (DPO | {"weight": "1 + mean(exp(min(chosen.logp - chosen.ref_logp, 2)))"}, "proved"),
    (DPO | {"weight": "1 + batch_mean(exp(chosen.reward))"}, "refuted"),
    (DPO | {"weight": "1 + exp(chosen.reward - batch_max(chosen.reward))"}, "proved"),
    (DPO | {"weight": "1 + exp(batch_max(chosen.reward) - chosen.reward)"}, "refuted"),
    (DPO | {"reduce": {"examples": "mean(exp(loss))"}}, "refuted"),
    (DPO | {"reduce": {"examples": "log(mean(exp(loss)))"}}, "proved"),
    (DPO | {"reduce": {"examples": "mean(exp(-loss))"}}, "proved"),
    (DPO | {"value": "exp(-abs(z)) / (exp(-abs(z)) + exp(-2 * abs(z)))"}, "refuted"),  # 0 / 0 in float32
]  # fmt: skip
TABLES = {
    "domain": DOMAIN,
    "at_reference": AT_REFERENCE,
    "length_neutral": LENGTH,
    "symmetry": SYMMETRY,
    "direction": DIRECTION,
    "no_overflow": OVERFLOW,
}
CASES = [
    pytest.param(check, source, wanted, id=f"{check}-{i}") for check, table in TABLES.items() for i, (source, wanted) in enumerate(table)
]


@pytest.mark.parametrize(("check", "source", "wanted"), CASES)
def test_it_speaks_of_any_batch(check: str, source: dict[str, Any], wanted: str) -> None:
    compiled = compile_source(source, None, find_objective)
    found = list(CHECKS[check].findings(Subject(compiled)))
    first = found[0]
    assert wanted in (first.verdict, first.value), first
    loss = LossFunction(compiled, validate=False)
    for finding in found:
        claim = Claim(finding.check, finding.verdict, finding.value, finding.scope)
        assert not against(loss, random.Random(wanted), claim), finding
        assert finding.verdict != "refuted" or finding.witness
        assert not shown_by(loss, random.Random(wanted), claim, finding.witness), finding
