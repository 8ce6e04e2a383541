"""Random small objectives from the grammar, random parameters and random batches for them."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

from mpmath import mpf

from halo.objective.schema import Interval

DOMAINS = {"beta": "(0, inf)", "gamma": "[0, inf)", "eps": "[0, 0.5)", "alpha": "(0, 1)", "lam": "(-inf, inf)"}
DEFAULTS = {"beta": 0.5, "gamma": 0.25, "eps": 0.125, "alpha": 0.5, "lam": -1}
COLUMNS = {"trust": "[0, inf)", "delta": "(-inf, inf)", "soft": "[0, 1]"}
RATIOS = ["sum(logp - ref_logp)", "sum(logp) - sum(ref_logp)", "-sum(ref_logp - logp)", "length * mean(logp - ref_logp)", "sum(2*logp - 2*ref_logp)/2",
          "sum(logp - ref_logp)*1 + 0"]  # fmt: skip
REWARDS = [*RATIOS, *RATIOS, "sum(logp)", "mean(logp)", "mean(logp - ref_logp)", "sum(clip(logp - ref_logp, -1, 1))", "sum(logp) - alpha*sum(ref_logp)",
           "log(exp(mean(logp)) / (1 - exp(mean(logp))))", "sum(relu(logp - ref_logp))", "max(sum(logp - ref_logp), -5)", "sum(logp - ref_logp)**3", "tanh(sum(logp - ref_logp))"]  # fmt: skip
GOOD = ["logsigmoid(z)", "-softplus(-z)", "log(sigmoid(z))", "-exp(-z)", "min(0, z - 1)", "sigmoid(z)", "tanh(z)", "z", "where(z < 0, 2*z, z)",
        "((1-eps)*logsigmoid(z) - eps*logsigmoid(-z))/(1-2*eps)", "-relu(1 - z)**2", "clip(z, -1, 1)", "min(z, 1)", "z/(1 + abs(z))", "1 - exp(-z)"]  # fmt: skip
VALUES = [*GOOD, *GOOD, "-(z-1)**2", "(1-eps)*logsigmoid(z) + eps*logsigmoid(-z)", "exp(z)", "-sigmoid(z)", "sign(z)", "where(z > 0, z, z + 1)", "logsigmoid(z)*soft + (1-soft)*logsigmoid(-z)",
          "sigmoid(z)**2", "-abs(z)", "logsigmoid(z) + 0.1*tanh(chosen.reward)", "z*sigmoid(z)", "softplus(z)", "logsigmoid(trust*z)", "where(z >= 1, 1, z)", "relu(z)"]  # fmt: skip


def paired(rng: random.Random) -> dict[str, Any]:
    file: dict[str, Any] = {
        "feedback": "paired", "reward": rng.choice(REWARDS), "normalizer": rng.choice(["beta", "beta", "1", "beta/length", "2*beta", "beta*length", "trust", "lam", "beta/(1+length)"]),
        "reference_point": rng.choice(["rejected"] * 4 + ["rejected.reward", "stop(rejected.reward)", "none", "gamma", "(chosen.reward + rejected.reward)/2", "rejected.reward/2"]),
        "value": rng.choice(VALUES), "sign": rng.choice([-1, -1, -1, 1]),
    }  # fmt: skip
    optional(rng, file, "margin", ["gamma", "-gamma", "beta*gamma", "delta", "lam*(chosen.length - rejected.length)", "log(chosen.length)", "lam", "trust*gamma",
                                   "alpha*(log(chosen.length) - log(rejected.length))", "stop(rejected.reward)", "delta*delta"])  # fmt: skip
    optional(rng, file, "weight", ["gamma", "trust", "alpha", "stop(sigmoid(reward))", "soft - 1", "relu(delta)", "eps - 1/2", "chosen.length", "sigmoid(reward)"])
    optional(rng, file, "constant", ["1", "gamma", "log(1 + beta)", "trust", "-0.1*sum(logp)"])
    if rng.random() < 0.25:
        file["regularizers"] = {"more": {
            "role": rng.choice(["chosen", "chosen", "rejected"]), "weight": rng.choice(["gamma", "1", "alpha", "lam"]),
            "expression": rng.choice(["-sum(logp)", "-mean(logp)", "max(0, sum(ref_logp - logp))", "sum(logp - ref_logp)**2", "sum(exp(logp))", "abs(sum(logp) - sum(ref_logp))", "sum(ref_logp)"]),
        }}  # fmt: skip
    return file


def labelled(rng: random.Random) -> dict[str, Any]:
    value = rng.choice(VALUES[:-6])
    file: dict[str, Any] = {
        "feedback": "labelled", "reward": rng.choice(REWARDS), "normalizer": rng.choice(["beta", "beta", "1", "beta/length", "lam"]),
        "reference_point": rng.choice(["stop(max(0, batch_mean(mismatched.reward)))", "batch_mean(mismatched.reward)", "stop(batch_mean(completion.reward))", "none", "mismatched.reward",
                                       "stop(batch_mean(mismatched.reward))", "gamma", "max(0, batch_mean(mismatched.reward))", "batch_mean(completion.reward)"]),
        "value": value.replace("chosen.reward", "reward"), "sign": rng.choice([{"desirable": -1, "undesirable": 1}] * 3 + [-1]),
    }  # fmt: skip
    if rng.random() < 0.25:
        file["value"] = {"desirable": value, "undesirable": rng.choice([f"-({value.replace('z', '(-z)')})", value.replace("z", "(-z)"), f"1 - ({value})", f"2*({value})"])}
    optional(rng, file, "margin", ["gamma", "-gamma", {"desirable": "gamma", "undesirable": "-gamma"}, "delta", "lam"])
    optional(rng, file, "weight", [{"desirable": "1", "undesirable": "gamma"}, "trust", "alpha", {"desirable": "2", "undesirable": "1"}])
    optional(rng, file, "constant", ["1", {"desirable": "1", "undesirable": "0"}, "gamma"])
    return file


def optional(rng: random.Random, file: dict[str, Any], key: str, choices: list[Any]) -> None:
    if rng.random() < 0.35:
        file[key] = rng.choice(choices)


def completed(file: dict[str, Any], name: str) -> dict[str, Any]:
    """With a name, and a declaration for every parameter and column it uses."""
    used = {word for text in texts(file) for word in "".join(c if c.isalnum() or c == "_" else " " for c in text).split()}
    return {
        "name": name, **file, "parameters": {p: {"default": DEFAULTS[p], "domain": d} for p, d in DOMAINS.items() if p in used},
        "columns": {c: {"level": "example", "domain": d} for c, d in COLUMNS.items() if c in used},
    }  # fmt: skip


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for v in value.values() for text in texts(v)]
    return [str(value)]


# -- random batches --------------------------------------------------------------------------------------------------------


def parameters_of(rng: random.Random, file: dict[str, Any]) -> dict[str, mpf]:
    drawn = {
        "beta": lambda: rng.choice(["0.1", "1", "3.5", "0.01"]), "gamma": lambda: rng.choice(["0", "0", "0.5", "4", "30"]), "eps": lambda: rng.choice(["0", "0.1", "0.49"]),
        "alpha": lambda: rng.choice(["0.001", "0.3", "0.97"]), "lam": lambda: rng.choice(["-7", "-0.1", "0", "0.2", "3"]),
    }  # fmt: skip
    return {name: inside(rng, row["domain"]) if row["domain"] != DOMAINS.get(name) else mpf(drawn[name]()) for name, row in file["parameters"].items()}


def inside(rng: random.Random, domain: str) -> mpf:
    """A number of an interval as it is written, ends that belong to it included."""
    interval = Interval.parse(domain)
    low, high = interval.low, interval.high
    ends = [end for end, closed in ((low, interval.low_closed), (high, interval.high_closed)) if end is not None and closed]
    if ends and rng.random() < 0.2:
        return fraction(rng.choice(ends))
    share = mpf(rng.choice(["0.002", "0.1", "0.4", "0.7", "0.98"]))
    if low is not None and high is not None:
        return fraction(low) + (fraction(high) - fraction(low)) * share
    if low is None and high is None:
        return mpf(rng.choice(["-7", "-0.1", "0", "0.2", "3"]))
    return fraction(low) + share * rng.choice([1, 8]) if low is not None else fraction(high) - share * rng.choice([1, 8])


def fraction(number: Fraction) -> mpf:
    return mpf(number.numerator) / number.denominator


def tokens(rng: random.Random, n: int) -> list[mpf]:
    scale = rng.choice([-0.001, -0.3, -1, -1, -5, -20])
    return [mpf(scale * rng.uniform(0.05, 2)) for _ in range(n)]


def completion(rng: random.Random, n: int = 0) -> dict[str, list[mpf]]:
    n = n or rng.randint(1, 4)
    return {"logp": tokens(rng, n), "ref": tokens(rng, n)}


def batch(rng: random.Random, file: dict[str, Any], size: int, label: str | None = None) -> list[dict[str, Any]]:
    result = []
    for _ in range(size):
        columns = {name: inside(rng, row["domain"]) for name, row in file.get("columns", {}).items() if name not in COLUMNS}
        columns |= {"trust": mpf(rng.choice(["0", "0.2", "1", "6"])), "delta": mpf(rng.choice(["-9", "-0.4", "0", "1", "5"])), "soft": mpf(rng.choice(["0", "0.1", "0.5", "1"]))}
        columns |= {role: completion(rng) for role in file.get("roles", [])}
        if file["feedback"] == "paired":
            result.append({"chosen": completion(rng), "rejected": completion(rng), **columns})
        else:
            result.append({"label": label or rng.choice(["desirable", "undesirable"]), "completion": completion(rng), "mismatched": completion(rng), **columns})
    return result
