"""An epoch's examples follow from seed, sizes and weights; over the epochs no row is left out for good."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from halo.errors import DataError
from halo.training.data.mixing import WINDOW, Mix, grouped

SETS = ["a"] * 30 + ["b"] * 10


def test_without_weights_every_example_once() -> None:
    assert sorted(Mix(SETS, 3).epoch(0)) == list(range(40))
    assert Mix(SETS, 3).epoch(0) == Mix(SETS, 3).epoch(0) != Mix(SETS, 3).epoch(1)
    assert Mix(SETS, None).epoch(7) == list(range(40))


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.integers(0, 5))
def test_weights_are_shares_and_laps_are_whole(wa: float, wb: float, seed: int) -> None:
    mix = Mix(SETS, seed, {"a": wa, "b": wb})
    epochs = [mix.epoch(i) for i in range(4)]
    for epoch in epochs:
        assert len(epoch) == 40
        share = sum(SETS[i] == "a" for i in epoch)
        assert abs(share - 40 * wa / (wa + wb)) <= 1
    for name in "ab":  # no row is seen twice more often than another of its set
        seen = Counter(i for epoch in epochs for i in epoch if SETS[i] == name)
        times = [seen[i] for i, source in enumerate(SETS) if source == name]
        assert max(times) - min(times) <= 1


def test_without_a_seed_each_set_keeps_its_order() -> None:
    epoch = Mix(SETS, None, {"a": 3, "b": 1}).epoch(0)
    assert [i for i in epoch if SETS[i] == "a"] == list(range(30))
    assert [i for i in epoch if SETS[i] == "b"] == list(range(30, 40))
    assert epoch != list(range(40))


@pytest.mark.parametrize("weights", [{"a": 1, "c": 1}, {"a": 1, "b": 1e-9}], ids=["there is none", "too light"])
def test_a_set_that_would_never_be_seen_is_an_error(weights: dict[str, float]) -> None:
    with refused(DataError, "no-rows", at="data"):
        Mix(SETS, 3, weights)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=700), st.integers(1, 8))
def test_groups_are_of_like_length_and_nothing_is_lost(lengths: list[int], per_step: int) -> None:
    order = grouped(range(len(lengths)), lengths, per_step, 1, 0)
    assert sorted(order) == list(range(len(lengths)))
    if len(lengths) >= per_step:
        assert max(lengths[i] for i in order[:per_step]) == max(lengths) or len(lengths) % per_step  # the longest come first
    if len(lengths) <= WINDOW * per_step:  # of one window no two steps overlap in length
        steps = sorted(([lengths[i] for i in order[k : k + per_step]] for k in range(0, len(order), per_step)), key=lambda s: (-max(s), -min(s)))
        assert all(min(a) >= max(b) for a, b in itertools.pairwise(steps))
