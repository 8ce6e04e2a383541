"""Every rewrite proved from exp and log; rows that are wrong, each in its own way, refuted by the same prover."""

from __future__ import annotations

import pytest
import sympy
from independent import applied
from stability_rows import SYMBOLIC, refutation

from halo.compiler.stability import ROWS, Row
from halo.objective.formula import SYMBOLS, Call, Formula, parse


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.pattern)
def test_row_is_proved(row: Row) -> None:
    assert refutation(row) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.positive], ids=lambda row: row.pattern)
def test_every_side_condition_is_needed(row: Row) -> None:
    for name in row.positive:
        weaker = Row(row.pattern, row.replacement, tuple(other for other in row.positive if other != name))
        assert "undefined" in str(refutation(weaker)), name


# (row, what the prover says)
WRONG = [
    (Row("log(1 + exp(x))", "softplus(-x)"), "at {'x'"),
    (Row("1 - exp(x)", "expm1(x)"), "at {'x'"),
    (Row("exp(x) - 1", "-expm1(x)"), "at {'x'"),
    (Row("log(1 - sigmoid(x))", "logsigmoid(x)"), "at {'x'"),
    (Row("1 / (1 + exp(x))", "sigmoid(x)"), "at {'x'"),
    (Row("log(1 - exp(x))", "log1mexp(-x)"), "at {'x'"),
    (Row("log(x / y)", "log(y) - log(x)", positive=("x",)), "at {'x'"),
    (Row("min(exp(x), c)", "exp(min(x, c))"), "at {'c'"),
    (Row("max(exp(x), c)", "exp(min(x, log(c)))", positive=("c",)), "at {'c'"),
    (Row("clip(exp(x), c, d)", "exp(clip(x, log(d), log(c)))", positive=("c", "d")), "at {'c'"),
    (Row("-min(x, y)", "min(-x, -y)"), "at {'x'"),
    (Row("log(x * y)", "log(x) + log(y)"), "undefined"),
    (Row("x", "exp(log(x))"), "undefined"),
    (Row("log(exp(x))", "y"), "on the right only"),
    (Row("log(-exp(x))", "x"), "defined nowhere"),
    # too close for any point: only the algebra sees these
    (Row("log(1 + exp(x))", "softplus(x) + 1e-60 * x"), "derivatives"),
    (Row("log(sigmoid(x))", "logsigmoid(x) + 1e-70 * exp(x)"), "derivatives"),
    (Row("min(exp(x), c)", "exp(min(x, log(c) + 1e-60))", positive=("c",)), "different parts"),
]


@pytest.mark.parametrize(
    ("row", "reason"), WRONG, ids=lambda value: f"{value.pattern} to {value.replacement}" if isinstance(value, Row) else ""
)
def test_wrong_row_is_refuted(row: Row, reason: str) -> None:
    assert reason in str(refutation(row))


@pytest.mark.parametrize(
    "row",
    [
        Row("-min(x, y)", "max(-x, -y)"),
        Row("max(exp(x), c)", "exp(max(x, log(c)))", positive=("c",)),
        Row("exp(min(x, y))", "min(exp(y), exp(x))"),
        Row("exp(x + y)", "exp(x) * exp(y)"),
        Row("logsigmoid(x) - logsigmoid(-x)", "x"),
    ],
    ids=lambda row: row.pattern,
)
def test_right_rows_that_halo_has_not_are_proved_too(row: Row) -> None:
    """A prover that refuted everything it does not know would be no proof of soundness of the tests above."""
    assert refutation(row) is None


def words(formula: Formula) -> set[str]:
    return {formula.function}.union(*map(words, formula.arguments)) if isinstance(formula, Call) else set()


def test_every_smooth_word_of_the_table_is_written_out_in_exp_and_log() -> None:
    used = set().union(*(words(parse(side)) for row in ROWS for side in (row.pattern, row.replacement)))
    x, y = sympy.symbols("x y", real=True)
    for word in used - {"min", "clip"}:
        expanded = applied(word, [x, y] if word in SYMBOLS else [x], SYMBOLIC)
        assert {type(function) for function in expanded.atoms(sympy.Function)} <= {sympy.exp, sympy.log}, word
