"""The evaluator in many digits against the papers' formulas (`oracle`) and against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import oracle
import pytest
import torch
from batches import EXTRA, VOCAB_SIZE, batch
from mpmath import mp, mpf

from halo.compiler.exact import Evaluator, evaluate
from halo.compiler.graph import Builder, Node
from halo.compiler.indices import ExactBatch, Row
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.plugin.objectives import find_objective


def as_exact(rows: dict[str, Any]) -> ExactBatch:
    """The oracle's batch."""

    def row(own: dict[str, Any]) -> Row:
        return Row(own["logp"], own["ref"], own["old"], {key: value for key, value in own.items() if key not in ("logp", "ref", "old")})

    made = {slot: [row(own) for own in rows[slot]] for slot in rows if slot not in ("lists", "ranks", "desirable", "columns")}
    if "lists" in rows:
        made["completion"] = [[row(one) for one in own] for own in rows["lists"]]  # type: ignore[misc]
    return ExactBatch(made, rows.get("desirable", ()), rows.get("ranks", ()), rows["columns"], vocab_size=VOCAB_SIZE)


def after_one_step(compiled: CompiledObjective, rows: ExactBatch) -> dict[str, Any]:
    """The running statistics when they have taken in this batch, the first."""
    values: dict[str, Any] = {}
    for name, statistic in compiled.declared.statistics.items():
        seen = evaluate([statistic.observed], rows, compiled.parameters | values, digits=450)[statistic.observed]
        kept = Fraction(0) if statistic.decay is None else statistic.decay
        assert isinstance(kept, Fraction)
        past, share = kept * statistic.start, 1 - kept
        values[name] = mpf(past.numerator) / past.denominator + seen * share.numerator / share.denominator
    return values


SAME = {"cauchy_po": -13}
"""How near the file's formula is to the paper's, as a power of ten, where it is not the same: pi has 17 digits."""


@pytest.mark.parametrize("kind", ["random", "far_up", "far_down", "sure", "impossible"])
@pytest.mark.parametrize("name", find_objective.names())
def test_declared_graph_is_the_papers_formula(name: str, kind: str) -> None:
    """Evaluated as declared, before any rewriting: 1 - sigmoid(500) has its digits because there are 450 of them."""
    compiled = compile_source(name, None, find_objective)
    needs = compiled.declared.needs
    extra = tuple(slot for slot in needs.slots if slot in EXTRA)
    columns = compiled.objective.declaration.columns
    both = batch(compiled.declared.feedback, kind, torch.float64, seed=2, extra=extra, columns=columns, words=needs.words)
    true = oracle.bound(getattr(oracle, name), both.exact, {key: mpf(value) for key, value in compiled.parameters.items()})(both.exact)
    values = compiled.parameters | after_one_step(compiled, as_exact(both.exact))
    found = evaluate([compiled.declared.loss], as_exact(both.exact), values, digits=450)[compiled.declared.loss]
    assert abs(found - true) <= mpf(10) ** SAME.get(name, -200) * max(1, abs(true))


LISTS = ExactBatch(
    {"completion": [[Row([-1, -2]), Row([-3]), Row([-5]), Row([])], [Row([-7])]]},
    ranks=[[2, 1, 2, 1], [1]],
)
"""Rewards -3, -3, -5 and an absent one, ranks 2 1 2; and a list of one, -7."""

BY_HAND: dict[str, dict[tuple[int, ...], Any]] = {
    "list_sum(all.reward)": {(0,): -11, (1,): -7},
    "list_max(better.reward)": {(0, 0): -3, (0, 1): 0, (0, 2): -3, (1, 0): 0},
    "list_min(worse.reward)": {(0, 0): 0, (0, 1): -5, (0, 2): 0, (1, 0): 0},
    "list_mean(suffix.reward)": {(0, 0): -4, (0, 1): Fraction(-11, 3), (0, 2): -4, (1, 0): -7},
    "list_sum(others.reward)": {(0, 0): -8, (0, 1): -8, (0, 2): -6, (1, 0): 0},
    "list_std(all.reward) ** 2": {(0,): Fraction(4, 3), (1,): 0},
    "exp(list_logsumexp(worse.reward))": {(0, 0): 0, (0, 1): mp.exp(-3) + mp.exp(-5), (0, 2): 0, (1, 0): 0},
    "batch_max(completion.reward) * reward": {(0, 0): 9, (0, 1): 9, (0, 2): 15, (1, 0): 21},
    "batch_mean(best.reward) * reward": {(0, 0): 15, (0, 1): 15, (0, 2): 25, (1, 0): 35},
    "batch_sum(worst.reward) * reward": {(0, 0): 30, (0, 1): 30, (0, 2): 50, (1, 0): 70},
    "sum(logp * position) + reward": {(0, 0): -8, (0, 1): -6, (0, 2): -10, (1, 0): -14},
    "where(length > 1, -1, reward)": {(0, 0): -1, (0, 1): -3, (0, 2): -5, (1, 0): -7},
    "log(reward)": dict.fromkeys([(0, 0), (0, 1), (0, 2), (1, 0)]),
}


