"""Scorers and sampler keep halo's contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from halo_judges.hooks import halo_samplers, halo_scorers
from replying import answers_of, serving

from halo.plugin import CompletionScorer
from halo.testing import check_sampler, check_scorer

SCORERS: dict[str, CompletionScorer] = {scorer.name: scorer for scorer in halo_scorers()}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_CACHE", str(tmp_path / "cache"))


def by_sum(body: dict[str, Any]) -> str:
    """The second, unless the first has the larger sum of letters and is no short one: with flips, and the same every time."""
    first, second = (sum(map(ord, text)) for text in answers_of(body))
    return "[[A]]" if first > second and len(answers_of(body)[0]) > 5 else "[[B]]"


def test_a_judge_keeps_the_contract() -> None:
    with serving(by_sum) as server:
        check_scorer(SCORERS["judge"], f"url={server.url},model=m,limit=100000")


def test_grades_keep_the_contract() -> None:
    with serving(lambda body: f"Score: {1 + len(body['messages'][0]['content']) % 10}") as server:
        check_scorer(SCORERS["grade"], f"url={server.url},model=m,limit=100000")


def test_the_sampler_keeps_the_contract() -> None:
    with serving(lambda body: f"{body['messages'][-1]['content']} {body['seed']}") as server:
        check_sampler(halo_samplers()[0], f"url={server.url},model=m")
