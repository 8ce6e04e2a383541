"""Generated code is compared with the declared formulas: shipped objectives pass at every point, planted bugs do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from halo.compiler import stability
from halo.compiler.pipeline import CompiledObjective, compile_source
from halo.compiler.stability import Row
from halo.errors import RunFailed
from halo.loss.function import LossFunction
from halo.loss.samples import KINDS
from halo.loss.validation import validate
from halo.objective.formula import parse
from halo.objective.vocabulary import FUNCTIONS
from halo.plugin.objectives import find_objective


def compiled(source: Any, **parameters: float) -> CompiledObjective:
    return compile_source(source, parameters, find_objective)


def mine(value: str) -> dict[str, Any]:
    return {
        "name": "mine",
        "feedback": "paired",
        "reward": "sum(logp - ref_logp)",
        "reference_point": "rejected",
        "value": value,
        "sign": -1,
    }


def failure(objective: CompiledObjective) -> str:
    """What a loss that is not handed out is refused with."""
    with pytest.raises(RunFailed) as caught:
        LossFunction(objective)
    assert (caught.value.code, caught.value.exit_code) == ("validation", 1)
    return str(caught.value)


NOT_COMPARED = {  # kinks, numbers beyond float64, slopes that are compared for all that
    "kto_no_z0": (0, 3, 13), "apo_zero": (0, 4, 13), "apo_down": (0, 3, 13),  # where 1 - sigmoid(50) is wanted
    "dr_dpo": (0, 2, 13),  # 1 - exp(-50) likewise, under the logarithm
    "dpo_pl": (0, 8, 11),  # what is sure to be ranked first: z minus itself
    "alphapo": (0, 8, 11), "f_dpo_alpha": (0, 10, 11), "f_dpo_forward_kl": (0, 10, 11),  # rewards of exp(2500) and more
    "discopop_aqfl": (2, 0, 11), "discopop_padll": (2, 0, 11), "dpop": (2, 0, 11),  # a kink or jump where policy = reference
    "kto_pair": (2, 4, 11),  # both
    **dict.fromkeys(("grpo_offline", "grpo", "grpo_trl"), (0, 13, 11)),  # a token's ratio of exp(2500)
}  # fmt: skip


@pytest.mark.parametrize("name", find_objective.names())
def test_shipped_objectives_are_compared_everywhere(name: str) -> None:
    """13 slopes (3 examples at the ordinary point, 2 at each other), no kinks, no number beyond float64: or it is said why not."""
    loss = LossFunction(compiled(name), validate=False)
    points = validate(loss.compiled, loss)
    assert [point.kind for point in points] == list(KINDS)
    assert all(point.values + point.beyond >= 5 for point in points)
    counted = [sum(getattr(point, what) for point in points) for what in ("kinks", "beyond", "slopes")]
    assert tuple(counted) == NOT_COMPARED.get(name, (0, 0, 13))


WORDS = {
    "list words": {"feedback": "ranked", "role": "completion", "reward": "mean(logp)", "reference_point": "none", "sign": -1,
        "value": "z * list_max(better.reward) + list_std(all.reward) - list_min(others.reward) * list_mean(worse.reward)",
        "reduce": {"completions": "mean", "examples": "mean"}},
    "tokens of the best": {"feedback": "ranked", "regularizers": {
        "a": {"role": "best", "expression": "-logp", "reduce": {"tokens": "mean"}},
        "b": {"role": "worst", "expression": "exp(logp) * position", "reduce": {"tokens": "sum", "examples": "mean"}}}},
    "columns": {"feedback": "ranked", "role": "completion", "sign": -1, "reference_point": "none", "value": "logsigmoid(a * z)",
        "columns": {"a": {"level": "example", "domain": "(0, inf)"}, "b": {"level": "completion", "domain": "(-inf, 0)"},
                    "c": {"level": "token", "domain": "(1, 2)"}},
        "reward": "sum(log(c) * logp) + log(-b)", "reduce": {"completions": "sum", "examples": "mean"}},
    "scores and pairs": {"feedback": "scored", "role": "chosen", "reward": "mean(logp)", "reference_point": "rejected", "sign": -1,
        "value": "logsigmoid(z) * (chosen.score - rejected.score)", "reduce": {"pairs": "mean", "completions": "sum", "examples": "mean"}},
    "sampler and prompt": {"feedback": "labelled", "regularizers": {
        "x": {"role": ["prompt", "desirable", "mismatched"], "expression": "exp(logp - old_logp)", "reduce": {"tokens": "mean"}}}},
    "batch words": {"feedback": "paired", "reward": "sum(logp)", "reference_point": "batch_mean(rejected.reward)", "sign": 1,
        "value": "sqrt(1 + z**2) + batch_std(chosen.reward) - stop(batch_max(chosen.reward)) * z"},
    "ranks and shares": {"feedback": "scored", "role": "completion", "reward": "sum(logp)", "reference_point": "none", "sign": -1,
        "value": "list_softmax(score) * list_log_softmax(z) + list_rank(z) * list_softmax(2 * z)",
        "reduce": {"completions": "sum", "examples": "mean"}},
    "sorts": {"feedback": "paired", "reward": "batch_sort(sum(logp) * chosen.length)", "reference_point": "rejected", "sign": -1,
        "value": "logsigmoid(z) * batch_sort(sum(rejected.logp))"},
    "the size of the vocabulary": {"feedback": "paired", "reward": "sum(logp + log(vocab_size))", "reference_point": "rejected", "sign": -1,
        "value": "tanh(z / vocab_size)"},
}  # fmt: skip


STATISTICS = {"name": "mine", "extends": "dpo", "let": {"u": "sum(logp - ref_logp)"}, "margin": "m - s", "statistics": {
    "m": {"of": "chosen.u", "reduce": "mean", "update": "all"},
    "s": {"of": "rejected.u - m", "reduce": "std", "update": "ema(0.5)", "start": 1}}}  # fmt: skip


def test_what_a_batch_shows_of_a_statistic_is_compared_too() -> None:
    loss = LossFunction(compiled(STATISTICS))
    bare, shown = (validate(loss.compiled, loss, *observe) for observe in ((), (loss.moments,)))
    assert [b.values - a.values for a, b in zip(bare, shown, strict=True)] == [2] * len(KINDS)
    assert {name: value.item() for name, value in loss.statistics().items()} == {"m": 0, "s": 1}  # nothing was taken in
    faulty = replace(loss.compiled, source=loss.source.replace("words.moments(rejected_u - m", "words.moments(rejected_u"))
    faulty = replace(faulty, source=faulty.source.replace("words.moments(chosen_u", "words.moments(2 * chosen_u"))
    assert "statistics['m']" in failure(faulty)


@pytest.mark.parametrize("case", WORDS)
def test_every_kind_of_feedback_and_input_has_its_points(case: str) -> None:
    loss = LossFunction(compiled({"name": "mine", **WORDS[case]}), validate=False)
    points = validate(loss.compiled, loss)
    assert points[0].slopes == 3
    assert sum(point.slopes for point in points) >= 10


# -- planted bugs --------------------------------------------------------------------------------------------------------

WRONG_ROWS = [
    ("dpo", Row("logsigmoid(x)", "-softplus(x)")),
    ("dpo", Row("x - y", "y + -x")),
    ("kto", Row("sigmoid(x)", "exp(x) / (2 + exp(x))")),
    ("orpo", Row("log(x / y)", "log(x) - y")),
    ("ppo_offline", Row("min(exp(x), c)", "exp(min(x, c))")),
    ("ppo_offline", Row("max(exp(x), c)", "exp(min(x, log(c)))", positive=())),
    ("slic_hf", Row("min(0, x)", "min(x, 1)")),
    ("ipo", Row("x**2", "x * x + 1e-7 * x")),
    (mine("log(1 - exp(-abs(z) - 1))"), Row("log(-expm1(x))", "-exp(x)")),
    (mine("log(1 + exp(z))"), Row("log(1 + exp(x))", "log(x)")),  # undefined where it is wrong
]


@pytest.mark.parametrize(("source", "row"), WRONG_ROWS, ids=lambda value: getattr(value, "pattern", None))
def test_wrong_row_is_caught(source: Any, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = (parse(row.pattern), parse(row.replacement), row)
    monkeypatch.setattr(stability, "_PARSED", [parsed, *stability._PARSED])
    assert "a rewrite of halo/compiler/stability.py" in failure(compiled(source))


# (objective, what the source says, what a faulty printer would have said)
WRONG_SOURCES = [
    ("dpo", "rejected.logp - rejected.ref_logp", "rejected.logp - chosen.ref_logp"),
    ("dpo", "-F.logsigmoid(z)", "-torch.log(torch.sigmoid(z))"),  # right but for far points
    ("ipo", "**2", "**3"),
    ("kto", ".detach()", ""),  # changes the gradient only
    ("kto", "words.sigmoid(", "torch.sigmoid("),  # changes tiny gradients only
    ("kto", "batch.undesirable", "batch.desirable"),
    ("orpo", "words.log1mexp(", "(lambda x: torch.log(1 - torch.exp(x)))("),
    ("simpo", "words.mean(", "words.total("),
    ("sft", "words.mean(", "words.total("),
    ("rrhf", "[:, None, :]", "[:, :, None]"),
    ("cpo_token_nll", "chosen.mask", "rejected.mask"),
    ("ppo_offline", "min", "max"),
    ("dpo", "rewards={\"chosen\": chosen_reward", "rewards={\"chosen\": rejected_reward"),  # the loss is right, a metric is not
    ({"name": "aot", "extends": "dpo", "reward": "batch_sort(sum(logp))"}, "words.sort(", "(lambda x: x)("),
    ({"name": "ranked", **WORDS["ranks and shares"]}, "words.rank(pair_z, ", "words.rank(-pair_z, "),
    ({"name": "shares", **WORDS["ranks and shares"]}, "batch.others", "batch.suffix"),
    ("dpo", "return LossOutput(", "raise ValueError(\"planted\")\n    return LossOutput("),
]  # fmt: skip


@pytest.mark.parametrize(("source", "old", "new"), WRONG_SOURCES, ids=lambda given: given["name"] if isinstance(given, dict) else given)
def test_wrong_source_is_caught(source: Any, old: str, new: str) -> None:
    objective = compiled(source)
    name = objective.graph.name
    assert old in objective.source
    faulty = replace(objective, source=objective.source.replace(old, new))
    message = failure(faulty)
    assert f"objective {name}, point '" in message
    assert "bug of halo's" in message
    assert "the code printed from it is not" in message or "does not run" in message
    LossFunction(faulty, validate=False)


def test_wrong_spelling_of_a_word_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "tanh", replace(FUNCTIONS["tanh"], torch="torch.sin({0})"))
    message = failure(compiled(mine("tanh(z)")))
    assert "point 'ordinary'" in message
    assert "the generated code's loss is" in message


# -- what is no bug ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "log(exp(z) + exp(-z))",  # overflows
        "exp(exp(z))",
        "log(z)",  # undefined for half of the pairs
        "1 / z",  # and at the reference
        "log(2 * sigmoid(z) / 2)",  # underflows
        "(1000000 + z - 1000000)**3",  # loses digits as it stands
        "abs(z)",  # a kink at the reference
        "sqrt(z**2)",
        "where(z > 0, z, 2 * z)",
        "max(z, -z, 1)",
        "z**3",  # slope 0, but not nearby
        "0 * z",
    ],
)
def test_what_float64_cannot_do_is_not_reported(value: str) -> None:
    loss = LossFunction(compiled(mine(value)), validate=False)
    points = validate(loss.compiled, loss)
    assert sum(point.slopes for point in points) > 0


def test_kinks_are_seen() -> None:
    loss = LossFunction(compiled(mine("abs(z)")), validate=False)
    kinks = {point.kind: point.kinks for point in validate(loss.compiled, loss)}
    assert kinks == dict.fromkeys(KINDS, 0) | {"at_reference": 2}


@pytest.mark.parametrize(("name", "parameter"), [("dpo", "beta"), ("orpo", "lambda_or"), ("ipo", "tau"), ("slic_hf", "delta")])
@pytest.mark.parametrize("value", [1e-8, 30.0, 1e8])
def test_any_parameter_value(name: str, parameter: str, value: float) -> None:
    LossFunction(compiled(name, **{parameter: value}))


def test_the_callers_torch_is_left_alone() -> None:
    state = torch.get_rng_state()
    with torch.no_grad():
        LossFunction(compiled("rrhf"))
    with torch.inference_mode():
        LossFunction(compiled("kto"))
    with torch.device("meta"):
        LossFunction(compiled("orpo"))
    assert torch.equal(state, torch.get_rng_state())