@pytest.mark.parametrize("formula", BY_HAND)
def test_words_of_lists_by_hand(formula: str) -> None:
    objective = {"name": "mine", "feedback": "ranked", "role": "completion", "reward": "sum(logp)", "reference_point": "none",
                 "value": f"reward * 0 + ({formula})", "sign": 1, "reduce": {"completions": "sum", "examples": "mean"}}  # fmt: skip
    graph = compile_source(objective, None, find_objective).declared
    (added,) = [node for node in (graph.parts[0].value,) if node.data == "add"]
    found = evaluate([added.args[1]], LISTS, {}, digits=40)[added.args[1]]
    assert set(found) == set(BY_HAND[formula])
    for key, true in BY_HAND[formula].items():
        if true is None:
            assert found[key] != found[key]  # the log of a negative number is no number
        else:
            exact = mpf(true.numerator) / true.denominator if isinstance(true, Fraction | int) else true
            assert abs(found[key] - exact) < mpf(10) ** -35, key


def test_means_divide_by_what_is_there_and_a_mean_of_nothing_is_zero() -> None:
    sft = compile_source("sft", None, find_objective).declared
    ragged = ExactBatch({"completion": [Row([-1, -2, -3]), Row([-4]), Row([])]})
    assert evaluate([sft.loss], ragged, {})[sft.loss] == mpf(10) / 4
    assert evaluate([sft.loss], ExactBatch({"completion": [Row([])]}), {})[sft.loss] == 0


def kto() -> tuple[Any, ExactBatch, ExactBatch]:
    compiled = compile_source("kto", None, find_objective)
    near, far = ([Row([x, -1], [-2, -2])] * 2 for x in (mpf("-0.5"), mpf("-0.25")))
    own = [Row([-1], [-2]), Row([-3, -1], [-1, -1])]
    labels = [True, False]
    return compiled, ExactBatch({"completion": own, "mismatched": near}, labels), ExactBatch({"completion": own, "mismatched": far}, labels)


def test_frozen_stops_are_constants() -> None:
    """Moving the detached rows moves the loss, unless what was detached is given."""
    compiled, here, there = kto()
    loss = compiled.declared.loss
    before = evaluate([loss], here, compiled.parameters)
    stops = {node: value for node, value in before.items() if node.op == "stop"}
    assert [str(mp.nstr(value, 10)) for value in stops.values()] == ["0.25"]  # 0.1 ((2 - 0.5) + (2 - 1))
    assert evaluate([loss], there, compiled.parameters)[loss] != before[loss]
    assert evaluate([loss], there, compiled.parameters, frozen=stops)[loss] == before[loss]


def test_global_precision_is_left_alone() -> None:
    digits = mp.dps
    compiled, here, _ = kto()
    values = evaluate([compiled.declared.loss], here, compiled.parameters, digits=33)
    assert mp.dps == digits
    assert (
        2**-120
        < abs(values[compiled.declared.loss] - evaluate(list(values), here, compiled.parameters, 99)[compiled.declared.loss])
        < 2**-100
    )


def test_enormous_arguments_come_back() -> None:
    """exp(exp(exp(9))) has no digits to wait for; softplus and logsigmoid are x itself there."""
    build = Builder()
    x: Node = build.number(9)
    for _ in range(3):
        x = build.apply("exp", x)
    down = build.apply("neg", x)
    nodes = {word: build.apply(word, down if word == "logsigmoid" else x) for word in ("exp", "softplus", "logsigmoid", "sigmoid")}
    found = Evaluator(LISTS, {}).values([x, *nodes.values()], LISTS)
    assert found[nodes["exp"]] == mp.inf
    assert found[nodes["sigmoid"]] == 1
    assert found[nodes["softplus"]] == found[x] == -found[nodes["logsigmoid"]]
