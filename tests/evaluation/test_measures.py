"""What each evaluator measures of one prompt, by hand."""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any

import pytest

from halo.builtin import halo_evaluators
from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values
from halo.completions.scoring import Completed
from halo.errors import SettingsError

EVALUATORS = {one.name: one for one in halo_evaluators()}
CLOSE = 1e-12
"""Of a few float64 operations in another order."""


def answers(*scores: float | None, text: str = "an answer", **more: Any) -> tuple[Answer, ...]:
    return tuple(Answer(Completed(f"{text} {place}", "end"), score, **more) for place, score in enumerate(scores))


def asked(*each: tuple[Answer, ...]) -> Asked:
    return Asked("0" * 16, "a prompt", each)


def measures(name: str, n: int = 4, relative: bool = False, **options: Any) -> dict[str, Measure]:
    evaluator = EVALUATORS[name]
    context = EvaluationContext(("base", "ours"), True, n, "reward", relative, evaluator.with_options(options))
    return {measure.name: measure for measure in evaluator.measures(context)}


def of(name: str, prompt: Asked, **more: Any) -> dict[str, list[Values | None]]:
    return {measure: list(found.of(prompt)) for measure, found in measures(name, **more).items()}


def test_the_mean_of_a_prompts_scores() -> None:
    found = of("candidates", asked(answers(1, 2, 4.5), answers(0, 0, 0)))
    assert found["mean"] == [(fmean([1, 2, 4.5]),), (0,)]
    assert found["std"] == [(stdev([1, 2, 4.5]),), (0,)]
    assert found["max"] == [(4.5,), (0,)]
    assert of("candidates", asked(answers(3)))["std"] == [None]  # one answer has no spread


def test_an_answer_without_a_score_leaves_its_prompt_out() -> None:
    """The mean of the others would be of other answers."""
    found = of("reward", asked(answers(1, None), answers(None), answers(2, 3)))
    assert found["mean score"] == [None, None, (2.5,)]


def test_wins_ties_and_losses_are_against_the_baselines_answer_of_the_same_index() -> None:
    found = of("win", asked(answers(1, 2, 3, 4), answers(2, 2, 1, 5)))
    assert {name: found[name][1] for name in ("win rate", "win", "tie", "loss")} == {
        "win rate": (0.625,), "win": (0.5,), "tie": (0.25,), "loss": (0.25,),
    }  # fmt: skip
    assert all(found[name][0] is None for name in ("win rate", "win", "tie", "loss"))


def test_a_comparison_without_a_score_leaves_its_prompt_out() -> None:
    found = of("win", asked(answers(1, None), answers(2, 2)))
    assert found["win rate"] == [None, None]
    assert found["rank"] == [None, None]


def test_ranks_are_shared_by_equal_answers() -> None:
    found = of("win", asked(answers(1, 3), answers(2, 3), answers(2, 0)))
    assert found["rank"] == [((3 + 1.5) / 2,), ((1.5 + 1.5) / 2,), ((1.5 + 3) / 2,)]


def test_length_stands_beside_the_win() -> None:
    base = (Answer(Completed("12345", "end"), 0.0), Answer(Completed("12345", "end"), 1.0), Answer(Completed("1", "end"), 1.0))
    ours = (Answer(Completed("1234567", "end"), 1.0), Answer(Completed("12", "end"), 0.5), Answer(Completed("1", "end"), 2.0))
    found = of("win", asked(base, ours))
    assert found["longer by"][1] == (fmean([2, -3, 0]),)
    assert found["longer wins"][1] == (2, 2)  # of the two decided ones of unequal length the longer answer won both
    assert found["win rate, length-controlled"][1] == (1, 2, 0, -3, 1, 0)


def test_flips_are_those_that_the_scorer_says() -> None:
    told = [{"flips": 1.0}, {"flips": 0.0}]
    ours = tuple(Answer(Completed("a", "end"), 1.0, parts) for parts in told)
    assert of("win", asked(answers(0, 0), ours), relative=True)["flips"] == [None, (1, 2)]
    assert "flips" not in of("win", asked(answers(0, 0), ours))


