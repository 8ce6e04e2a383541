"""Random small objectives: what is proved of a whole loss is attacked by an evaluator of the language of its own.

The evaluator reads the texts of the file and exact numbers for tokens; `stop` is the value of the unperturbed batch.
`HALO_ATTACK_OBJECTIVES=2000` asks about that many instead of those of the ordinary suite.
"""

from __future__ import annotations

import copy
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from mpmath import mp, mpf

from halo.compiler.checks.catalogue import findings
from halo.compiler.checks.findings import Finding
from halo.compiler.pipeline import compile_source
from halo.errors import HaloError
from halo.objective.formula import Formula, Name, Number, parse
from halo.plugin.objectives import find_objective

HOW_MANY = int(os.environ.get("HALO_ATTACK_OBJECTIVES", "60"))
SEED = int(os.environ.get("HALO_ATTACK_SEED", "20270115"))
DIGITS, STEP, SLACK = 120, mpf(10) ** -40, mpf(10) ** -30


# -- an evaluator of the language --------------------------------------------------------------------------------------


@dataclass
class Loss:
    """One objective as its file's texts, and a batch: examples are maps from role to {logp, ref}, with columns and a label.

    `shift` is added to the score of every completion of example 0, as log Z(x) would be.
    """

    file: dict[str, Any]
    parameters: dict[str, mpf]
    batch: list[dict[str, Any]]
    shift: mpf = mpf(0)
    frozen: Loss | None = field(default=None, repr=False)

    def total(self) -> mpf:
        """The mean over examples of their items, terms and regularizers."""
        return mp.fsum(self.example(i) for i in range(len(self.batch))) / len(self.batch)

    def example(self, i: int) -> mpf:
        example = self.batch[i]
        label = example.get("label")
        role = label or "chosen"
        result = self.item(i, role)
        for regularizer in self.file.get("regularizers", {}).values():
            weight = self.at(regularizer.get("weight", "1"), i, regularizer["role"])
            result += weight * self.at(regularizer["expression"], i, regularizer["role"])
        return result

    def item(self, i: int, role: str) -> mpf:
        def key(name: str, default: Any) -> str:
            value = self.file.get(name, default)
            return str(value[role] if isinstance(value, dict) else value)

        value = self.at(key("value", ""), i, role, {"z": self.z(i, role)})
        return self.at(key("weight", 1), i, role) * int(key("sign", 0)) * value + self.at(key("constant", 0), i, role)

    def z(self, i: int, role: str) -> mpf:
        point, margin = self.file["reference_point"], self.file.get("margin", 0)
        against = self.reward(i, "rejected") if point == "rejected" else mpf(0) if point == "none" else self.at(point, i, role)
        return self.reward(i, role) - against - self.at(margin[role] if isinstance(margin, dict) else margin, i, role)

    def reward(self, i: int, role: str) -> mpf:
        score = self.at(self.file["reward"], i, role)
        if i == 0 and self.shift:
            per_token = "mean" in self.file["reward"] and "length *" not in self.file["reward"]
            score += self.shift / len(self.of(i, role)["logp"]) if per_token else self.shift
        return self.at(self.file.get("normalizer", 1), i, role) * score

    def of(self, i: int, role: str) -> dict[str, Any]:
        return self.batch[i]["completion" if role in ("desirable", "undesirable") else role]

    def at(self, text: Any, i: int, role: str, more: dict[str, mpf] | None = None) -> Any:
        return self.value(parse(text), i, role, more or {})

    def value(self, formula: Formula, i: int, role: str, more: dict[str, mpf]) -> Any:
        if isinstance(formula, Number):
            return mpf(formula.value.numerator) / formula.value.denominator
        if isinstance(formula, Name):
            return self.name(formula, i, role, more)
        word = formula.function
        if word == "stop":
            return (self.frozen or self).value(formula.arguments[0], i, role, more)
        if word == "batch_mean":
            return mp.fsum(self.value(formula.arguments[0], j, role, more) for j in range(len(self.batch))) / len(self.batch)
        if word == "where":
            left, right = (self.value(side, i, role, more) for side in formula.arguments[0].arguments)  # type: ignore[union-attr]
            holds = {"lt": left < right, "le": left <= right, "gt": left > right, "ge": left >= right}[formula.arguments[0].function]  # type: ignore[union-attr]
            return self.value(formula.arguments[1 if holds else 2], i, role, more)
        arguments = [self.value(a, i, role, more) for a in formula.arguments]
        if word in ("sum", "mean"):
            total = mp.fsum(arguments[0])
            return total if word == "sum" else total / len(arguments[0])
        count = next((len(a) for a in arguments if isinstance(a, list)), 0)
        if count:
            return [applied(word, [a[t] if isinstance(a, list) else a for a in arguments]) for t in range(count)]
        return applied(word, arguments)

    def name(self, formula: Name, i: int, role: str, more: dict[str, mpf]) -> Any:
        role = formula.role or role
        if formula.name in more:
            return more[formula.name]
        if formula.name in self.parameters:
            return self.parameters[formula.name]
        if formula.name in self.file.get("columns", {}):
            return self.batch[i][formula.name]
        completion = self.of(i, role)
        match formula.name:
            case "logp":
                return list(completion["logp"])
            case "ref_logp":
                return list(completion["ref"])
            case "length":
                return mpf(len(completion["logp"]))
            case "reward":
                return self.reward(i, role)
        return self.at(self.file["let"][formula.name], i, role)


