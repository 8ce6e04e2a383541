"""Refutations confirmed from their numbers alone, by the evaluator of `reader`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from attacks import swapped, tied
from attacks_on_v import role_of, v
from mpmath import mp, mpf
from reader import Loss, digits_beside, slope

from halo.analysis.verdict import Finding

File = dict[str, Any]
SEEN = mpf(10) ** -20
"""A difference that is one."""


TOKEN = re.compile(r"(?:example (\d+) )?(\w+)\.logp\[(\d+)\]")
"""A token of a batch that is written out, as a witness calls its log-prob."""
FLAT = re.compile(r"(?:example (\d+) )?(\w+)\.(?:ref_)?logp\[(?:each|odd|even)\]")
NUMBERED = re.compile(r"example (\d+)\b")


class Unusable(Exception):
    """The witness names what is no input of one example (a batch mean): its numbers cannot be put into a batch."""


def confirm(file: File, found: Finding) -> bool:
    """Checks a refutation's numbers; whether it had any that could be checked."""
    rule = CONFIRMED.get(found.check.split(".")[0])
    label = next((w for w in (found.check.split(".")[-1], found.scope) if w in ("desirable", "undesirable")), None)
    if (
        rule is None
        or not found.witness
        or (file["feedback"] == "labelled" and label is None and found.check not in ("monotone", "concave_on_gains"))
    ):
        return False
    try:
        rule(file, found, label)
    except Unusable:
        return False
    return True


def witnessed(file: File, witness: dict[str, str], label: str | None = None, suffix: str = "") -> Loss:
    """The batch that a witness describes: one example by its sums or means, or several written out token by token."""
    own = {k.removesuffix(suffix): v for k, v in witness.items() if k.endswith(suffix)}
    if any(place.fullmatch(k) for k in own for place in (TOKEN, FLAT)):
        return _written_out(file, own)
    known = {k.removesuffix(suffix): Fraction(v) for k, v in witness.items() if k.endswith(suffix) and is_number(v)}
    if any("(" in k or "sum of" in k for k in known):
        raise Unusable
    example: dict[str, Any] = {"label": label} if label else {}
    for role in (*(("chosen", "rejected") if file["feedback"] == "paired" else ("completion", "mismatched")), *file.get("roles", [])):
        example[role] = _tokens(known, role)
    example |= {c: number(known.get(c, known.get(f"example.{c}", Fraction(1)))) for c in file["columns"]}
    return Loss(file, {p: number(known.get(p, Fraction(str(row["default"])))) for p, row in file["parameters"].items()}, [example])


def _written_out(file: File, own: dict[str, str]) -> Loss:
    """A batch that is told token by token, or by one log-prob that all tokens of a completion have."""
    if any(k.endswith("ranks") for k in own):
        raise Unusable
    size = max((int(found[1]) for found in map(NUMBERED.match, own) if found), default=1)
    roles = [*(("chosen", "rejected") if file["feedback"] == "paired" else ("completion", "mismatched")), *file.get("roles", [])]
    examples = []
    for e in range(1, size + 1):
        whose = f"example {e} " if size > 1 else ""
        example: dict[str, Any] = {"label": own[f"{whose}label"]} if f"{whose}label" in own else {}
        for role in roles:
            n = int(own.get(f"{whose}{role}.length", "1"))
            words = {"logp": "logp", "ref": "ref_logp"}
            example[role] = {key: [_number(own, f"{whose}{role}.{word}", t) for t in range(1, n + 1)] for key, word in words.items()}
        example |= {c: number(Fraction(own.get(f"{whose}{c}", own.get(f"{whose.strip()}.{c}", "1")))) for c in file["columns"]}
        examples.append(example)
    parameters = {p: number(Fraction(own.get(p, str(row["default"])))) for p, row in file["parameters"].items()}
    return Loss(file, parameters, examples)


def _number(own: dict[str, str], name: str, token: int) -> mpf:
    alike = own.get(f"{name}[each]", own.get(f"{name}[{('even', 'odd')[token % 2]}]", "-1"))
    return number(Fraction(own.get(f"{name}[{token}]", alike)))


def _tokens(known: dict[str, Fraction], role: str) -> dict[str, list[mpf]]:
    """As many equal tokens as the witness says, with its sums or means."""
    n = known.get(f"{role}.length", Fraction(1))
    assert n.denominator == 1, f"a witness with {n} tokens"
    result = {}
    for key, word in (("logp", "log π"), ("ref", "log ref")):
        mean = known.get(f"{role}.mean {word}", known.get(f"{role}.{word}", Fraction(-1)) / n)
        assert mean < 0, f"a witness with a log-probability of {mean}"
        result[key] = [number(mean)] * int(n)
    return result


def number(x: Fraction) -> mpf:
    return mpf(x.numerator) / x.denominator


