"""Kinds of feedback: one object each, which says what rooms ask, and takes kinds that are not there yet."""

from __future__ import annotations

import copy
import pickle
import re
from math import inf
from pathlib import Path
from typing import get_args

import pytest
from refusals import refused

from halo.data.examples import Example
from halo.errors import Place, PluginError
from halo.objective.feedback import (
    DEMONSTRATIONS,
    FEEDBACK,
    LABELLED,
    PAIRED,
    PROMPTS,
    RANKED,
    SCORED,
    Feedback,
    FeedbackName,
    Pick,
    data_kinds,
    kind_of,
)
from halo.objective.loading import load
from halo.plugin import DataFormat
from halo.plugin.objectives import find_objective

LANGUAGE = Path(__file__).resolve().parents[2] / "docs" / "language.md"


def test_every_kind_may_be_written() -> None:
    assert tuple(FEEDBACK) == get_args(FeedbackName)


def test_the_language_page_has_a_row_for_every_kind() -> None:
    assert re.findall(r"^\| `(\w+)` \| (?:\d|the same)", LANGUAGE.read_text(), flags=re.M) == list(FEEDBACK)


@pytest.mark.parametrize("kind", FEEDBACK.values(), ids=str)
def test_a_kind_is_whole(kind: Feedback) -> None:
    assert set(kind.roles.values()) <= set(kind.slots)
    assert {*kind.labels, *(kind.default_role or ()), *(kind.swap or ())} <= set(kind.roles)
    assert bool(kind.default_role) != bool(kind.role_hint), "a term says its role, or there is one"
    assert all(FEEDBACK[name].read_from is FEEDBACK[name] for name in kind.conversions)
    assert load(kind.objective, find_objective).declaration.kind is kind


@pytest.mark.parametrize("kind", FEEDBACK.values(), ids=str)
def test_a_copy_is_the_kind_itself(kind: Feedback) -> None:
    assert copy.deepcopy(kind) is pickle.loads(pickle.dumps(kind)) is kind_of(str(kind)) is kind_of(kind) is kind


def test_what_the_kinds_say() -> None:
    asked = {
        "is_pair": [PAIRED],
        "is_list": [RANKED, SCORED],
        "has_ranks": [RANKED, SCORED],
        "compares": [PAIRED, RANKED, SCORED],
        "labels": [LABELLED],
        "imitates": [DEMONSTRATIONS],
        "has_scores": [SCORED],
        "swap": [PAIRED, RANKED],
    }
    assert {what: [kind for kind in FEEDBACK.values() if getattr(kind, what)] for what in asked} == asked
    assert data_kinds() == (DEMONSTRATIONS, LABELLED, PAIRED, RANKED)
    assert SCORED.read_from is RANKED
    assert [(kind.place_of("rejected", 0), kind.place_of("completion", 2)) for kind in (PAIRED, RANKED)] == [(1, 2), (0, 2)]


def test_conversions_pick_completions() -> None:
    ranks = (2, 1, 2, 3)

    def picks(kind: Feedback, to: str, *marks: object) -> list[Pick]:
        return list(kind.conversions[to].picks(*marks))  # type: ignore[arg-type]

    assert picks(PAIRED, "labelled", (), None) == [Pick((0,), desirable=True), Pick((1,), desirable=False)]
    assert picks(PAIRED, "ranked", (), None) == [Pick((0, 1), ranks=(1, 2))]
    assert [pick.completions for pick in picks(RANKED, "paired", ranks, None)] == [(0, 3), (1, 0), (1, 2), (1, 3), (2, 3)]
    assert picks(RANKED, "labelled", ranks, None) == [Pick((1,), desirable=True), Pick((3,), desirable=False)]
    assert picks(RANKED, "labelled", (1, 1), None) == picks(LABELLED, "demonstrations", (), False) == []


def test_a_name_is_taken_for_a_kind() -> None:
    example = Example("paired", "2 + 2 =", (" 4", " 5"), Place("row"))  # type: ignore[arg-type]
    form = DataFormat("mine", "paired", ("question",), lambda row, place: example)  # type: ignore[arg-type]
    assert example.kind is form.kind is PAIRED
    assert example == Example(PAIRED, "2 + 2 =", (" 4", " 5"), Place("row"))
    with refused(PluginError, "plugin"):
        DataFormat("mine", "pairs", ("question",), lambda row, place: example)  # type: ignore[arg-type]


def test_kinds_of_samples() -> None:
    """Prompts alone, of data and of no objective; groups of sampled answers of varying size with a score each, and no order given."""
    prompts = PROMPTS
    assert copy.deepcopy(prompts) is kind_of("prompts") is prompts
    assert prompts.name not in FEEDBACK
    assert (SCORED.count, RANKED.count) == ((1, inf), (2, inf))
    groups = Feedback(
        name="groups", meaning="sampled completions of one prompt", completions=("completion",), is_list=True, roles={"completion": "completion"},
        default_role=("completion",), has_scores=True,
    )  # fmt: skip
    assert (prompts.slots, prompts.count, prompts.compares, prompts.has_ranks) == ((), (0, 0), False, False)
    assert (groups.several("completion"), groups.has_ranks, groups.marks, groups.swap) == (True, False, (), None)
