"""TRL's combinations that no shipped file is: a loss type with modifiers, a sum of loss types. Written out as an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from halo.errors import Place, SettingsError
from halo.objective.feedback import PAIRED, kind_of
from halo.objective.formula import number_text
from halo.objective.loading import Objective
from halo.objective.starting import lines_of

RATIO, PER_TOKEN = "sum(logp - ref_logp)", "mean(logp - ref_logp)"
DIVERGENCES = {
    "forward_kl": "1 - exp(-{x})",
    "js_divergence": "log(2) + logsigmoid({x})",
    "alpha_divergence": "(1 - exp(min(-alpha_divergence * {x}, 80))) / alpha_divergence",
}
"""f_divergence_type: the score in place of the log-ratio x, with its constants: divided by lengths they do not cancel.
TRL's coefficient is 1 - alpha, and its exponent goes to 80 at most."""
CONFIDENCE = "stop(exp(chosen.confidence + rejected.confidence))"
SHORTER = "where(position <= min(chosen.length, rejected.length), 1, ld_alpha)"
TERM_KEYS = ("role", "reward", "normalizer", "reference_point", "value", "sign", "margin", "weight", "constant", "reduce")
SFT = {"role": "chosen", "expression": "-logp", "reduce": {"tokens": "mean"}}
"""The likelihood of the chosen answers beside other losses: a mean over the tokens of the batch."""
Values = dict[str, Any]


def modified(base: Objective, flags: Mapping[str, str], coefficient: str | None = None) -> Values:
    """The base with TRL's modifiers, as its difference; `coefficient` is that of an alpha-divergence.

    Raises SettingsError for those that do not go together.
    """
    values: Values = {"name": "_".join(["trl", base.name, *flags])[:40].rstrip("_"), "extends": base.name}
    reward, parameters = str(base.values.get("reward")), Values()
    if "f_divergence_type" in flags:
        reward = _divergence(base, reward, flags["f_divergence_type"])
        if flags["f_divergence_type"] == "alpha_divergence":
            parameters["alpha_divergence"] = _between(1 - Fraction(coefficient or "1/2"), ("0", "1"))
    if "alpha" in flags:
        reward = _bent(base, reward)
        parameters["bend"] = _between(Fraction(flags["alpha"]), ("0",))
    if "ld_alpha" in flags:
        values |= _tail_weighted(base, reward)
        parameters["ld_alpha"] = {"default": float(Fraction(flags["ld_alpha"])), "domain": "[0, 1]"}
    elif reward != str(base.values.get("reward")):
        values["reward"] = reward
    if "label_smoothing" in flags:
        values["value"] = _smoothed(base)
        parameters["label_smoothing"] = {"default": float(Fraction(flags["label_smoothing"])), "domain": "[0, 1/2)"}
    if "use_weighting" in flags:
        values |= _weighted(base, values)
    if parameters:
        values["parameters"] = parameters
    return values


def _between(value: Fraction, ends: tuple[str, ...]) -> Values:
    """A parameter with the value as its default, and the open interval between the ends around it as its domain."""
    low = max((end for end in ends if Fraction(end) < value), key=Fraction, default="-inf")
    high = min((end for end in ends if Fraction(end) > value), key=Fraction, default="inf")
    return {"default": float(value), "domain": f"({low}, {high})"}


def _divergence(base: Objective, reward: str, kind: str) -> str:
    if kind not in DIVERGENCES:
        hint = f"known: {', '.join(DIVERGENCES)}"
        raise SettingsError("wrong-value", f"there is no divergence {kind!r}", place=Place("--f-divergence-type"), hint=hint)
    if reward not in (RATIO, PER_TOKEN):
        raise _refused(base, f"{kind}: its reward is {reward}, no log-ratio", "f_divergence_type")
    score = DIVERGENCES[kind].format(x=RATIO)
    if reward == PER_TOKEN:
        return f"({score}) / length"
    return score


def _bent(base: Objective, reward: str) -> str:
    """AlphaPO's reward: (1 - p**-alpha) / alpha for the probability, or the mean one per token, that was the reward."""
    if reward not in ("sum(logp)", "mean(logp)"):
        raise _refused(base, f"alpha: its reward is {reward}, no log-probability", "alpha")
    return f"(1 - exp(-bend * {reward})) / bend"


def _tail_weighted(base: Objective, reward: str) -> Values:
    """LD-DPO's weights on every sum of log-probabilities, in the reward and in what it is made of. Lengths stay the full ones."""
    named = {key: _heavier(str(text)) for key, text in base.values.get("let", {}).items() if str(text) in ("sum(logp)", "sum(ref_logp)")}
    if named:
        return {"let": named}
    if _heavier(reward) == reward:
        raise _refused(base, f"ld_alpha: its reward is {reward}, no log-ratio", "ld_alpha")
    return {"reward": _heavier(reward)}


def _heavier(text: str) -> str:
    """The text with weights on its sums over tokens; a mean becomes such a sum over the length."""
    text = text.replace(PER_TOKEN, f"{RATIO} / length")
    for inner in ("(logp - ref_logp)", "logp", "ref_logp"):
        text = text.replace(f"sum({inner.strip('()')})", f"sum({SHORTER} * {inner})")
    return text