def applied(word: str, arguments: list[mpf]) -> mpf:
    x, *rest = arguments
    match word:
        case "add":
            return x + rest[0]
        case "sub":
            return x - rest[0]
        case "mul":
            return x * rest[0]
        case "div":
            return x / rest[0]
        case "pow":
            return x ** rest[0]
        case "neg":
            return -x
        case "min":
            return min(arguments)
        case "max":
            return max(arguments)
        case "clip":
            return min(max(x, rest[0]), rest[1])
        case "relu":
            return max(x, mpf(0))
        case "sigmoid":
            return 1 / (1 + mp.exp(-x))
        case "logsigmoid":
            return -mp.log(1 + mp.exp(-x))
        case "softplus":
            return mp.log(1 + mp.exp(x))
        case "abs":
            return abs(x)
        case "log1p":
            return mp.log(1 + x)
        case _:
            return getattr(mp, word)(x)


# -- random objectives -------------------------------------------------------------------------------------------------

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
    return {name: mpf(drawn[name]()) for name in file["parameters"]}


def tokens(rng: random.Random, n: int) -> list[mpf]:
    scale = rng.choice([-0.001, -0.3, -1, -1, -5, -20])
    return [mpf(scale * rng.uniform(0.05, 2)) for _ in range(n)]


def completion(rng: random.Random, n: int = 0) -> dict[str, list[mpf]]:
    n = n or rng.randint(1, 4)
    return {"logp": tokens(rng, n), "ref": tokens(rng, n)}


def batch(rng: random.Random, file: dict[str, Any], size: int, label: str | None = None) -> list[dict[str, Any]]:
    result = []
    for _ in range(size):
        columns = {"trust": mpf(rng.choice(["0", "0.2", "1", "6"])), "delta": mpf(rng.choice(["-9", "-0.4", "0", "1", "5"])), "soft": mpf(rng.choice(["0", "0.1", "0.5", "1"]))}
        if file["feedback"] == "paired":
            result.append({"chosen": completion(rng), "rejected": completion(rng), **columns})
        else:
            result.append({"label": label or rng.choice(["desirable", "undesirable"]), "completion": completion(rng), "mismatched": completion(rng), **columns})
    return result


def slope(loss: Loss, i: int, role: str, t: int) -> mpf:
    """d loss / d logp of one token, by a central difference; what is stopped stays as it was."""
    ends = []
    for side in (-1, 1):
        moved = copy.deepcopy(loss.batch)
        moved[i][role]["logp"][t] += side * STEP
        ends.append(Loss(loss.file, loss.parameters, moved, frozen=loss).total())
    return (ends[1] - ends[0]) / (2 * STEP)


# -- attacks ---------------------------------------------------------------------------------------------------------------


def attack_direction(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    role = found.check.split(".")[1]
    for _ in range(12):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, rng.choice([1, 1, 2, 3])))
        for i, example in enumerate(loss.batch):
            if file["feedback"] == "labelled" and example["label"] != role:
                continue
            place = role if file["feedback"] == "paired" else "completion"
            pull = slope(loss, i, place, rng.randrange(len(example[place]["logp"])))
            scale = SLACK * (1 + abs(loss.total()))
            assert (found.value != "up" or pull <= scale) and (found.value != "down" or pull >= -scale) and (found.value != "none" or abs(pull) <= scale), pull


def attack_partition(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    for _ in range(6):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, rng.choice([1, 2])))
        same(loss.total(), Loss(file, loss.parameters, loss.batch, shift=mpf(rng.choice(["-3", "0.7", "20"]))).total())