def is_number(text: str) -> bool:
    try:
        Fraction(text)
    except ValueError:
        return False
    return True


# -- one rule for each check -----------------------------------------------------------------------------------------------


def _direction(file: File, found: Finding, label: str | None) -> None:
    role = found.check.split(".")[1]
    for suffix, sign in ((" (up)", -1), (" (down)", 1)):
        loss = witnessed(file, dict(found.witness), label, suffix)
        if f"token{suffix}" in found.witness:
            whose, place, t = TOKEN.fullmatch(found.witness[f"token{suffix}"]).groups()  # type: ignore[union-attr]
            assert sign * slope(loss, int(whose or 1) - 1, place, int(t) - 1) > 0, suffix
            continue
        pull = slope(loss, 0, role if role in loss.batch[0] else "completion", 0)
        assert sign * pull > 0, (suffix, pull)


def _partition(file: File, found: Finding, label: str | None) -> None:
    loss = witnessed(file, dict(found.witness), label)
    assert abs(Loss(file, loss.parameters, loss.batch, shift=mpf(1)).total() - loss.total()) > SEEN


def _reference(file: File, found: Finding, label: str | None) -> None:
    if "more than that of one example" in found.witness:
        loss = witnessed(file, dict(found.witness), label)
        one = Loss(file, loss.parameters, tied(loss.batch[:1])).total()
        assert abs(Loss(file, loss.parameters, tied(loss.batch)).total() - one) > SEEN
        return
    first, second = (witnessed(file, dict(found.witness), label, f" ({which})") for which in ("first", "second"))
    assert first.parameters == second.parameters
    values = [Loss(file, side.parameters, tied(side.batch)).total() for side in (first, second)]
    assert abs(values[0] - values[1]) > SEEN, values


def _symmetry(file: File, found: Finding, label: str | None) -> None:
    loss = witnessed(file, dict(found.witness), label)
    if "more than the mean" in found.witness:
        parts = [Loss(file, loss.parameters, [example]).total() for example in loss.batch]
        assert abs(loss.total() - sum(parts) / len(parts)) > SEEN
        return
    assert abs(mp.exp(-loss.total()) + mp.exp(-swapped(loss).total()) - 1) > SEEN


def _length(file: File, found: Finding, label: str | None) -> None:
    """With the same tokens once, twice and three times as often, two losses differ."""
    witness = dict(found.witness)
    loss = witnessed(file, witness, label)
    if "second loss" in witness:
        changed = {k.removesuffix(" (second)"): v for k, v in witness.items() if k.endswith(" (second)")}
        assert abs(witnessed(file, witness | changed, label).total() - loss.total()) > SEEN
        return
    role = found.reason.split("length of ")[1].split(" ")[0]
    losses = []
    for times in (1, 2, 3):
        longer = copy.deepcopy(loss.batch)
        longer[0][role] = {key: tokens * times for key, tokens in longer[0][role].items()}
        with mp.workdps(digits_beside(loss.total())):
            losses.append(Loss(file, loss.parameters, longer).total())
    with mp.workdps(digits_beside(losses[0])):
        assert max(losses) - min(losses) > SEEN, losses


def _domain(file: File, found: Finding, label: str | None) -> None:
    witness = dict(found.witness)
    if "moved" in witness:  # a pole: the loss is torn apart between the two numbers
        sides = [witnessed(file, {**witness, witness["moved"]: witness[end]}, label).total() for end in ("from", "to")]
        assert abs(sides[0] - sides[1]) > mpf("0.01"), sides
        return
    try:
        value = witnessed(file, witness, label).total()
    except (ZeroDivisionError, ValueError):
        return
    assert isinstance(value, mp.mpc) or not mp.isfinite(value), value


def _monotone(file: File, found: Finding, label: str | None) -> None:
    role, witness = role_of(file, found), dict(found.witness)
    loss = witnessed(file, witness, role if role in ("desirable", "undesirable") else None)
    low, high = (v(loss, role, number(Fraction(witness[key]))) for key in ("from", "to"))
    assert low - high > mpf(10) ** -30, (low, high)


def _concave(file: File, found: Finding, label: str | None) -> None:
    role, witness = role_of(file, found), dict(found.witness)
    loss = witnessed(file, witness, role if role in ("desirable", "undesirable") else None)
    a, c, b = (number(Fraction(witness[key])) for key in ("left", "middle", "right"))
    va, vc, vb = (v(loss, role, z) for z in (a, c, b))
    assert 0 < a < c < b
    assert vc < va + (vb - va) * (c - a) / (b - a)


CONFIRMED: dict[str, Callable[[File, Finding, str | None], None]] = {
    "direction": _direction, "log_partition_cancels": _partition, "at_reference": _reference, "symmetry": _symmetry, "length_neutral": _length,
    "domain": _domain, "monotone": _monotone, "concave_on_gains": _concave,
}  # fmt: skip
