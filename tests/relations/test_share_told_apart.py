"""How many random pairs of shipped objectives `diff` decides: related, told apart with numbers, or undecided; and whether the numbers hold.

`distinct` is told apart as well: one is shown not to be a special case of the other, and the reverse is left open. Of the first 50 pairs
of this order 14 were undecided before kinks, proportions of gradients and sums over the vocabulary were looked at. Of 400 one was
undecided and 35 were `distinct` once the parameters were covered by boxes (`differences/pieces.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations

import pytest
from told_apart import gradients, places

from halo.api.asking import side
from halo.plugin.objectives import find_objective
from halo.relations.relation import Relation, related
from halo.relations.signature import Side

SEED = 17


LIMIT = 60
"""Seconds for a pair: a factoring without end counts as undecided."""


def pairs() -> list[tuple[str, str]]:
    """All pairs that take the same examples, in a seeded order that a further objective does not change."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(find_objective.files()):
        one = side(name)
        needs = one.compiled.declared.needs
        kinds.setdefault(str((str(one.feedback), needs.control, needs.moving)), []).append(name)
    found = [pair for kind in sorted(kinds) for pair in combinations(kinds[kind], 2)]
    return sorted(found, key=lambda pair: hashlib.sha256(f"{SEED} {pair}".encode()).digest())


def answers(first: int, last: int) -> Counter[str]:
    """By word. What differs is shown in numbers, each of which is that of the compiled loss."""
    counts: Counter[str] = Counter()
    for left, right in pairs()[first:last]:
        both = side(left), side(right)
        found = related(*both, LIMIT)
        counts[found.word] += 1
        if found.word in ("different", "distinct"):
            assert found.witness, "what differs is shown in numbers"
            held = [_holds(one, found) for one in both if one.feedback.is_pair and not one.compiled.graph.statistics]
            assert any(held) or not held, (left, right, found.witness)
    return counts


def _holds(one: Side, found: Relation) -> int:
    """How many gradients are printed, which the compiled loss has at the batch that is told."""
    held = 0
    for end in places(found.witness):
        slopes = gradients(one, found.witness, end)
        for name, slope in slopes.items():
            printed = found.witness.get(f"{one.name} d loss/d {name}{end}")
            if printed is not None:
                assert float(printed) == pytest.approx(slope, rel=1e-7, abs=1e-12), (one.name, name, dict(found.witness))  # 12 digits are printed
                held += 1
    return held


def test_a_few_pairs_are_told_apart() -> None:
    counts = answers(0, 24)
    assert counts["undecided"] == 0, counts


@pytest.mark.slow
def test_95_of_100_pairs_are_told_apart() -> None:
    counts = answers(50, 250)
    assert counts["undecided"] <= 10, counts
    assert counts["distinct"] <= 30, counts