def attack_reference(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    label = found.check.split(".")[1] if "." in found.check else None
    for _ in range(4):
        examples = batch(rng, file, 1, label)
        for example in examples:
            for part in example.values():
                if isinstance(part, dict):
                    part["ref"] = part["logp"]
        loss = Loss(file, parameters_of(rng, file), examples)
        same(loss.total(), loss.at(str(found.value).replace("re(", "("), 0, label or "chosen"))


def attack_length(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    for _ in range(4):
        examples = batch(rng, file, 1, found.scope if found.scope != "loss" else None)
        losses = []
        parameters = parameters_of(rng, file)
        for _ in range(3):
            for part in examples[0].values():
                if isinstance(part, dict):
                    n = rng.randint(1, 5)
                    part["logp"], part["ref"] = [part["logp"][0]] * n, [part["ref"][0]] * n
            losses.append(Loss(file, parameters, copy.deepcopy(examples)).total())
        same(losses[0], losses[1])
        same(losses[0], losses[2])


def attack_symmetry(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    for _ in range(6):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, 1))
        (example,) = loss.batch
        swapped = Loss(file, loss.parameters, [{**example, "chosen": example["rejected"], "rejected": example["chosen"]}])
        same(mp.exp(-loss.total()) + mp.exp(-swapped.total()), mpf(1))


def attack_domain(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    for _ in range(8):
        value = Loss(file, parameters_of(rng, file), batch(rng, file, 2)).total()
        assert not isinstance(value, mp.mpc) and mp.isfinite(value)


def attack_halo(rng: random.Random, file: dict[str, Any], found: Finding) -> None:
    """Along r - E_Q[r], with everything else fixed: monotone, concave on gains after the sign that makes it rise."""
    labels = [None] if file["feedback"] == "paired" else ["desirable", "undesirable"]
    for _ in range(4):
        parameters, shared, seen = parameters_of(rng, file), batch(rng, file, 1), []
        for label in labels:
            (example,) = copy.deepcopy(shared)
            role = "chosen" if label is None else "completion"
            other = "rejected" if label is None else "mismatched"
            if label:
                example["label"] = label
            example[role]["ref"] = [mpf(-400)] * len(example[role]["logp"])
            example[role]["logp"] = [mpf(-500)] * len(example[role]["logp"])
            curve, places = Loss(file, parameters, [example]), [mpf(rng.uniform(-9, 9)) for _ in range(8)] + [mpf(rng.uniform(0, 3)) for _ in range(8)]
            against = reference(curve, other)
            low, high = (reward_with(curve, role, mpf(x)) for x in (-500, -100))
            if abs(high - low) < SLACK:
                return
            values = {}
            for t in sorted(places):  # r - E_Q[r] = t
                logp = -500 + 400 * (t + against - low) / (high - low)
                if logp < 0:
                    example[role]["logp"] = [logp] * len(example[role]["logp"])
                    values[t] = Loss(file, parameters, [copy.deepcopy(example)], frozen=curve if "stop" in str(file["reference_point"]) and other != "mismatched" else None).total()
            rising = one_sign_and_concave(values)
            assert rising, ("neither +v nor -v is non-decreasing and concave on gains", values)
            seen.append(values)


def reference(loss: Loss, other: str) -> mpf:
    point = loss.file["reference_point"]
    return loss.reward(0, other) if point == "rejected" else loss.at(point, 0, "completion" if other == "mismatched" else "chosen")


def reward_with(loss: Loss, role: str, logp: mpf) -> mpf:
    moved = copy.deepcopy(loss.batch)
    moved[0][role]["logp"] = [logp] * len(moved[0][role]["logp"])
    return Loss(loss.file, loss.parameters, moved).reward(0, role)


def one_sign_and_concave(values: dict[mpf, mpf]) -> bool:
    places = sorted(values)
    for sign in (-1, 1):
        v = {t: sign * value for t, value in values.items()}
        slack = SLACK * (1 + max(map(abs, v.values())))
        rises = all(v[a] <= v[b] + slack for a, b in zip(places, places[1:], strict=False))
        gains = [t for t in places if t > 0]
        bends = all(
            v[b] >= v[a] + (v[c] - v[a]) * (b - a) / (c - a) - slack for a, b, c in zip(gains, gains[1:], gains[2:], strict=False)
        )
        if rises and bends:
            return True
    return False


def same(a: mpf, b: mpf) -> None:
    assert abs(a - b) <= SLACK * (1 + abs(a)), (mp.nstr(a, 15), mp.nstr(b, 15))


ATTACKS = {
    "direction": attack_direction, "log_partition_cancels": attack_partition, "at_reference": attack_reference, "length_neutral": attack_length,
    "symmetry": attack_symmetry, "domain": attack_domain, "halo": attack_halo,
}  # fmt: skip


# -- witnesses -------------------------------------------------------------------------------------------------------------


def witnessed(file: dict[str, Any], witness: dict[str, str], label: str | None = None, suffix: str = "") -> Loss | None:
    """The batch of one example that a witness describes; None where it names what is no input (a batch mean)."""
    known = {k.removesuffix(suffix): Fraction(v) for k, v in witness.items() if k.endswith(suffix) and is_number(v)}
    if any("(" in k or "sum of" in k for k in known):
        return None
    roles = ("chosen", "rejected") if file["feedback"] == "paired" else ("completion", "mismatched")
    example: dict[str, Any] = {"label": label} if label else {}
    for role in roles:
        n = known.get(f"{role}.length", Fraction(1))
        if n.denominator != 1:
            raise AssertionError(f"a witness with {n} tokens")
        words = {"logp": "log π", "ref": "log ref"}
        sums = {key: known.get(f"{role}.{word}", known.get(f"{role}.mean {word}", Fraction(-1)) * (n if f"{role}.mean {word}" in known else 1)) for key, word in words.items()}
        example[role] = {key: [mpf(total.numerator) / total.denominator / int(n)] * int(n) for key, total in sums.items()}
    example |= {c: number(known.get(c, known.get(f"example.{c}", Fraction(1)))) for c in file["columns"]}
    return Loss(file, {p: number(known.get(p, Fraction(str(DEFAULTS[p])))) for p in file["parameters"]}, [example])


def number(x: Fraction) -> mpf:
    return mpf(x.numerator) / x.denominator


def is_number(text: str) -> bool:
    try:
        Fraction(text)
    except ValueError:
        return False
    return True


def confirm(file: dict[str, Any], found: Finding) -> bool:
    """Checks a refutation's numbers; whether it had any that could be checked."""
    witness = dict(found.witness)
    name = found.check.split(".")[0]
    label = next((w for w in (found.check.split(".")[-1], found.scope) if w in ("desirable", "undesirable")), None)
    if file["feedback"] == "labelled" and label is None:
        return False
    if name == "direction":
        role = found.check.split(".")[1]
        for suffix, sign in ((" (up)", -1), (" (down)", 1)):
            loss = witnessed(file, witness, label, suffix)
            if loss is None:
                return False
            place = role if file["feedback"] == "paired" else "completion"
            assert sign * slope(loss, 0, place, 0) > 0, (suffix, slope(loss, 0, place, 0))
        return True
    loss = witnessed(file, witness, label)
    if loss is None or not witness:
        return False
    match name:
        case "log_partition_cancels":
            change = Loss(file, loss.parameters, loss.batch, shift=mpf(1)).total() - loss.total()
            assert abs(change) > mpf(10) ** -20
        case "symmetry":
            (example,) = loss.batch
            swapped = Loss(file, loss.parameters, [{**example, "chosen": example["rejected"], "rejected": example["chosen"]}])
            assert abs(mp.exp(-loss.total()) + mp.exp(-swapped.total()) - 1) > mpf(10) ** -20
        case "domain":
            with pytest.raises((ZeroDivisionError, ValueError, AssertionError)):
                value = loss.total()
                assert not isinstance(value, mp.mpc)
                assert mp.isfinite(value)
        case _:
            return False
    return True


# -- the test --------------------------------------------------------------------------------------------------------------


def examined(file: dict[str, Any], directory: Path) -> list[Finding] | None:
    path = directory / f"{file['name']}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in file.items() if v != {}}, sort_keys=False))
    try:
        return list(findings(compile_source(path, None, find_objective)))
    except HaloError:
        return None


def test_what_is_proved_of_random_objectives_holds(tmp_path: Path) -> None:
    rng, outcomes, confirmed, broken = random.Random(SEED), Counter[tuple[str, str]](), 0, list[str]()
    asked = 0
    while asked < HOW_MANY:
        file = completed(rng.choice([paired, paired, labelled])(rng), f"random_{asked}")
        found = examined(file, tmp_path)
        if found is None:
            continue
        asked += 1
        for finding in found:
            name = finding.check.split(".")[0]
            outcomes[name, finding.verdict] += 1
            try:
                with mp.workdps(DIGITS):
                    if finding.verdict == "proved" and name in ATTACKS and not (name == "halo" and finding.scope == "core"):
                        ATTACKS[name](rng, file, finding)
                    elif finding.verdict == "refuted":
                        confirmed += confirm(file, finding)
            except (AssertionError, ArithmeticError, ValueError) as wrong:
                broken.append(f"{type(wrong).__name__} {wrong}\n  {file}\n  {finding}")
    print(f"\n{asked} objectives, {confirmed} witnesses, {dict(sorted(outcomes.items()))}")
    assert not broken, f"{len(broken)}:\n\n" + "\n\n".join(broken[:12])