def test_the_curve_of_best_of_n_ends_at_the_best_of_all() -> None:
    found = of("best-of-n", asked(answers(0, 1, 5, 2, 3, drawn=-3.0)), n=5)
    assert [name for name in found if name.startswith("best")] == ["best of 1", "best of 2", "best of 4", "best of 5"]
    assert found["best of 1"] == [(pytest.approx(2.2),)]
    assert found["best of 5"] == [(5,)]


def test_the_kl_is_of_samples_without_ties_alone() -> None:
    distinct, tied = answers(1, 2, drawn=-2.0), answers(1, 1, drawn=-2.0)
    found = of("best-of-n", asked(distinct, tied, answers(1, 2)), n=2)
    e = math.exp(-2)  # the estimator as arXiv:2401.01879 prints it
    rest = (1 - e) ** 2
    assert found["KL of 2"][0] == (pytest.approx(rest * (math.log(2) + math.log(1 - e) - 0.5) + (1 - rest) * math.log((1 - rest) / e)),)
    assert found["KL of 2"][1:] == [None, None]


def test_pass_at_k_counts_from_the_threshold_on() -> None:
    found = of("pass-at-k", asked(answers(0.2, 0.5, 0.9, 0.1)), threshold=0.5)
    assert found["pass@1"] == [(0.5,)]
    assert found["pass@2"] == [(pytest.approx(1 - 1 / 6),)]
    assert found["pass@4"] == [(1,)]


def test_accuracy_is_of_the_columns_from_the_better_to_the_worse() -> None:
    found = of("accuracy", asked(answers(2, 1), answers(1, 2), answers(1, 1), answers(3, 1, 1)))
    assert found["accuracy"] == [(1,), (0,), (0.5,), (pytest.approx(2.5 / 3),)]
    assert found["accuracy, ties lost"] == [(1,), (0,), (0,), (pytest.approx(2 / 3),)]


def test_perplexity_is_over_texts_and_over_tokens() -> None:
    told = [(-2.0, 4), (-9.0, 3)]
    texts = tuple(Answer(Completed("a", ""), logp / count, {"logp": logp, "tokens": count}) for logp, count in told)
    found = of("perplexity", asked(texts))
    assert found["mean of perplexities"] == [(pytest.approx((math.exp(0.5) + math.exp(3)) / 2),)]
    assert found["perplexity of all tokens"] == [(11, 7)]


def test_numbers_that_are_no_log_probs_are_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="these scores are not"):
        of("perplexity", asked(answers(1.0)))
    with pytest.raises(SettingsError, match="these scores are not"):
        of("kl", asked(answers(1.0, drawn=-1.0, own=True)))


def test_the_kl_is_of_own_samples_alone() -> None:
    parts = {"logp": -5.0, "tokens": 4}
    assert of("kl", asked((Answer(Completed("a", "end"), -1.25, parts, -3.0, True),)))["KL"] == [(2.0,)]
    with pytest.raises(SettingsError, match="were drawn from another"):
        of("kl", asked((Answer(Completed("a", "end"), -1.25, parts, -3.0, False),)))


def test_texts_are_counted() -> None:
    base = (Answer(Completed("a b a b", "end")), Answer(Completed("a", "length")))
    ours = (Answer(Completed("a b a b", "end")), Answer(Completed("c", "end")))
    found = of("texts", asked(base, ours))
    assert found["characters"][0] == (4,)
    assert found["words"][0] == (2.5,)
    assert found["cut"] == [(0.5,), (0,)]
    assert found["distinct-1"][0] == (2 / 5,)
    assert found["distinct-2"][0] == (2 / 3,)
    assert found["unchanged"] == [None, (0.5,)]
    assert of("texts", asked((Answer(Completed("given", "")),)))["cut"] == [None]  # nobody knows how a given text ended
