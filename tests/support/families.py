"""Families of random objectives, one for each way in which a verdict can go wrong, and one of ordinary ones.

A family is a function that draws a file (without a name). What a family is for stands in its docstring.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import random_objectives

File = dict[str, Any]
RATIO = "sum(logp - ref_logp)"
SMOOTH = ["logsigmoid(z)", "sigmoid(z)", "tanh(z)", "z", "-exp(-z)", "softsign(z)", "atan(z)", "erf(z)", "-log(exp(z) + exp(-z))", "-(z - 1)**2", "z*sigmoid(z)",
          "-exp(-exp(z))", "tanh(z)**3", "alpha*logsigmoid(z) + (1 - alpha)*sigmoid(z)", "-softplus(beta - z)", "asinh(z)", "min(z, gamma)", "-relu(gamma - z)**2"]  # fmt: skip


def _pair(rng: random.Random, **more: Any) -> File:
    return {
        "feedback": "paired",
        "reward": RATIO,
        "normalizer": "beta",
        "reference_point": "rejected",
        "value": rng.choice(SMOOTH),
        "sign": -1,
        **more,
    }


def _label(rng: random.Random, **more: Any) -> File:
    point = rng.choice(["stop(max(0, batch_mean(mismatched.reward)))", "none", "batch_mean(mismatched.reward)", "gamma"])
    return {"feedback": "labelled", "reward": RATIO, "normalizer": "beta", "reference_point": point, "value": rng.choice(["sigmoid(z)", "logsigmoid(z)", "tanh(z)", "z"]),
            "sign": {"desirable": -1, "undesirable": 1}, **more}  # fmt: skip


def ordinary(rng: random.Random) -> File:
    """What a researcher writes on most days."""
    return rng.choice([random_objectives.paired, random_objectives.paired, random_objectives.labelled])(rng)


def smooth(rng: random.Random) -> File:
    """A smooth value function of a plain reward: what should be decided."""
    return _pair(rng)


def ends(rng: random.Random) -> File:
    """z that does not reach the whole line, and poles and ends of v."""
    values = [
        "z - log1mexp(z)",
        "log1mexp(z)",
        "1/(exp(z) - 2)",
        "sqrt(-z)",
        "-log(-z)",
        "log(1 - exp(z))*z",
        "1/(1 - exp(z))",
        "exp(z)/(1 - exp(z))",
        "z/(1 - z)",
        "logsigmoid(z)",
        "-1/z",
        "1/(1 + exp(z))",
    ]
    clipped = [
        f"clip({RATIO}, -1, 1)",
        "tanh(sum(logp - ref_logp))",
        "mean(clip(logp - ref_logp, -1, 1))",
        "sigmoid(mean(logp))",
        "exp(mean(logp))",
    ]
    if rng.random() < 0.5:
        return _pair(
            rng,
            reward=rng.choice(["mean(logp)", "sum(logp)"]),
            reference_point="none",
            value=rng.choice(values),
            normalizer=rng.choice(["1", "beta"]),
        )
    return _pair(rng, reward=rng.choice(clipped), value=rng.choice([*SMOOTH, "-(z - 3)**2", "1/(exp(z) - 2)"]))


def parts(rng: random.Random) -> File:
    """Several parts that use one v: other signs, other weights, terms."""
    value = rng.choice(["logsigmoid(z)", "sigmoid(z)", "z", "tanh(z)", "-exp(-z)"])
    if rng.random() < 0.5:
        sign = rng.choice([{"desirable": -1, "undesirable": 1}, {"desirable": 1, "undesirable": -1}, -1])
        return _label(rng, value=value, sign=sign, weight={"desirable": 1, "undesirable": rng.choice(["gamma", "2", "lam", "-1"])})
    terms = {
        "pull": {"role": "chosen", "sign": -1},
        "push": {"role": rng.choice(["rejected", "chosen"]), "sign": rng.choice([-1, 1]), "reference_point": "none"},
    }
    return {**_pair(rng, value=value), "terms": terms}


def by_label(rng: random.Random) -> File:
    """Margins, normalizers and values by label."""
    file = _label(rng)
    key = rng.choice(["margin", "normalizer", "value"])
    file[key] = {"margin": {"desirable": "gamma", "undesirable": rng.choice(["-gamma", "gamma", "2*gamma", "0"])},
                 "normalizer": {"desirable": "beta", "undesirable": rng.choice(["beta", "2*beta", "alpha*beta"])},
                 "value": {"desirable": "sigmoid(z)", "undesirable": rng.choice(["sigmoid(z)", "-sigmoid(-z)", "1 + sigmoid(z)", "sigmoid(2*z)", "tanh(z)"])}}[key]  # fmt: skip
    return file


def related(rng: random.Random) -> File:
    """Quantities that a reduction makes, beside what they are made of."""
    pair = ["sqrt(sum(abs(logp - ref_logp)) - abs(sum(logp - ref_logp)))", "log(1 + sum(abs(logp)) + sum(logp))", "sqrt(-sum(logp) + mean(logp))",
            "sqrt(batch_max(chosen.length) - length)", "log(1 + batch_max(chosen.reward) - chosen.reward)", "1/(batch_std(chosen.reward) + gamma + 1)", "sqrt(length - 1)",
            "log(batch_max(chosen.length))", "sqrt(sum((logp - ref_logp)**2) - sum(logp - ref_logp)**2/length)", "log(1 - exp(sum(logp)))"]  # fmt: skip
    if rng.random() < 0.6:
        where = rng.choice(["weight", "constant", "margin"])
        return _pair(rng, **{where: rng.choice(pair)})
    lists = ["sqrt(list_max(all.score) - list_min(all.score))", "sqrt(list_max(all.score) - score)", "log(1 + list_std(all.score))", "sqrt(list_max(all.score) - list_mean(all.score))",
             "list_logsumexp(all.score) - list_max(all.score)", "log(list_sum(all.length))", "1/(list_max(all.score) - list_min(all.score))"]  # fmt: skip
    return {"feedback": "scored", "role": "completion", "reward": RATIO, "normalizer": "beta", "reference_point": "none", "value": "z", "sign": -1, "weight": f"1 + {rng.choice(lists)}",
            "reduce": {"completions": rng.choice(["sum", "mean"]), "examples": "mean"}}  # fmt: skip


def batches(rng: random.Random) -> File:
    """What a batch of several examples shows and one alone does not."""
    kind = rng.choice(["tokens", "centred", "statistic", "label", "formula", "list"])
    if kind == "tokens":
        item = rng.choice(["-logp", "-logp + ref_logp", "-beta*logp", "-exp(logp)", "gamma", "stop(exp(logp))*(-logp)"])
        nll = {"role": "chosen", "weight": rng.choice(["1", "gamma"]), "expression": item, "reduce": {"tokens": "mean"}}
        return {
            **_pair(rng, reward=rng.choice([RATIO, "mean(logp)"]), normalizer="beta", value="logsigmoid(z)"),
            "regularizers": {"nll": nll},
        }
    if kind == "centred":
        return _pair(
            rng,
            margin=rng.choice(
                [
                    "batch_mean(chosen.reward - rejected.reward)",
                    "stop(batch_mean(chosen.length))",
                    "batch_std(chosen.reward)",
                    "batch_max(chosen.reward) - chosen.reward",
                ]
            ),
        )
    if kind == "statistic":
        of = rng.choice(["chosen.reward - rejected.reward", "chosen.length", "sum(chosen.logp)"])
        statistic = {"of": of, "reduce": rng.choice(["mean", "std"]), "update": rng.choice(["ema(0.9)", "all", "ema(alpha)"])}
        return {**_pair(rng, margin=rng.choice(["seen", "beta*seen", "abs(seen)"])), "statistics": {"seen": statistic}}
    if kind == "label":
        return _label(
            rng,
            reference_point=rng.choice(
                ["batch_mean(desirable.reward)", "stop(batch_mean(undesirable.reward))", "batch_max(completion.reward)"]
            ),
        )
    if kind == "formula":
        return _pair(
            rng,
            reduce={
                "examples": rng.choice(
                    ["-alpha*log(mean(exp(-loss/alpha)))", "log(mean(exp(loss)))", "mean(loss)**2", "mean(loss**2)", "sum(loss)"]
                )
            },
        )
    return {"feedback": "ranked", "role": "completion", "reward": rng.choice([RATIO, "mean(logp)"]), "reference_point": rng.choice(["list_mean(all.reward)", "list_mean(others.reward)", "none"]),
            "value": rng.choice(["z - list_logsumexp(suffix.reward)", "list_log_softmax(z)", "logsigmoid(z)", "z/list_std(all.reward)", "logsigmoid(z - list_max(better.reward))"]), "sign": -1,
            "reduce": {"completions": "mean", "examples": "mean"}}  # fmt: skip


def tokens(rng: random.Random) -> File:
    """Items of tokens that hold a mean or sum of their own completion."""
    item = rng.choice(["position*(mean(logp) - logp)", "(logp - mean(logp))**2", "-logp*length", "mean(logp) - 2*logp", "-logp*exp(sum(logp))", "clip(logp - ref_logp, -1, 1)*sum(logp)",
                       "-(1 - position/length)*logp", "logp - sum(logp)", "abs(logp - ref_logp)", "-stop(mean(logp))*logp", "relu(mean(logp) - logp)", "(length - 2)*logp"])  # fmt: skip
    more = {"role": rng.choice(["chosen", "rejected"]), "weight": rng.choice(["1", "gamma", "alpha"]), "expression": item,
            "reduce": rng.choice([{"tokens": "mean"}, {"tokens": "sum", "examples": "mean"}, {"tokens": "mean", "examples": "mean"}])}  # fmt: skip
    if rng.random() < 0.5:
        return {"feedback": "paired", "regularizers": {"shape": more}}
    return {**_pair(rng), "regularizers": {"shape": more}}


def overflow(rng: random.Random) -> File:
    """What leaves float32 inside a sum over tokens, or in the formula of `reduce`."""
    if rng.random() < 0.6:
        expression = rng.choice(["sum(exp(-logp))", "sum(exp(logp - ref_logp))", "sum((logp - ref_logp)**8)", "log(sum(exp(-logp)))", "mean(exp(ref_logp - logp))", "sum(exp(logp))",
                                 "sum(logp**2)", "sum(logp - ref_logp)**12", "exp(sum(logp))", "exp(-mean(logp))", "sum(exp(clip(logp - ref_logp, -3, 3)))"])  # fmt: skip
        return {**_pair(rng), "regularizers": {"more": {"role": "chosen", "weight": "alpha", "expression": expression}}}
    formula = rng.choice(["log(mean(exp(loss)))", "-log(mean(exp(-loss)))", "mean(exp(loss))", "mean(loss)**6", "sqrt(mean(loss**2))"])
    return _pair(rng, value=rng.choice(["logsigmoid(z)", "z", "-exp(-z)", "sigmoid(z)"]), reduce={"examples": formula})


def columns(rng: random.Random) -> File:
    """Columns of every level with domains and defaults, and closed decimal ends."""
    declared = {"trust": {"level": "example", "domain": rng.choice(["[0, 1]", "(0, 0.1]", "[0, inf)"]), "default": 0.1}, "margin_of": {"level": "completion", "domain": "(-inf, inf)", "default": 0},
                "care": {"level": "token", "domain": rng.choice(["[0, 1]", "(0, 1]"]), "default": 1}}  # fmt: skip
    file = _pair(rng, reward=rng.choice(["sum(care*(logp - ref_logp))", RATIO]), margin=rng.choice(["chosen.margin_of - rejected.margin_of", "trust", "log(trust + 1)", "log(trust)", "0"]),
                 weight=rng.choice(["trust", "1 - trust", "1", "1/trust"]))  # fmt: skip
    used = str(file)
    return {**file, "columns": {name: row for name, row in declared.items() if name in used}}


def lists(rng: random.Random) -> File:
    """Lists with ties, and pairs within them."""
    shape = {"feedback": "ranked", "reward": rng.choice([RATIO, "mean(logp)"]), "normalizer": "beta", "sign": -1}
    if rng.random() < 0.5:
        return {**shape, "role": "chosen", "reference_point": "rejected", "value": rng.choice(["logsigmoid(z)", "min(0, z - 1)", "tanh(z)"]), "margin": rng.choice(["0", "gamma", "chosen.length"]),
                "reduce": {"pairs": rng.choice(["mean", "sum"]), "examples": "mean"}}  # fmt: skip
    return {**shape, "role": rng.choice(["best", "worst"]), "reference_point": rng.choice(["none", "list_mean(others.reward)", "list_max(all.reward)", "worst.reward"]),
            "value": rng.choice(["logsigmoid(z)", "z", "sigmoid(z)"])}  # fmt: skip


def demonstrations(rng: random.Random) -> File:
    """One completion and nothing said of it."""
    return {
        "feedback": "demonstrations",
        "reward": rng.choice([RATIO, "sum(logp)", "mean(logp)", "logp"]),
        "reference_point": "none",
        "value": rng.choice(["z", "logsigmoid(z)", "-exp(-z)"]),
        "sign": -1,
    }


FAMILIES: dict[str, Callable[[random.Random], File]] = {
    row.__name__: row for row in (ordinary, smooth, ends, parts, by_label, related, batches, tokens, overflow, columns, lists, demonstrations)
}  # fmt: skip


def drawn(family: str, number: int) -> File:
    """The objective of a family with this number: always the same."""
    rng = random.Random(f"{family} {number}")
    file = FAMILIES[family](rng)
    own = file.pop("columns", {})
    done = random_objectives.completed(file, f"{family}_{number}")
    done["columns"] |= own
    per_token = file.get("reward") == "logp"
    if per_token:
        done["reduce"] = {"tokens": "mean"}
    return {key: value for key, value in done.items() if value != {}}
