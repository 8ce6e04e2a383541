"""Six questions about value functions of many families: how many are decided, and whether any answer is wrong."""

from __future__ import annotations

from collections import Counter

import pytest
from attacks_on_lines import ATTACKS, DIGITS, FAR, Line, number
from independent import valued
from mpmath import mp
from smooth_values import DEFAULTS, FAMILIES, OTHERS, Smooth

from halo.analysis.verdict import REFUTED, UNDECIDED, Finding
from halo.checks.catalogue import CHECKS
from halo.checks.subject import Subject
from halo.compiler.pipeline import compile_source
from halo.objective.formula import Formula, parse

BEFORE = {"finite_optimum": 84, "bounded": 119, "lipschitz": 87, "saturates": 118, "monotone": 151, "concave_on_gains": 145}
"""Of 164 (`finite_optimum`: of 149) so many were decided before limits were taken at the ends of z and in several scales, some wrongly."""
QUICK = ("softsign", "below 0")
"""Attacked in the default suite; the others are marked slow."""
LEAST = 0.9
"""The share of each question that is decided."""


def answers(one: Smooth) -> list[Finding]:
    subject = Subject(compile_source(one.file))
    return [finding for name in ATTACKS for finding in CHECKS[name].findings(subject)]


def attacked(one: Smooth, finding: Finding) -> None:
    """At single values of the parameters; a refutation at those that it names, or else at some of those tried."""
    formula, said = parse(one.text), parse_value(finding)
    places = [{letter: str(DEFAULTS[letter]) for letter in one.letters}, *({letter: other[letter] for letter in one.letters} for other in OTHERS)]
    if any(letter in finding.witness for letter in one.letters):
        places = [{letter: finding.witness[letter] for letter in one.letters}]
    against = []
    for place in places if one.letters else places[:1]:
        at = {letter: number(x) for letter, x in place.items()}
        line = Line.of(lambda z, at=at: valued(formula, {**at, "z": z}), one.z, 3 if one.text.count("exp(") > 1 else len(FAR))  # type: ignore[misc]
        value = None if said is None else (lambda z, at=at: valued(said, at))  # type: ignore[misc]
        witness = dict(finding.witness) | ({"pole": ""} if "pole" in finding.reason else {})
        against.append(ATTACKS[finding.check](line, finding.verdict, witness, value))
    wrong = all(against) if finding.verdict == REFUTED else any(against)
    assert not wrong, (one.text, one.z, finding.check, finding.verdict, finding.reason, against)


def parse_value(finding: Finding) -> Formula | None:
    """The number that is said to bound a slope, or where the loss is said to be least."""
    text = str(finding.value)
    if finding.check not in ("lipschitz", "finite_optimum") or finding.value is None or text in ("flat", "flat towards -oo", "+oo", "-oo"):
        return None
    return parse(text.removeprefix("h >= ").replace("re(", "(").replace("E", "exp(1)"))


FOUND: dict[str, list[Finding]] = {}


@pytest.mark.parametrize("family", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def test_no_answer_is_wrong(family: str) -> None:
    FOUND[family] = []
    with mp.workdps(DIGITS):
        for one in FAMILIES[family]:
            for finding in answers(one):
                FOUND[family].append(finding)
                if finding.verdict != UNDECIDED:
                    attacked(one, finding)


@pytest.mark.slow
def test_nine_of_ten_are_decided() -> None:
    """Over all families, question by question."""
    asked, decided = Counter[str](), Counter[str]()
    for family, ones in FAMILIES.items():
        for finding in FOUND.get(family) or [f for one in ones for f in answers(one)]:
            asked[finding.check] += 1
            decided[finding.check] += finding.verdict != UNDECIDED
    shares = {name: decided[name] / asked[name] for name in ATTACKS}
    assert min(shares.values()) >= LEAST, shares
    assert all(decided[name] > BEFORE[name] for name in ATTACKS)
