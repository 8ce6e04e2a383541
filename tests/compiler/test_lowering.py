"""What can be read but not meant: a change to dpo, the code of the refusal and its line:column."""

from __future__ import annotations

from typing import Any

import pytest

from halo.compiler.pipeline import compile_source
from halo.errors import ObjectiveError
from halo.plugin.objectives import find_objective

DPO: dict[str, str] = {
    "name": "mine",
    "feedback": "paired",
    "parameters": '{beta: {default: 0.1, domain: "(0, inf)"}}',
    "reward": "sum(logp - ref_logp)",
    "normalizer": "beta",
    "reference_point": "rejected",
    "value": "logsigmoid(z)",
    "sign": "-1",
}
RANKED = {"feedback": "ranked", "role": "chosen", "reduce": "{pairs: sum, examples: mean}"}


def text(**changes: str) -> str:
    """dpo with keys replaced in place or added at the end, one line each."""
    return "\n".join(f"{key}: {value}" for key, value in (DPO | changes).items()) + "\n"


# (changes, code, line:column)
REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "token quantity reaches the loss": ({"reward": "logp"}, "wrong-level", "4:9"),
    "rejected in labelled feedback": ({"feedback": "labelled"}, "unknown-role", "6:18"),
    "sum plus mean": ({"reward": "sum(logp) + mean(logp)"}, "wrong-unit", "4:9"),
    "beta on a sum and on a mean": ({"terms": "{a: {role: chosen}, b: {role: chosen, reward: mean(logp)}}"}, "wrong-unit", "7:8"),
    "length divided out twice by the normalizer": ({"reward": "mean(logp)", "normalizer": "beta / length"}, "wrong-unit", "4:9"),
    "length divided out twice": ({"reward": "mean(logp) / length"}, "wrong-unit", "4:9"),
    "tokens of two completions": ({"reward": "sum(logp - rejected.logp)"}, "wrong-level", "4:13"),
    "unused parameter": ({"normalizer": "1"}, "unused", "3:14"),
    "unused let": ({"let": "{u: mean(logp)}"}, "unused", "9:7"),
    "let cycle": ({"let": "{a: b, b: a}", "margin": "chosen.a"}, "cycle", "9:16"),
    "reward cycle": ({"let": "{u: reward}", "reward": "u"}, "cycle", "4:9"),
    "reduce in the wrong order": ({"reduce": "{examples: mean, tokens: mean}"}, "wrong-level", "9:9"),
    "reduce that starts too fine": ({"reduce": "{tokens: mean}"}, "wrong-level", "9:9"),
    "reduce that starts too coarse": ({"role": "[chosen, rejected]", "reference_point": "none", "reduce": "{examples: mean}"},
        "wrong-level", "10:9"),
    "reduce by a third way": ({"role": "[chosen, rejected]", "reference_point": "none", "reduce": "{completions: max, examples: mean}"},
        "wrong-value", "10:9"),
    "reduce over an unknown axis": ({"reduce": "{rows: mean}"}, "wrong-value", "9:"),
    "unknown role": ({"role": "choosen"}, "unknown-role", "9:7"),
    "unknown function": ({"value": "logsigmoi(z)"}, "unknown-name", "7:8"),
    "unknown name": ({"value": "logsigmoid(zz)"}, "unknown-name", "7:19"),
    "role without a name": ({"margin": "rejected"}, "unknown-name", "9:9"),
    "z outside value": ({"margin": "z"}, "unknown-name", "9:9"),
    "loss outside reduce": ({"value": "loss"}, "unknown-name", "7:8"),
    "too many arguments": ({"value": "logsigmoid(z, z)"}, "formula-syntax", "7:8"),
    "sum of a sum": ({"reward": "sum(sum(logp))"}, "wrong-level", "4:9"),
    "list word for pairs": ({"margin": "list_mean(all.reward)"}, "wrong-level", "9:9"),
    "score in paired feedback": ({"margin": "chosen.score"}, "unknown-name", "9:9"),
    "batch word without a role": ({"margin": "batch_mean(reward)"}, "wrong-level", "9:20"),
    "batch word of tokens": ({"margin": "batch_mean(chosen.logp)"}, "wrong-level", "9:9"),
    "sign that is no literal": ({"sign": "beta"}, "wrong-value", "8:7"),
    "map without the role": ({"value": "{rejected: z}"}, "missing-key", "7:8"),
    "list role outside a list word": ({**RANKED, "margin": "all.reward"}, "wrong-level", "11:9"),
    "two populations": ({**RANKED, "margin": "list_sum(better.reward - worse.reward)"}, "wrong-level", "11:9"),
    "items over rejected in a list": ({**RANKED, "role": "rejected"}, "unknown-role", "9:7"),
    "role twice": ({"role": "[chosen, chosen]"}, "wrong-value", "9:7"),
    "examples left unreduced": ({"reduce": "{examples: loss}"}, "wrong-level", "9:9"),
    "division by a parameter that is zero": ({"parameters": '{beta: {default: 0, domain: "[0, 1]"}}', "normalizer": "1 / beta"},
        "out-of-domain", ""),
    "overflow": ({"parameters": "{beta: {default: 1000}}", "normalizer": "exp(beta)"}, "out-of-domain", ""),
    "logarithm of zero": ({"parameters": "{beta: {default: 0}}", "normalizer": "log(beta)"}, "out-of-domain", ""),
    "root of a negative number": ({"parameters": "{beta: {default: -1}}", "normalizer": "beta**0.5"}, "out-of-domain", ""),
    "constant only": ({"value": "1"}, "wrong-level", "7:8"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    changes, code, where = REFUSED[case]
    with pytest.raises(ObjectiveError) as caught:
        compile_source(text(**changes), None, find_objective)
    assert caught.value.code == code, str(caught.value)
    assert (f"objective:{where}" if where else "objective") in f"{caught.value.place}", str(caught.value)


def declared(own: str) -> Any:
    return compile_source(own, None, find_objective).objective.declaration


def test_extends_merges_named_maps() -> None:
    mine = declared("name: mine\nextends: cpo\nparameters:\n  beta: {default: 2}\n")
    assert {name: p.default for name, p in mine.parameters.items()} == {"beta": 2, "lambda_nll": 1}
    assert list(mine.regularizers) == ["nll"]


def test_extends_removes_with_none() -> None:
    mine = declared("name: mine\nextends: cpo\nparameters: {lambda_nll: none}\nregularizers: {nll: none}\n")
    assert list(mine.parameters) == ["beta"]
    assert mine.regularizers == {}


def test_extends_replaces_other_keys_whole() -> None:
    mine = declared("name: mine\nextends: kto\nsign: -1\nconstant: 0\nvalue: {desirable: logsigmoid(z), undesirable: logsigmoid(-z)}\n")
    assert mine.sign == -1
    assert mine.constant == 0


def test_expect_is_not_inherited() -> None:
    assert declared("name: base\nextends: dpo\nexpect: {halo: proved}\n").expect is not None
    assert declared("name: mine\nextends: dpo\n").expect is None


def test_extends_in_a_circle(tmp_path: Any) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nextends: {other}\n")
    with pytest.raises(ObjectiveError) as caught:
        compile_source("a", None, lambda name: tmp_path / f"{name}.yaml")
    assert caught.value.code == "cycle"


@pytest.mark.parametrize("name", ["a b", "x = 1\nimport os", "class", 'q"', "import", "\u03b2", "__x"])
@pytest.mark.parametrize("group", ["terms", "regularizers"])
def test_no_name_becomes_code(name: str, group: str) -> None:
    part = {"role": "chosen"} if group == "terms" else {"role": "chosen", "expression": "length"}
    source: dict[str, Any] = {"name": "mine", "extends": "dpo", group: {name: part}}
    with pytest.raises(ObjectiveError) as caught:
        compile_source(source, None, find_objective)
    assert caught.value.code in ("wrong-value", "yaml-trap")


def test_a_file_name_stays_a_comment(tmp_path: Any) -> None:
    file = tmp_path / 'x"""\nraise SystemExit(7)\n""".yaml'
    file.write_text("name: mine\nextends: dpo\nmargin: 1\n")
    source = compile_source(file, None, find_objective).source
    assert "\nraise" not in source
    compile(source, "x", "exec")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("expect: {direction: {choosen: up}}", "unknown-role"),
        ('expect: {at_reference: "log(("}', "formula-syntax"),
        ('aliases: {tau: "beta +"}', "formula-syntax"),
    ],
)
def test_remarks_are_read_too(line: str, code: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        compile_source(f"name: mine\nextends: dpo\n{line}\n", find=find_objective)
    assert caught.value.code == code
