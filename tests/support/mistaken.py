"""Mistakes as researchers make them: an objective, the lines that are wrong, what halo must say, and the lines as they should be.

`docs/mistakes.md` is written from this table.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ORDER = (
    "name", "feedback", "parameters", "columns", "let", "role", "reward", "normalizer", "reference_point", "margin", "value", "sign",
    "weight", "reduce", "regularizers", "expect",
)  # fmt: skip

BETA = '{beta: {default: 0.1, domain: "(0, inf)"}}'
GAMMA = '{beta: {default: 2, domain: "(0, inf)"}, gamma: {default: 1, domain: "[0, inf)"}}'
LENGTH = '{beta: {default: 0.1, domain: "(0, inf)"}, alpha: {default: 0.01, domain: "[0, inf)"}}'
SMOOTHED = '{beta: {default: 0.1, domain: "(0, inf)"}, epsilon: {default: 0.1, domain: "%s"}}'
Z0 = "stop(max(0, batch_mean(mismatched.reward)))"

DPO = {
    "name": "mine", "feedback": "paired", "parameters": BETA, "reward": "sum(logp - ref_logp)", "normalizer": "beta",
    "reference_point": "rejected", "value": "logsigmoid(z)", "sign": "-1",
}  # fmt: skip
KTO = {**DPO, "feedback": "labelled", "reference_point": Z0, "value": "sigmoid(z)", "sign": "{desirable: -1, undesirable: +1}"}
SIMPO = {**DPO, "parameters": GAMMA, "reward": "mean(logp)", "margin": "gamma"}
IPO = {
    "name": "mine", "feedback": "paired", "parameters": '{tau: {default: 0.1, domain: "(0, inf)"}}', "reward": "sum(logp - ref_logp)",
    "reference_point": "rejected", "margin": "1 / (2 * tau)", "value": "-z**2", "sign": "-1",
}  # fmt: skip
ORPO = {
    "name": "mine", "feedback": "paired", "let": "{p: exp(mean(logp))}", "reward": "log(p / (1 - p))", "reference_point": "rejected",
    "value": "logsigmoid(z)", "sign": "-1", "regularizers": "{nll: {role: chosen, expression: -mean(logp)}}",
}  # fmt: skip
SFT = {"name": "mine", "feedback": "demonstrations", "reward": "logp", "reference_point": "none", "value": "z", "sign": "-1", "reduce": "{tokens: mean}"}  # fmt: skip


def yaml(lines: dict[str, str]) -> str:
    """The objective's file; a key with an empty value is left out."""
    return "".join(f"{key}: {lines[key]}\n" for key in ORDER if lines.get(key))


@dataclass(frozen=True)
class Row:
    """`wrong` are the lines with the mistake, `right` the lines without (those of `base`, unless others are given).

    `name`: of the mistake, or the code of an error. `place`: line, column and key. `wanted`: what the answer must hold.
    """

    name: str
    base: dict[str, str]
    wrong: dict[str, str]
    place: str
    wanted: str
    right: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return yaml({**self.base, **self.wrong})

    @property
    def mended(self) -> str:
        return yaml({**self.base, **self.right})


def nll(role: str, expression: str) -> str:
    return f"{{nll: {{role: {role}, expression: {expression}}}}}"


