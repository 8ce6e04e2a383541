"""Each check by itself: a loss for which its proposition holds, and one for which it does not; all of them are one change of DPO."""

from __future__ import annotations

from typing import Any

import pytest

from halo.checks.catalogue import CHECKS
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError

DPO: dict[str, Any] = {
    "name": "mine", "feedback": "paired", "parameters": {"beta": {"default": 0.1, "domain": "(0, inf)"}}, "reward": "sum(logp - ref_logp)",
    "normalizer": "beta", "reference_point": "rejected", "value": "logsigmoid(z)", "sign": -1,
}  # fmt: skip
SQUARE = {"value": "-(z - 1)**2"}
TRUST = {"columns": {"trust": {"level": "example", "domain": "(0, 1)"}}, "weight": "trust"}
NOT_COMPARED = {"reference_point": "none"}
DETACHED = {"reference_point": "stop(rejected.reward)"}

HOLDS: dict[str, dict[str, Any]] = {
    "domain": {}, "units": {}, "reach": {}, "no_overflow": {}, "monotone": {}, "concave_on_gains": {}, "bounded": {},
    "saturates": {"value": "sigmoid(z)"}, "lipschitz": {}, "halo": {}, "direction": {}, "at_reference": {}, "stop_gradient_effect": DETACHED,
    "finite_optimum": SQUARE, "preference_link": SQUARE, "log_partition_cancels": {}, "length_neutral": {"reward": "mean(logp - ref_logp)"},
    "symmetry": {},
}  # fmt: skip
NOT_SO: dict[str, dict[str, Any]] = {
    "domain": {"value": "log(z)"}, "reach": {"reference_point": "chosen"}, "no_overflow": {"value": "-exp(-z)"}, "monotone": SQUARE,
    "concave_on_gains": {"value": "exp(z)"}, "bounded": {"value": "z"}, "saturates": {}, "lipschitz": SQUARE, "halo": NOT_COMPARED,
    "direction": SQUARE, "at_reference": TRUST, "stop_gradient_effect": {**DETACHED, "value": "z"}, "finite_optimum": {}, "preference_link": {},
    "log_partition_cancels": NOT_COMPARED, "length_neutral": {}, "symmetry": SQUARE,
}  # fmt: skip
BY_FORM = ("halo", "reach", "stop_gradient_effect", "bounded", "saturates", "lipschitz", "finite_optimum")
"""Refuted by what the loss is, or by its limits: the reason has it, and there are no numbers to give."""


def said(name: str, changes: dict[str, Any]) -> list[Any]:
    return list(CHECKS[name].findings(Subject(compile_source({**DPO, **changes}))))


@pytest.mark.parametrize("name", CHECKS)
def test_it_holds(name: str) -> None:
    found = said(name, HOLDS[name])
    assert {finding.verdict for finding in found} == {"proved"}
    assert {finding.check.partition(".")[0] for finding in found} == {name}


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "units"])
def test_it_does_not(name: str) -> None:
    found = [finding for finding in said(name, NOT_SO[name]) if finding.verdict == "refuted"]
    assert found
    assert all(finding.witness for finding in found) or name in BY_FORM


def test_units_that_do_not_fit_do_not_compile() -> None:
    with pytest.raises(ObjectiveError, match="wrong-unit"):
        said("units", {"reward": "sum(logp) - mean(ref_logp)"})


@pytest.mark.parametrize(("name", "changes"), [
    ("at_reference", {"reward": "sum(logp)"}), ("stop_gradient_effect", {}), ("log_partition_cancels", {"reward": "sum(logp)"}),
    ("finite_optimum", TRUST | {"value": "logsigmoid(z - trust)"}), ("preference_link", {"regularizers": {"nll": {"role": "chosen", "expression": "-sum(logp)"}}}),
    ("symmetry", {"feedback": "demonstrations", "reference_point": "none"}),
])  # fmt: skip
def test_where_it_has_no_meaning_it_says_nothing(name: str, changes: dict[str, Any]) -> None:
    assert said(name, changes) == []
