"""Random objectives of every family: no proof has a batch against it, no refutation is without one, and no fewer questions are decided.

`HALO_ATTACK_OBJECTIVES=2000` asks about that many instead of those of the ordinary suite, `HALO_ATTACK_SEED` about others.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from attack import outcome
from families import FAMILIES

HOW_MANY = int(os.environ.get("HALO_ATTACK_OBJECTIVES", "300"))
SEED = int(os.environ.get("HALO_ATTACK_SEED", "0"))
EACH = -(-HOW_MANY // len(FAMILIES))
NUMBERS = range(1_000_000 * SEED, 1_000_000 * SEED + EACH)

BASELINE = Path(__file__).parent / "decided.json"
"""By family and check: how many of the questions about the first objectives were decided, and how many there were, before anything was mended.

`wrong_before`: how many verdicts of a family the attack found wrong then.
"""


@pytest.mark.parametrize(("family", "number"), [(family, number) for family in FAMILIES for number in NUMBERS])
def test_nothing_is_against_what_is_said(family: str, number: int) -> None:
    assert dict(outcome(family, number).wrong) == {}


def counts(family: str) -> dict[str, list[int]]:
    """By check: how many questions about a family are decided, and how many there are."""
    asked, decided = Counter[str](), Counter[str]()
    for number in NUMBERS:
        for check, verdict in outcome(family, number).verdicts:
            asked[check] += 1
            decided[check] += verdict != "undecided"
    return {check: [decided[check], asked[check]] for check in sorted(asked)}


@pytest.mark.skipif(SEED != 0 or HOW_MANY != 300, reason="the counts are of the ordinary suite's objectives")
@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_has_fewer_decided_questions(family: str) -> None:
    before, now = json.loads(BASELINE.read_text())["decided"][family], counts(family)
    fewer = {check: (share, now[check]) for check, share in before.items() if now[check][0] * share[1] < share[0] * now[check][1]}
    assert fewer == {}


def test_most_objectives_of_a_family_compile() -> None:
    for family in FAMILIES:
        compiled = sum(outcome(family, number).compiles for number in NUMBERS)
        assert compiled >= 0.7 * EACH, family
