"""Attacks on what is said of the value function, and of where the loss settles."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

from attacks import bends, rises
from mpmath import mpc, mpf
from random_objectives import batch, parameters_of
from reader import SLACK, Loss

from halo.analysis.verdict import Finding

File = dict[str, Any]
TINY = mpf(10) ** -45
FLAT = 10**6
"""Nats: what is said to be flat far out is so there, with margins of 30 and a temperature of 1/100."""


def role_of(file: File, found: Finding) -> str:
    """Whose v the finding speaks of."""
    said = found.scope.removeprefix("v of ").split(", ")[0].split("/")[-1]
    return said if found.scope.startswith("v of ") else "chosen" if file["feedback"] == "paired" else "desirable"


def somewhere(rng: random.Random, file: File, role: str) -> Loss:
    label = role if role in ("desirable", "undesirable") else None
    return Loss(file, parameters_of(rng, file), batch(rng, file, 1, label))


def v(loss: Loss, role: str, z: mpf) -> mpf:
    texts = loss.file["value"]
    return loss.at(texts[role] if isinstance(texts, dict) else texts, 0, role, {"z": z})


def reached(rng: random.Random, file: File, role: str) -> tuple[mpf, mpf]:
    """The least and the greatest z of some batches: whatever lies between can occur."""
    zs = [somewhere(rng, file, role).z(0, role) for _ in range(12)]
    return min(zs), max(zs)


def v_slope(loss: Loss, role: str, z: mpf) -> mpf:
    step = TINY * (1 + abs(z))
    return (v(loss, role, z + step) - v(loss, role, z - step)) / (2 * step)


def line(rng: random.Random, loss: Loss, role: str, low: float) -> dict[mpf, mpf]:
    """v at random places, and at those where this vocabulary of value functions has its kinks."""
    places = [mpf(rng.uniform(low, 6)) for _ in range(10)] + [mpf(rng.uniform(low, 50)) for _ in range(4)] + [mpf(x) for x in (-1, 0, 1) if x > low]
    return {z: v(loss, role, z) for z in places}


def monotone(rng: random.Random, file: File, found: Finding) -> None:
    role = role_of(file, found)
    for _ in range(6):
        loss = somewhere(rng, file, role)
        assert rises(line(rng, loss, role, -50.0)), loss.parameters


def concave_on_gains(rng: random.Random, file: File, found: Finding) -> None:
    role = role_of(file, found)
    for _ in range(6):
        loss = somewhere(rng, file, role)
        assert bends(line(rng, loss, role, 0.0)), loss.parameters


def bounded(rng: random.Random, file: File, found: Finding) -> None:
    """v at the z of random batches keeps to the range that was found."""
    role = role_of(file, found)
    if found.value is None:  # it is shown by limits, and no range is told
        if "inf" not in found.reason:  # z ends at numbers: nothing far out can occur
            return
        heights = {n: [v(somewhere(rng, file, role), role, mpf(side * 10**n)) for side in (-1, 1)] for n in (4, 8)}
        way = 1 if "bounded above" in found.reason else -1
        assert all(way * far <= way * near + 10**3 for near, far in zip(heights[4], heights[8], strict=True)), heights
        return
    low, high = (mpf(end.strip()) if "inf" in end else fraction(end.strip()) for end in str(found.value)[1:-1].split(","))
    for _ in range(12):
        loss = somewhere(rng, file, role)
        here = v(loss, role, loss.z(0, role))
        assert low <= here <= high, (here, found.value)


def fraction(text: str) -> mpf:
    above, _, below = text.partition("/")
    return mpf(above) / mpf(below or 1)


def unbounded(rng: random.Random, file: File, found: Finding) -> None:
    """Somewhere far out v is far up (or down): the words of this grammar grow at least as a logarithm if they grow."""
    role = role_of(file, found)
    way = 1 if "above" in found.reason else -1
    heights = []
    for _ in range(8):
        loss = somewhere(rng, file, role)
        heights += [way * v(loss, role, mpf(side * 10**8)) for side in (-1, 1)]
    if "pole" in found.reason or any(isinstance(height, mpc) for height in heights):
        return  # it is unbounded at a number, beyond which v may have no value
    if max(heights) <= 10**3:
        heights += [way * v(loss, role, side * mpf(10) ** 1000) for side in (-1, 1)]
    assert max(heights) > 10**3, (way, heights)


def saturates(rng: random.Random, file: File, found: Finding) -> None:
    role = role_of(file, found)
    for _ in range(6):
        loss = somewhere(rng, file, role)
        assert all(abs(v_slope(loss, role, mpf(side * 10**8))) < mpf("1e-6") for side in (-1, 1)), loss.parameters


def unsaturated(rng: random.Random, file: File, found: Finding) -> None:
    """Far out, or where z ends, v is steep: with the parameters of the witness, which may hold z at a number."""
    role = role_of(file, found)
    losses = [_told(somewhere(rng, file, role), found) for _ in range(8)]
    slopes = [v_slope(loss, role, z) for loss in losses for z in (loss.z(0, role), mpf(10**6), mpf(-(10**6)))]
    assert any(abs(s) > mpf("1e-3") for s in slopes), slopes


def _told(loss: Loss, found: Finding) -> Loss:
    """With what the witness says of the parameters."""
    loss.parameters |= {name: fraction(x) for name, x in dict(found.witness).items() if name in loss.parameters}
    return loss


def lipschitz(rng: random.Random, file: File, found: Finding) -> None:
    """No slope is larger than the bound; without parameters some come near it."""
    role = role_of(file, found)
    low, high = reached(rng, file, role)
    for _ in range(6):
        loss = somewhere(rng, file, role)
        if found.value is None and low > -5 and high < 5:  # it may end there
            continue
        if found.value is None:  # a bound for each value of the parameters, which is not told
            assert all(abs(v_slope(loss, role, mpf(side * 10**8))) < 10**6 for side in (-1, 1)), loss.parameters
            continue
        best = abs(loss.at(found.value, 0, role))
        assert not str(found.value).startswith("-"), found.value
        for z in [low + (high - low) * mpf(rng.random()) for _ in range(12)]:
            assert abs(v_slope(loss, role, z)) <= best * (1 + mpf("1e-12")) + SLACK, (z, best)


def steep(rng: random.Random, file: File, found: Finding) -> None:
    role = role_of(file, found)
    if "pole" in found.reason or "z = " in found.reason:
        return  # it is steep at a number
    pairs = [(loss, side) for loss in (somewhere(rng, file, role) for _ in range(8)) for side in (-1, 1)]
    assert any(abs(v_slope(loss, role, mpf(side * 10**6))) > 1000 for loss, side in pairs)


# -- where the loss settles ------------------------------------------------------------------------------------------------


def optimum(rng: random.Random, file: File, found: Finding) -> None:
    """No difference of scores has a smaller loss than the one found; `p` mixes in the swapped pair."""
    for _ in range(6):
        flat = str(found.value).startswith("flat")
        here = _preferred(rng, file, FLAT if flat else 300)
        if found.value is None:  # it is somewhere between: nothing far out is lower than all that is near
            near = [_mixed(here, mpf(h) / 2, mpf(1)) for h in range(-80, 81)]
            assert min(_mixed(here, mpf(side * 10**4), mpf(1)) for side in (-1, 1)) >= min(near) - SLACK, here.parameters
            continue
        if found.check == "preference_link" and found.value.startswith(("(", "[")):
            continue  # the range of h is all that is said
        p = mpf(1) if found.check == "finite_optimum" else mpf(rng.choice(["0.5", "0.7", "0.99", "0.2"]))
        best = _difference(here, str(found.value), p)
        losses = {h: _mixed(here, h, p) for h in [best, *(best + mpf(rng.uniform(-4, 4)) for _ in range(8)), best + mpf("1e-9"), best - mpf("1e-9")]}
        for h, value in losses.items():
            assert losses[best] <= value + SLACK * (1 + abs(value)), (p, best, h, losses[best], value, here.parameters, here.batch)


def endless(rng: random.Random, file: File, found: Finding) -> None:
    """The loss of a sure preference falls all the way in the direction said."""
    if found.value not in ("+oo", "-oo") or found.check != "finite_optimum":
        return
    for _ in range(4):
        here = _told(_preferred(rng, file), found)
        values = {mpf(h): _mixed(here, mpf(h), mpf(1)) for h in (-20, -3, -1, 0, 1, 2, 8, 20)}
        assert rises(values, -1 if found.value == "+oo" else 1), (here.parameters, values)


def _preferred(rng: random.Random, file: File, below: float = 300) -> Loss:
    """A batch whose references lie so many nats a token below, so that a large difference of scores can occur."""
    loss = somewhere(rng, file, "chosen" if file["feedback"] == "paired" else "desirable")
    for part in loss.batch[0].values():
        if isinstance(part, dict):
            part["ref"] = [x - below for x in part["ref"]]
    return loss


def _difference(loss: Loss, said: str, p: mpf) -> mpf:
    text = re.sub(r"\bre\(", "(", said.removeprefix("h >= "))
    if text.startswith("flat"):
        return mpf(-FLAT if text.endswith("-oo") else FLAT) / 2
    return loss.at(text, 0, "chosen", {"p": p})


def _mixed(loss: Loss, h: mpf, p: mpf) -> mpf:
    """p L(preferred) + (1 - p) L(dispreferred), with the difference of the two scores made h by moving a log-probability."""
    example = copy.deepcopy(loss.batch[0])
    paired = loss.file["feedback"] == "paired"
    own, other = ("chosen", "rejected") if paired else ("completion", "mismatched")
    base = mpf(0) if loss.file["reference_point"] in ("none", "gamma") else loss.at(loss.key("reward", other, ""), 0, other)
    n = len(example[own]["logp"])
    scores = []
    for logp in (-100, -101, -200):
        example[own]["logp"] = [mpf(logp)] * n
        scores.append(Loss(loss.file, loss.parameters, [example]).at(loss.key("reward", "chosen" if paired else "desirable", ""), 0, "chosen" if paired else "desirable"))
    rate = scores[0] - scores[1]
    if not rate or abs(scores[2] - scores[0] + 100 * rate) > SLACK * 10**4:
        raise ValueError("the score is not linear in a log-probability")
    logp = -100 + (h + base - scores[0]) / rate
    if logp >= 0:
        raise ValueError("no such difference")
    example[own]["logp"] = [logp] * n
    if abs(Loss(loss.file, loss.parameters, [example]).at(loss.key("reward", "chosen" if paired else "desirable", ""), 0, "chosen" if paired else "desirable") - base - h) > SLACK * 10**4:
        raise ValueError("no such difference")
    other_outcome = {**example, "chosen": example["rejected"], "rejected": example["chosen"]} if paired else {**example, "label": "undesirable"}
    sides = [Loss(loss.file, loss.parameters, [outcome]).total() for outcome in (example, other_outcome)]
    return p * sides[0] + (1 - p) * sides[1]


PROOFS = {"monotone": monotone, "concave_on_gains": concave_on_gains, "bounded": bounded, "saturates": saturates, "lipschitz": lipschitz,
          "finite_optimum": optimum, "preference_link": optimum}  # fmt: skip
REFUTATIONS = {"bounded": unbounded, "saturates": unsaturated, "lipschitz": steep, "finite_optimum": endless}
