"""DPO changed on both sides of a comparison: columns, running statistics, kinks, and parameters renamed through maps.

What is said of a value function or a parameter is held against numbers in the tests of relations; here the words count.
"""

from __future__ import annotations

from typing import Any

import pytest

from halo.compiler.pipeline import compile_source
from halo.relations.relation import Relation, relation
from halo.relations.signature import Side

DPO = {
    "feedback": "paired",
    "parameters": {"beta": {"default": 0.1, "domain": "(0, inf)"}},
    "reward": "sum(logp - ref_logp)",
    "reference_point": "rejected",
    "normalizer": "beta",
    "value": "logsigmoid(z)",
    "sign": -1,
}


def related(left: dict[str, Any], right: dict[str, Any]) -> Relation:
    return relation(*(Side(compile_source({"name": name, **DPO, **changes})) for name, changes in (("left", left), ("right", right))))


# -- columns ---------------------------------------------------------------------------------------------------------------


def weighted(name: str = "w", **column: Any) -> dict[str, Any]:
    return {"columns": {name: {"level": "example", "domain": "(0, inf)", **column}}, "weight": name}


COLUMNS = [
    (weighted(), weighted(), "equal"),
    (weighted(), weighted("u"), "renamed"),
    (weighted(), weighted(level="completion"), "incomparable"),
    (weighted(), weighted(domain="(0, 1]"), "special-case"),
    (weighted(), weighted(default=2), "special-case"),
    (weighted(default=1), weighted(default=2), "incomparable"),
    (weighted(domain="(0, 2]"), weighted(domain="[1, 3)"), "incomparable"),
    (weighted(domain="(0, 1]"), weighted(domain="[2, 3)"), "incomparable"),
    (weighted(), weighted("u", default=1), "different"),
]


@pytest.mark.parametrize(("left", "right", "word"), COLUMNS)
def test_a_column_is_its_level_its_domain_and_its_default(left: dict[str, Any], right: dict[str, Any], word: str) -> None:
    assert related(left, right).word == word
    assert related(right, left).word == word


def test_the_objective_of_fewer_rows_is_the_special_one() -> None:
    found = related(weighted(domain="(0, 1]"), weighted())
    assert (found.special, found.general) == ("left", "right")
    assert found.hypotheses == ("where w lies in (0, 1], as both declare",)


def test_columns_of_other_names_are_matched_in_every_order() -> None:
    left = {"columns": {name: weighted()["columns"]["w"] for name in "ab"}, "weight": "a", "margin": "b"}
    right = {"columns": {name: weighted()["columns"]["w"] for name in "cd"}, "weight": "d", "margin": "c"}
    found = related(left, right)
    assert found.word == "renamed"
    assert found.hypotheses == ("with the column b of left as c of right", "with the column a of left as d of right")


# -- running statistics ----------------------------------------------------------------------------------------------------


def running(name: str = "gap", **changes: Any) -> dict[str, Any]:
    declared = {"of": "chosen.reward - rejected.reward", "reduce": "mean", "update": "ema(0.9)", **changes}
    return {"statistics": {name: declared}, "margin": name}


@pytest.mark.parametrize(
    "changes",
    [{"of": "chosen.reward"}, {"reduce": "std"}, {"update": "ema(0.99)"}, {"update": "all"}, {"start": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_statistics_of_one_name_are_not_one_statistic(changes: dict[str, Any]) -> None:
    assert related(running(), running(**changes)).word in ("different", "undecided")


def test_a_statistic_of_another_name_is_the_same() -> None:
    assert related(running(), running("other", of="-rejected.reward + chosen.reward")).word == "equal"


def test_what_a_statistic_keeps_may_be_a_parameter() -> None:
    decay = {"parameters": {**DPO["parameters"], "d": {"default": 0.5, "domain": "[0, 1)"}}}
    found = related(running(), {**running(update="ema(d)"), **decay})
    assert (found.word, found.sentence) == ("special-case", "left is right with d = 0.9")


# -- kinks -----------------------------------------------------------------------------------------------------------------

SAME_VALUES = [
    ("z", "relu(z) - relu(-z)"),
    ("abs(z)**2", "z**2"),
    ("min(0, z - 1)", "where(z < 1, z - 1, 0)"),
    ("where(z > 0, z, 2 * z)", "where(z >= 0, z, 2 * z)"),
    ("logsigmoid(z)", "min(z, 0) - softplus(-abs(z))"),
    ("clip(z, -1, 1)", "where(z < -1, -1, where(z > 1, 1, z))"),
    ("z", "where(z > beta, z, z)"),
]


@pytest.mark.parametrize(("left", "right"), SAME_VALUES)
def test_values_that_agree_at_a_kink_too_are_equal(left: str, right: str) -> None:
    assert related({"value": left}, {"value": right}).word == "equal"
    assert related({"value": right}, {"value": left}).word == "equal"


@pytest.mark.parametrize(("left", "right"), [("where(z > 0, 1 + z, z)", "where(z >= 0, 1 + z, z)"), ("z", "where(z > 0, z, 2 * z)")])
def test_values_that_differ_somewhere_are_not_equal(left: str, right: str) -> None:
    assert related({"value": left}, {"value": right}).word in ("different", "distinct", "shifted", "undecided")


BOUNDED = ["tanh(z)", "sigmoid(z)", "atan(z)", "-exp(-z**2)", "exp(-exp(-z))", "clip(z, -2, 1)"]
UNBOUNDED = ["z", "logsigmoid(z)", "-exp(-z)", "-relu(1 - z)", "-(z - 1)**2", "min(z, 1)"]


@pytest.mark.parametrize("unbounded", UNBOUNDED)
@pytest.mark.parametrize("bounded", BOUNDED)
def test_a_bounded_value_is_told_apart_from_an_unbounded_one(bounded: str, unbounded: str) -> None:
    found = related({"value": bounded}, {"value": unbounded})
    assert found.word in ("different", "distinct")
    assert found.witness


# -- parameters ------------------------------------------------------------------------------------------------------------

LINE, SHARE, POSITIVE = "(-inf, inf)", "(0, 1)", "(0, inf)"
MAPS = [
    (POSITIVE, "exp(t)", LINE, "t = log(beta)"),
    (POSITIVE, "t / (1 - t)", SHARE, "t = beta / (1 + beta)"),
    (SHARE, "t / (1 + t)", POSITIVE, "t = beta / (1 - beta)"),
    (SHARE, "sigmoid(t)", LINE, "t = log(beta / (1 - beta))"),
    (SHARE, "1 / t", "(1, inf)", "t = 1 / beta"),
    (SHARE, "1 - exp(-t)", POSITIVE, "t = log(1 / (1 - beta))"),
]


@pytest.mark.parametrize(("domain", "normalizer", "mapped", "formula"), MAPS)
def test_a_parameter_is_found_behind_a_map_that_can_be_undone(domain: str, normalizer: str, mapped: str, formula: str) -> None:
    left = {"parameters": {"beta": {"default": 0.25, "domain": domain}}}
    default = {"(1, inf)": 2}.get(mapped, 0.25)
    found = related(left, {"parameters": {"t": {"default": default, "domain": mapped}}, "normalizer": normalizer})
    assert (found.word, found.sentence) == ("renamed", f"left is right with {formula}")


def test_a_map_that_reaches_a_part_of_the_domain_is_a_special_case() -> None:
    found = related({}, {"parameters": {"t": {"default": 1, "domain": POSITIVE}}, "normalizer": "t / (1 + t)"})
    assert (found.word, found.sentence) == ("special-case", "right is left with beta = t / (1 + t)")