FOUND = (  # what only a check can find
    Row("wrong-sign", DPO, {"sign": "+1"}, "8:7 sign", "`sign: -1`: then log π(chosen) is pulled up"),
    Row("wrong-sign", KTO, {"sign": "-1"}, "8:7 sign", "`sign: {desirable: -1, undesirable: +1}`"),
    Row("wrong-sign", SFT, {"sign": "+1"}, "6:7 sign", "`sign: -1`"),
    Row("loss-as-value", DPO, {"value": "-logsigmoid(z)"}, "7:8 value", "`value: logsigmoid(z)`"),
    Row("loss-as-value", DPO, {"value": "relu(1 - z)"}, "7:8 value", "`value: -relu(1 - z)`", {"value": "-relu(1 - z)"}),
    Row("loss-as-value", IPO, {"value": "z**2"}, "7:8 value", "`value: -z**2`: then log π(chosen) is pulled up at the start"),
    Row("argument-negated", DPO, {"value": "logsigmoid(-z)"}, "7:8 value", "`value: logsigmoid(z)`"),
    Row("reference-negated", DPO, {"reward": "sum(ref_logp - logp)"}, "4:9 reward", "`reward: sum(logp - ref_logp)`"),
    Row("reference-negated", KTO, {"reward": "sum(ref_logp) - sum(logp)"}, "4:9 reward", "`reward: sum(logp) - sum(ref_logp)`"),
    Row("reference-added", DPO, {"reward": "sum(logp + ref_logp)"}, "4:9 reward", "`reward: sum(logp - ref_logp)`"),
    Row("reference-missing", DPO, {"reward": "sum(logp)"}, "4:9 reward", "`reward: sum(logp - ref_logp)`"),
    Row("reference-missing", SIMPO, {"reward": "sum(logp)"}, "4:9 reward", "`reward: mean(logp)`"),
    Row("ratio-of-logs", DPO, {"reward": "sum(logp) / sum(ref_logp)"}, "4:9 reward", "`reward: sum(logp) - sum(ref_logp)`"),
    Row("roles-swapped", DPO, {"role": "rejected", "reference_point": "chosen"}, "4:7 role",
        "`role: chosen` and `reference_point: rejected`"),
    Row("roles-swapped", {"name": "mine", "feedback": "paired", "parameters": BETA, "let": "{u: sum(logp - ref_logp)}",
        "regularizers": '{gap: {role: chosen, expression: "-logsigmoid(beta * (chosen.u - rejected.u))"}}'},
        {"regularizers": '{gap: {role: chosen, expression: "-logsigmoid(beta * (rejected.u - chosen.u))"}}'},
        "5:49 regularizers.gap.expression", "`expression: -logsigmoid(beta * (chosen.u - rejected.u))`"),
    Row("labels-swapped", KTO, {"sign": "{desirable: +1, undesirable: -1}"}, "8:7 sign", "`sign: {desirable: -1, undesirable: +1}`"),
    Row("labels-swapped", {**KTO, "value": "{desirable: sigmoid(z), undesirable: sigmoid(-z)}", "sign": "-1"},
        {"value": "{desirable: sigmoid(-z), undesirable: sigmoid(z)}"}, "7:8 value",
        "`value: {desirable: sigmoid(z), undesirable: sigmoid(-z)}`"),
    Row("own-reward", DPO, {"reference_point": "chosen"}, "6:18 reference_point", "`reference_point: rejected`"),
    Row("own-reward", KTO, {"reference_point": "stop(reward)"}, "6:18 reference_point", f"`reference_point: {Z0}`"),
    Row("no-reference-point", DPO, {"reference_point": "none"}, "6:18 reference_point", "`reference_point: rejected`"),
    Row("value-without-z", DPO, {"value": "logsigmoid(reward)"}, "7:8 value", "`value: logsigmoid(z)`"),
    Row("reference-point-attached", KTO, {"reference_point": "max(0, batch_mean(mismatched.reward))"}, "6:18 reference_point",
        f"`reference_point: {Z0}`"),
    Row("clamp-turned", KTO, {"reference_point": "stop(min(0, batch_mean(mismatched.reward)))"}, "6:18 reference_point",
        f"`reference_point: {Z0}`"),
    Row("parameter-not-positive", DPO, {"parameters": "{beta: {default: 0.1}}"}, "3:20 parameters.beta", '`domain: "(0, inf)"`'),
    Row("parameter-not-positive", DPO, {"parameters": '{beta: {default: 0.1, domain: "[0, inf)"}}'}, "3:44 parameters.beta.domain",
        '`domain: "(0, inf)"`: then it is a human-aware loss'),
    Row("smoothing-beyond-half",
        {**DPO, "parameters": SMOOTHED % "[0, 1/2)", "value": "(1 - epsilon) * logsigmoid(z) + epsilon * logsigmoid(-z)"},
        {"parameters": SMOOTHED % "[0, 1]"}, "3:89 parameters.epsilon.domain", '`domain: "[0, 1/2)"`'),
    Row("column-may-be-negative", {**DPO, "columns": '{trust: {level: example, domain: "[0, inf)"}}', "weight": "trust"},
        {"columns": "{trust: {level: example}}"}, "4:18 columns.trust", '`domain: "[0, inf)"`'),
    Row("weight-attached", {**DPO, "weight": "stop(exp(mean(chosen.logp) + mean(rejected.logp)))"},
        {"weight": "exp(mean(chosen.logp) + mean(rejected.logp))"}, "9:9 weight",
        "`weight: stop(exp(mean(chosen.logp) + mean(rejected.logp)))`"),
    Row("parameter-twice", DPO, {"value": "logsigmoid(beta * z)"}, "7:8 value", "`value: logsigmoid(z)`"),
    Row("parameter-twice", DPO, {"reward": "beta * sum(logp - ref_logp)"}, "4:9 reward", "`reward: sum(logp - ref_logp)`"),
    Row("regularizer-turned", {**DPO, "regularizers": nll("chosen", "-sum(logp)")}, {"regularizers": nll("chosen", "sum(logp)")},
        "9:48 regularizers.nll.expression", "`expression: -sum(logp)`"),
    Row("regularizer-on-wrong-role", {**DPO, "regularizers": nll("chosen", "-sum(logp)")},
        {"regularizers": nll("rejected", "-sum(logp)")}, "9:28 regularizers.nll.role", "`role: chosen`"),
    Row("margin-turned", SIMPO, {"margin": "-gamma"}, "7:9 margin", "`margin: gamma`"),
    Row("margin-turned", IPO, {"margin": "-1 / (2 * tau)"}, "6:9 margin", "`margin: 1 / (2 * tau)`"),
    Row("precedence", {**IPO, "expect": "{at_reference: 1 / (4 * tau**2)}"}, {"margin": "1 / 2 * tau"}, "6:9 margin",
        "`margin: 1 / (2 * tau)`"),
    Row("link-mistaken", DPO, {"value": "sigmoid(z)"}, "7:8 value", "`value: logsigmoid(z)`: then the worse a pair is ranked"),
    Row("link-mistaken", {**KTO, "expect": "{at_reference: {desirable: -1/2, undesirable: 1/2}}"},
        {"value": "logsigmoid(z)"}, "7:8 value", "`value: sigmoid(z)`: then every expectation holds"),
    Row("log-of-negative", DPO, {"value": "log(z)"}, "7:8 value", "`value: logsigmoid(z)`"),
    Row("log-probability-as-probability", ORPO, {"let": "{p: mean(logp)}"}, "3:10 let.p", "`p: exp(mean(logp))`"),
    Row("dead-at-reference", {**DPO, "value": "min(0, z)", "margin": "1"}, {"margin": ""}, "7:8 value", "`margin: 1`: then at the start"),
    Row("dead-at-reference", {**DPO, "value": "-z**2", "margin": "1"}, {"margin": ""}, "7:8 value", "`margin: 1`: then at the start"),
    Row("hinge-turned", {**DPO, "value": "min(0, z - 1)"}, {"value": "max(0, z)"}, "7:8 value", "`value: min(0, z - 1)`"),
    Row("unbounded-exponential", {**DPO, "reward": "exp(min(sum(logp - ref_logp), 20))"}, {"reward": "exp(sum(logp - ref_logp))"},
        "4:9 reward", "`reward: exp(min(sum(logp - ref_logp), 20))`"),
    Row("summed-over-examples", DPO, {"reduce": "{examples: sum}"}, "9:20 reduce.examples", "`examples: mean`"),
)  # fmt: skip