def _weighted(base: Objective, changes: Values) -> Values:
    """WPO's weight on all that the loss of a pair adds up, constants too."""
    own = {**base.values, **changes}
    if "reward" not in own or "batch_sort" in str(own["reward"]):
        raise _refused(base, "use_weighting: TRL has no weights of pairs there", "use_weighting")
    let = {**changes.get("let", {}), "confidence": "mean(logp - log_sum_sq_probs)"}
    top = {key: own[key] for key in TERM_KEYS if key in own}
    if "terms" not in own:
        return {"let": let, **_all_weighted(top)}
    return {"let": let, "terms": {name: {**keys, **_all_weighted({**top, **keys})} for name, keys in own["terms"].items()}}


def _all_weighted(keys: Values) -> Values:
    """What changes of a term: its weight, and the constant, which goes into the value for that."""
    found: Values = {"weight": _product(CONFIDENCE, keys.get("weight", 1))}
    if "constant" in keys:
        roles = [role for key in ("value", "sign", "constant") if isinstance(keys[key], Mapping) for role in keys[key]]
        if roles:
            found["value"] = {role: _with_constant(keys, role) for role in dict.fromkeys(roles)}
        else:
            found["value"] = _with_constant(keys, "")
        found["constant"] = 0
    return found


def _with_constant(keys: Values, role: str) -> str:
    value, sign, constant = (keys[key][role] if isinstance(keys[key], Mapping) else keys[key] for key in ("value", "sign", "constant"))
    return f"{value} + ({sign}) * ({constant})"


def _product(factor: str, formula: Any) -> Any:
    """A factor times a formula, or times that of each role."""
    if isinstance(formula, Mapping):
        return {role: _product(factor, inner) for role, inner in formula.items()}
    if formula == 1:
        return factor
    return f"{factor} * ({formula})"


def _smoothed(base: Objective) -> str:
    own = base.values.get("value")
    if own != "logsigmoid(z)":
        raise _refused(base, f"label_smoothing: its value is {own}, and TRL smooths log sigmoid(z) only", "label_smoothing")
    return "(1 - label_smoothing) * logsigmoid(z) + label_smoothing * logsigmoid(-z)"


def _refused(base: Objective, what: str, flag: str) -> SettingsError:
    place = Place(f"--{flag.replace('_', '-')}")
    return SettingsError("wrong-value", f"{base.name} with {what}", place=place, hint="write it by hand: halo new objective")


# -- sums ----------------------------------------------------------------------------------------------------------------


def mixed(parts: Sequence[tuple[str, Objective, Mapping[str, float], float]]) -> Values:
    """The sum of weight times loss over (name, objective, parameters, weight). Raises SettingsError where two do not fit together."""
    values: Values = {"name": "trl_" + "_".join(name for name, *_ in parts), "feedback": PAIRED.name}
    for name, objective, parameters, weight in parts:
        own = objective.values
        if kind_of(own["feedback"]) is not PAIRED and name != "sft":
            message, hint = f"{name} is no loss of pairs", "a sum is of losses of pairs"
            raise SettingsError("wrong-value", message, place=Place("--loss-type"), hint=hint)
        if name == "sft":
            values.setdefault("regularizers", {})[name] = {**SFT, "weight": written(weight)}
            continue
        for key, spec in own.get("parameters", {}).items():
            _together(values, "parameters", {key: {**spec, "default": parameters.get(key, spec["default"])}}, name)
        for group in ("let", "columns"):
            _together(values, group, own.get(group, {}), name)
        top = {key: own[key] for key in TERM_KEYS if key in own}
        for term, keys in (own.get("terms") or {"": {}}).items():
            values.setdefault("terms", {})["_".join(filter(None, (name, term)))] = _scaled({"role": "chosen", **top, **keys}, weight)
        for regularizer, keys in own.get("regularizers", {}).items():
            values.setdefault("regularizers", {})[f"{name}_{regularizer}"] = _scaled({**keys, "weight": keys.get("weight", 1)}, weight)
    return values


def _together(values: Values, group: str, entries: Mapping[str, Any], name: str) -> None:
    for key, entry in entries.items():
        known = values.setdefault(group, {}).setdefault(key, entry)
        same = known == entry
        if group == "parameters":  # what else is said of one may differ: whose meaning it has is not asked
            same = known["default"] == entry["default"]
        if not same:
            message = f"{name} has another {key} than a loss before it: {entry} and {known}"
            hint = f"give --{key.replace('_', '-')}, or rename one in a file of your own"
            raise SettingsError("wrong-value", message, place=Place("--loss-type"), hint=hint)


def _scaled(keys: Values, weight: float) -> Values:
    """The keys of a term with weight and constant times a number."""
    if weight == 1:
        return keys
    return keys | {key: _product(written(weight), keys.get(key, 1)) for key in ("weight", "constant") if key == "weight" or key in keys}


def written(value: float) -> str:
    """A number, with all of its digits."""
    return number_text(Fraction(str(value)))


def text_of(values: Values) -> str:
    """The YAML."""
    return "\n".join(line for key, value in values.items() for line in lines_of(key, value)) + "\n"
