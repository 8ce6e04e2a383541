"""Attacks on what is proved of a whole loss: random batches and parameters, evaluated by `reader`.

Each attack takes a random generator, the file and the finding, and fails where the finding is wrong.
"""

from __future__ import annotations

import copy
import random
import re
from itertools import pairwise
from typing import Any

from mpmath import mp, mpf
from random_objectives import batch, parameters_of
from reader import SLACK, Loss, slope

from halo.analysis.verdict import Finding

File = dict[str, Any]
JUMP = mpf(10) ** 20
"""A difference quotient as large as this was taken across a jump."""


def direction(rng: random.Random, file: File, found: Finding) -> None:
    role = found.check.split(".")[1]
    for _ in range(5):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, rng.choice([1, 1, 2, 3])))
        for i, example in enumerate(loss.batch):
            if file["feedback"] == "labelled" and role != "mismatched" and example["label"] != role:
                continue
            place = role if role in example else "completion"
            pull = slope(loss, i, place, rng.randrange(len(example[place]["logp"])))
            scale = SLACK * (1 + abs(loss.total()))
            if abs(pull) > JUMP and "jump" in found.reason:
                continue
            if "jump" not in found.reason and "stop" not in str(file):
                _moved(rng, loss, i, place, found.value or "")
            assert agrees(found.value or "", pull, scale), pull


def _moved(rng: random.Random, loss: Loss, i: int, place: str, way: str) -> None:
    """A step, not only a slope: without `stop` and jumps the loss itself never rises (or falls) with the log-probability."""
    moved = copy.deepcopy(loss.batch)
    tokens = moved[i][place]["logp"]
    t = rng.randrange(len(tokens))
    tokens[t] *= mpf(rng.uniform(0, 1))
    change, slack = Loss(loss.file, loss.parameters, moved).total() - loss.total(), SLACK * (1 + abs(loss.total()))
    assert agrees(way, change, slack), change


def agrees(way: str, change: mpf, slack: mpf) -> bool:
    """Whether the loss moves as it should where a log-probability that goes `way` is raised."""
    return {"up": change <= slack, "down": change >= -slack, "none": abs(change) <= slack}.get(way, True)


def partition(rng: random.Random, file: File, found: Finding) -> None:
    for _ in range(6):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, rng.choice([1, 2])))
        same(loss.total(), Loss(file, loss.parameters, loss.batch, shift=mpf(rng.choice(["-3", "0.7", "20"]))).total())


def reference(rng: random.Random, file: File, found: Finding) -> None:
    label = found.check.split(".")[1] if "." in found.check else None
    for _ in range(4):
        loss = Loss(file, parameters_of(rng, file), tied(batch(rng, file, 1, label)))
        same(loss.total(), loss.at(re.sub(r"\bre\(", "(", str(found.value)), 0, label or "chosen"))


