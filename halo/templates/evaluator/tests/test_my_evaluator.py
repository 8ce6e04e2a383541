"""my-evaluator keeps halo's contract for evaluators, and counts as it says."""

from __future__ import annotations

import numpy as np
from my_evaluator.hooks import halo_evaluators
from my_evaluator.sentences import measures

from halo.plugin import Answer, Asked, Completed
from halo.testing import check_evaluator

STOPS, WORDS = measures()


def asked(*each: tuple[str, ...]) -> Asked:
    answers = tuple(tuple(Answer(Completed(text, "end")) for text in texts) for texts in each)
    return Asked("0" * 16, "a question", answers)


def test_it_keeps_the_contract() -> None:
    (evaluator,) = halo_evaluators()
    check_evaluator(evaluator)


def test_full_stops_are_counted() -> None:
    assert STOPS.of(asked(("Yes.", "No"), ("Why? ", "So. "), ())) == [(0.5,), (0.5,), None]


def test_a_long_answer_counts_for_more() -> None:
    """Sentences of 1 word, and of 5 and 3: 9 words over 3 sentences, not the mean of 1 and 4."""
    rows = [WORDS.of(asked(("Yes.",)))[0], WORDS.of(asked(("It is even, of course. Do you see?",)))[0]]
    assert rows == [(1, 1), (8, 2)]
    assert WORDS.statistic
    assert WORDS.statistic(np.ones((1, 2)), np.array(rows)) == [3]