REFUSED = (  # what does not compile
    Row("wrong-level", DPO, {"reward": "logp - ref_logp"}, "4:9", "is a sum(...) or mean(...) over tokens missing"),
    Row("wrong-unit", DPO, {"reward": "mean(logp - ref_logp)", "normalizer": "beta / length"}, "4:9",
        "mean(...) divides by the length already"),
    Row("wrong-unit", DPO, {"reward": "sum(logp) - mean(ref_logp)"}, "4:9", "take sum(...) of both or mean(...) of both"),
    Row("wrong-unit", {**DPO, "parameters": LENGTH, "margin": "alpha * (rejected.length - chosen.length)"}, {"parameters": BETA, "margin": "rejected.length - chosen.length"}, "8:8",
        "multiply the length by a parameter"),
    Row("unused", DPO, {"normalizer": ""}, "3:14", "is `normalizer: beta` missing?"),
    Row("unknown-name", DPO, {"parameters": ""}, "4:13", 'parameters: {beta: {default: 0.1, domain: "(0, inf)"}}'),
    Row("wrong-value", DPO, {"sign": "-beta"}, "8:7", "a factor belongs in weight"),
    Row("unknown-role", DPO, {"reference_point": "rejcted"}, "6:18", "did you mean 'rejected'?"),
)  # fmt: skip