def tied(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference is the policy."""
    for example in examples:
        for part in example.values():
            if isinstance(part, dict):
                part["ref"] = list(part["logp"])
    return examples


def length(rng: random.Random, file: File, found: Finding) -> None:
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


def symmetry(rng: random.Random, file: File, found: Finding) -> None:
    for _ in range(6):
        loss = Loss(file, parameters_of(rng, file), batch(rng, file, 1))
        same(mp.exp(-loss.total()) + mp.exp(-swapped(loss).total()), mpf(1))


def swapped(loss: Loss) -> Loss:
    (example,) = loss.batch
    return Loss(loss.file, loss.parameters, [{**example, "chosen": example["rejected"], "rejected": example["chosen"]}])


def domain(rng: random.Random, file: File, found: Finding) -> None:
    for _ in range(8):
        value = Loss(file, parameters_of(rng, file), batch(rng, file, 2)).total()
        assert not isinstance(value, mp.mpc)
        assert mp.isfinite(value)


def reach(rng: random.Random, file: File, found: Finding) -> None:
    """Some random change of each declared parameter, column and role changes the loss."""
    for what in [*file["parameters"], *file["columns"], *(("chosen", "rejected") if file["feedback"] == "paired" else ())]:
        assert any(_matters(rng, file, what) for _ in range(60)), f"{what} never mattered"


def _matters(rng: random.Random, file: File, what: str) -> bool:
    before = Loss(file, parameters_of(rng, file), batch(rng, file, 3))
    other = Loss(file, parameters_of(rng, file), batch(rng, file, 1))
    if what in before.parameters:
        after = Loss(file, {**before.parameters, what: other.parameters[what]}, before.batch)
    else:
        after = Loss(file, before.parameters, [{**before.batch[0], what: other.batch[0][what]}, *before.batch[1:]])
    return bool(abs(after.total() - before.total()) > SLACK)


def detached(rng: random.Random, file: File, found: Finding) -> None:
    """Refuted means that no gradient depends on it: the stop of another batch in its place changes none."""
    if str(file).count("stop(") > 1:  # another batch under all of them says nothing of one
        return
    for _ in range(6):
        size = rng.choice([1, 2])
        here, there = batch(rng, file, size), batch(rng, file, size)
        for a, b in zip(here, there, strict=True):  # only what stands under `stop` is to differ, and that is policy
            b.update({k: v for k, v in a.items() if not isinstance(v, dict)})
        parameters = parameters_of(rng, file)
        loss, other = Loss(file, parameters, here), Loss(file, parameters, there)
        place = rng.choice([k for k, v in here[0].items() if isinstance(v, dict)])
        ways = [slope(loss, 0, place, 0), slope(loss, 0, place, 0, frozen=other)]
        if max(map(abs, ways)) < JUMP:
            same(*ways)


def halo(rng: random.Random, file: File, found: Finding) -> None:
    """Along r - E_Q[r], with everything else fixed: monotone, concave on gains after the sign that makes it rise.

    Of a pair y may be the chosen or the rejected completion, unless the rejected one is detached: one of them will do for all batches.
    """
    ways = [("completion", "mismatched")]
    if file["feedback"] == "paired":
        ways = [("chosen", "rejected")]
        if "stop" not in str(file["reference_point"]):
            ways.append(("rejected", "chosen"))
    against = [_not_human_aware(rng, file, found, *way) for way in ways]
    assert not all(against), ("neither +v nor -v is non-decreasing and concave on gains", against)


def _not_human_aware(rng: random.Random, file: File, found: Finding, role: str, other: str) -> dict[mpf, mpf]:
    """Values of v along the gains of a completion that are against it, or none."""
    for _ in range(3):
        parameters, shared = parameters_of(rng, file), batch(rng, file, 1)
        for label in [None] if role != "completion" else ["desirable", "undesirable"]:
            (example,) = copy.deepcopy(shared)
            if label:
                example["label"] = label
            values = _along(rng, file, parameters, example, role, other)
            if "tilted by the margin" in found.reason:  # the gain is over the tilted reference: r - E_Q[r] - margin
                margin = Loss(file, parameters, [example]).at(file["margin"], 0, role)
                values = {t - margin: value for t, value in values.items()}
            if not one_sign_and_concave(values):
                return values
    return {}


def _along(rng: random.Random, file: File, parameters: dict[str, mpf], example: dict[str, Any], role: str, other: str) -> dict[mpf, mpf]:
    """The loss at places r - E_Q[r] = t, with only the policy's log-probability of one completion moved."""
    example[role]["ref"] = [mpf(-400)] * len(example[role]["logp"])
    example[role]["logp"] = [mpf(-500)] * len(example[role]["logp"])
    curve, places = Loss(file, parameters, [example]), [mpf(rng.uniform(-9, 9)) for _ in range(8)] + [mpf(rng.uniform(0, 3)) for _ in range(8)]
    against = _point(curve, other)
    low, high = (_reward_with(curve, role, mpf(x)) for x in (-500, -100))
    values: dict[mpf, mpf] = {}
    frozen = curve if "stop" in str(file["reference_point"]) and other != "mismatched" else None
    for t in sorted(places) if abs(high - low) > SLACK else ():
        logp = -500 + 400 * (t + against - low) / (high - low)
        if logp < 0:
            example[role]["logp"] = [logp] * len(example[role]["logp"])
            values[t] = Loss(file, parameters, [copy.deepcopy(example)], frozen=frozen).total()
    return values


def _point(loss: Loss, other: str) -> mpf:
    point = loss.file["reference_point"]
    if point == "none" and "reward" in str(loss.file.get("margin")):  # written as a margin, it is the reference point
        point = loss.file["margin"]
    if other != "mismatched" and "rejected" in str(point):  # the score of one of a pair is held against that of the other
        return loss.reward(0, other)
    return loss.at(point, 0, "completion" if other == "mismatched" else "chosen")


def _reward_with(loss: Loss, role: str, logp: mpf) -> mpf:
    moved = copy.deepcopy(loss.batch)
    moved[0][role]["logp"] = [logp] * len(moved[0][role]["logp"])
    return Loss(loss.file, loss.parameters, moved).reward(0, role)


def one_sign_and_concave(values: dict[mpf, mpf]) -> bool:
    """Whether +v or -v is non-decreasing, and concave on (0, oo), as far as these values show."""
    gains = {t: value for t, value in values.items() if t > 0}
    return not values or any(rises(values, sign) and bends(gains, sign) for sign in (-1, 1))


def rises(values: dict[mpf, mpf], sign: int = 1) -> bool:
    slack, ordered = _slack(values), [sign * values[t] for t in sorted(values)]
    return all(a <= b + slack for a, b in pairwise(ordered))


def bends(values: dict[mpf, mpf], sign: int = 1) -> bool:
    """No value lies below the chord of its neighbours."""
    slack, places = _slack(values), sorted(values)
    v = {t: sign * value for t, value in values.items()}
    return all(
        v[b] >= v[a] + (v[c] - v[a]) * (b - a) / (c - a) - slack for a, b, c in zip(places, places[1:], places[2:], strict=False)
    )


def _slack(values: dict[mpf, mpf]) -> mpf:
    return SLACK * (1 + max(map(abs, values.values()), default=mpf(0)))


def same(a: mpf, b: mpf) -> None:
    assert abs(a - b) <= SLACK * (1 + abs(a)), (mp.nstr(a, 15), mp.nstr(b, 15))


PROOFS = {
    "direction": direction, "log_partition_cancels": partition, "at_reference": reference, "length_neutral": length, "symmetry": symmetry,
    "domain": domain, "halo": halo, "reach": reach,
}  # fmt: skip
"""By the first word of the check's name."""
REFUTATIONS = {"stop_gradient_effect": detached}
"""What a refutation says of every batch."""
