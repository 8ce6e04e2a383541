"""TRL's combinations that no shipped file is: a loss type with modifiers, a sum of loss types. Written out as an objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halo.errors import Place, SettingsError
from halo.objective.feedback import PAIRED, kind_of
from halo.objective.loading import Objective
from halo.objective.starting import lines_of

RATIO, PER_TOKEN = "sum(logp - ref_logp)", "mean(logp - ref_logp)"
DIVERGENCES = {
    "forward_kl": "1 - exp(-sum(logp - ref_logp))",
    "js_divergence": "log(2) + logsigmoid(sum(logp - ref_logp))",
    "alpha_divergence": "(1 - exp(-alpha_divergence * sum(logp - ref_logp))) / alpha_divergence",
}
"""f_divergence_type: the score in place of the log-ratio, with its constants: divided by lengths they do not cancel.
TRL's coefficient is 1 - alpha."""
SHORTER = "where(position <= min(chosen.length, rejected.length), 1, ld_alpha)"
TERM_KEYS = ("role", "reward", "normalizer", "reference_point", "value", "sign", "margin", "weight", "constant", "reduce")
SFT = {"role": "chosen", "expression": "-logp", "reduce": {"tokens": "mean"}}
"""The likelihood of the chosen answers beside other losses: a mean over the tokens of the batch."""
Values = dict[str, Any]


def modified(base: Objective, flags: Mapping[str, str]) -> Values:
    """The base with TRL's modifiers, as its difference. Raises SettingsError for those that do not go together."""
    values: Values = {"name": "_".join(["trl", base.name, *flags]), "extends": base.name}
    for flag, text in flags.items():
        for key, change in _CHANGES[flag](base, text).items():
            if key in values:
                raise _refused(base, f"{flag} beside {' and '.join(f for f in flags if f != flag)}", flag)
            values[key] = change
    return values


def _divergence(base: Objective, text: str) -> Values:
    if text not in DIVERGENCES:
        hint = f"known: {', '.join(DIVERGENCES)}"
        raise SettingsError("wrong-value", f"there is no divergence {text!r}", place=Place("--f-divergence-type"), hint=hint)
    score, reward = DIVERGENCES[text], base.values.get("reward")
    if reward not in (RATIO, PER_TOKEN):
        raise _refused(base, f"{text}: its reward is {reward}, no log-ratio", "f_divergence_type")
    change: Values = {"reward": score}
    if reward == PER_TOKEN:
        change["reward"] = f"({score}) / length"
    if text == "alpha_divergence":
        change["parameters"] = {"alpha_divergence": {"default": 0.5, "domain": "(0, 1)"}}
    return change


def _shorter(base: Objective, text: str) -> Values:
    if base.values.get("reward") not in (RATIO, PER_TOKEN):
        raise _refused(base, f"ld_alpha: its reward is {base.values.get('reward')}, no log-ratio", "ld_alpha")
    reward = f"sum({SHORTER} * (logp - ref_logp))" + " / length" * (base.values["reward"] == PER_TOKEN)
    return {"reward": reward, "parameters": {"ld_alpha": {"default": float(text), "domain": "[0, 1]"}}}


def _weighted(base: Objective, text: str) -> Values:
    if "weight" in base.values:
        raise _refused(base, "use_weighting: it has weights of its own", "use_weighting")
    weight = "stop(exp(chosen.confidence + rejected.confidence))"
    return {"let": {"confidence": "mean(logp - log_sum_sq_probs)"}, "weight": weight}


def _smoothed(base: Objective, text: str) -> Values:
    own = base.values.get("value")
    if own != "logsigmoid(z)":
        raise _refused(base, f"label_smoothing: its value is {own}, and TRL smooths log sigmoid(z) only", "label_smoothing")
    value = "(1 - label_smoothing) * logsigmoid(z) + label_smoothing * logsigmoid(-z)"
    return {"value": value, "parameters": {"label_smoothing": {"default": float(text), "domain": "[0, 1/2)"}}}


_CHANGES = {"f_divergence_type": _divergence, "ld_alpha": _shorter, "use_weighting": _weighted, "label_smoothing": _smoothed}


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
            values.setdefault("regularizers", {})[name] = {**SFT, "weight": f"{weight:g}"}
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
    return keys | {key: _times(weight, keys.get(key, 1)) for key in ("weight", "constant") if key == "weight" or key in keys}


def _times(weight: float, formula: Any) -> Any:
    if isinstance(formula, Mapping):
        return {role: _times(weight, inner) for role, inner in formula.items()}
    if formula == 1:
        return f"{weight:g}"
    return f"{weight:g} * ({formula})"


def text_of(values: Values) -> str:
    """The YAML."""
    return "\n".join(line for key, value in values.items() for line in lines_of(key, value)) + "\n"
