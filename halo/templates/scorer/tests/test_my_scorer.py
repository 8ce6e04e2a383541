"""my-scorer keeps halo's contract for scorers, and counts as it says."""

from __future__ import annotations

import pytest
import torch
from my_scorer.hooks import halo_scorers

from halo.plugin import Completed, ScoreGroup, ScorerContext, SettingsError
from halo.testing import check_scorer

(SCORER,) = halo_scorers()


@pytest.mark.parametrize("options", ["", "words=2"])
def test_it_keeps_the_contract(options: str) -> None:
    check_scorer(SCORER, options)


def test_words_are_counted() -> None:
    texts = ("two words", "now three words", "", "one\nbelow another")
    group = ScoreGroup("0" * 16, "How many?", tuple(Completed(text, "end") for text in texts), {})
    context = ScorerContext(SCORER.with_options({"words": 2}), torch.device("cpu"))
    (verdict,) = SCORER.build(context).score([group])
    assert verdict.scores == (0, -1, None, -1)
    assert verdict.reasons[2] == "the answer has no words"


def test_no_words_are_no_target() -> None:
    with pytest.raises(SettingsError, match="words=0 is not a whole number from 1"):
        SCORER.with_options({"words": 0})
