"""The kit on evaluators: core's pass, planted mistakes are caught."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from halo.builtin import halo_evaluators
from halo.plugin import Answer, Asked, Completed, EvaluationContext, Evaluator, Measure, SettingsError, exp_ratio, mean, ratio
from halo.testing import check_evaluator

CORE = {one.name: one for one in halo_evaluators()}


@pytest.mark.parametrize("name", CORE)
def test_cores_evaluators_pass(name: str) -> None:
    check_evaluator(CORE[name])


def each(number: Callable[[Sequence[Answer]], Any]) -> Callable[[Asked], list[Any]]:
    """Of a contestant that said something."""
    return lambda asked: [number(answers) if answers else None for answers in asked.answers]


def words(answers: Sequence[Answer]) -> tuple[float, ...]:
    return (fmean(len(one.text.split()) for one in answers),)


def both(answers: Sequence[Answer]) -> tuple[float, ...]:
    return float(sum(len(one.text.split()) for one in answers)), float(len(answers))


RIGHT = each(words)


def measured(*measures: Measure) -> Callable[[EvaluationContext], list[Measure]]:
    return lambda context: list(measures)


def mine(of: Any, needs: Any = frozenset(), **more: Any) -> Evaluator:
    return Evaluator("mine", "", measured(Measure("words", "words of an answer", of, **more)), needs=needs)


def growing() -> Callable[[Asked], list[Any]]:
    """Counts how often it was asked."""
    calls = itertools.count()
    return each(lambda answers: (float(next(calls)),))


def ranking(context: EvaluationContext) -> list[Measure]:
    """Among the prompts that it has seen: made anew it begins anew."""
    seen: list[float] = []
    places: dict[str, float] = {}

    def of(asked: Asked) -> list[Any]:
        seen.append(len(asked.key))
        place = places.setdefault(asked.key, float(len(seen)))
        return [(place,) if answers else None for answers in asked.answers]

    return [Measure("rank", "the order of prompts", of)]


def drawn(context: EvaluationContext) -> list[Measure]:
    return [Measure(f"words {random.random()}", "words of an answer", RIGHT)]


def changing(asked: Asked) -> list[Any]:
    asked.row["seen"] = True  # type: ignore[index]
    return RIGHT(asked)


def refused(asked: Asked) -> list[Any]:
    raise SettingsError("wrong-value", "these are no log-probs")


def baselined(asked: Asked) -> list[Any]:
    """The first contestant, whoever it is."""
    first = asked.answers[0]
    return [(float(len(answers[0].text) - len(first[0].text)),) if answers and first else None for answers in asked.answers]


def placed(asked: Asked) -> list[Any]:
    return [(float(place),) if answers else None for place, answers in enumerate(asked.answers)]


def scored(answers: Sequence[Answer]) -> tuple[float, ...]:
    return (fmean(one.score for one in answers),)  # type: ignore[misc]


def imputed(answers: Sequence[Answer]) -> tuple[float, ...]:
    return (fmean(one.score or 0.0 for one in answers),)


def lengths(answers: Sequence[Answer]) -> tuple[float, ...]:
    return tuple(float(len(one.text)) for one in answers)


def unweighted(weights: Any, values: Any) -> Any:
    return np.full(len(weights), values[:, 0].mean())


def unnormalized(weights: Any, values: Any) -> Any:
    return weights @ values[:, 0] / len(values)


def one_number(weights: Any, values: Any) -> Any:
    return float((weights @ values[:, 0])[0])


def positional(weights: Any, values: Any) -> Any:
    return weights @ (values[:, 0] * np.arange(len(values))) / weights.sum(1)


def together(weights: Any, values: Any) -> Any:
    found = mean(weights, values)
    return found - found.mean() * (len(weights) > 1)


SCORES: Any = frozenset({"scores"})

WRONG: dict[str, tuple[Evaluator, str]] = {
    "nothing": (Evaluator("mine", "", lambda context: []), "gives []; a list of halo.plugin.Measure, of one at least"),
    "no measures": (Evaluator("mine", "", lambda context: ["words"]), "a list of halo.plugin.Measure"),  # type: ignore[list-item]
    "two of a name": (Evaluator("mine", "", measured(Measure("a", "b", RIGHT), Measure("a", "c", RIGHT))), "two measures are called a"),
    "no meaning": (Evaluator("mine", "", measured(Measure("a", " ", RIGHT))), "name and meaning are a line each, for people"),
    "other names each time": (Evaluator("mine", "", drawn), "gives other measures when it is called again"),
    "no curve": (mine(RIGHT, curve="best of n"), "has the curve 'best of n'; (name, where)"),
    "an unknown need": (mine(RIGHT, needs=frozenset({"judges"})), "needs judges; it may need scores and a baseline"),
    "a contestant short": (mine(lambda asked: RIGHT(asked)[1:]), "for 3 contestants; a list with one entry for each"),
    "numbers": (mine(each(lambda answers: words(answers)[0])), "a tuple of finite float, or None"),
    "no number": (mine(each(lambda answers: (float("nan"),))), "gives (nan,); a tuple of finite float, or None"),
    "truths": (mine(each(lambda answers: (answers[0].text.endswith("."),))), "a tuple of finite float, or None"),
    "several without a statistic": (mine(each(lengths)), "is a mean of one number; more need a `statistic` of their own"),
    "several and the mean": (mine(each(both), statistic=mean), "is a mean of one number"),
    "more than all": (mine(RIGHT, share=True), "is a share and gives"),
    "a ratio above one": (mine(each(both), statistic=ratio, share=True), "is a share and comes to"),
    "an exception": (mine(lambda asked: [words(answers) for answers in asked.answers]), "raised StatisticsError"),
    "no scores": (mine(each(scored), needs=SCORES), "raised TypeError"),
    "scores that it says it does without": (mine(each(scored)), "raised TypeError"),
    "scores made up": (mine(each(imputed), needs=SCORES), "to a contestant that has no scores; None: it is left out and counted"),
    "silence is nought": (mine(lambda asked: [words(answers) if answers else (0.0,) for answers in asked.answers]), "to a contestant that gave no answer"),
    "state between prompts": (mine(growing()), "gives other values when prompts are asked again"),
    "the other prompts": (Evaluator("mine", "", ranking), "gives other values when prompts are asked anew and in reverse order"),
    "a row written to": (mine(changing), "changed the prompt that it was given"),
    "the place": (mine(placed), "when the contestants other than the baseline change places"),
    "a baseline that there is none of": (mine(baselined), "when the contestants change places"),
    "refuses all": (mine(refused), "refuses the sample: these are no log-probs [wrong-value]; give check_evaluator `asked`"),
    "says nothing": (mine(each(lambda answers: None)), "has no value of any sample prompt"),
    "one number for all draws": (mine(RIGHT, statistic=one_number), "gives the shape () for 5 rows of weights; (5,)"),
    "no weights": (mine(RIGHT, statistic=lambda weights: weights), "its statistic raised TypeError"),
    "weights for nothing": (mine(RIGHT, statistic=unweighted), "whichever prompt has all the weight; weigh the prompts"),
    "weights summed": (mine(RIGHT, statistic=unnormalized), "with all weights doubled, and"),
    "the order of prompts": (mine(RIGHT, statistic=positional), "of the prompts in another order, and"),
    "the other draws": (mine(RIGHT, statistic=together), "one row of weights at a time, and"),
    "over nothing": (mine(each(lambda answers: (0.0, 0.0)), statistic=ratio), "its statistic is nan where each prompt counts once"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_planted_mistake_is_caught(case: str) -> None:
    evaluator, said = WRONG[case]
    with pytest.raises(AssertionError) as caught:
        check_evaluator(evaluator)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the evaluator mine: ")


@pytest.mark.parametrize("evaluator", [
    mine(RIGHT),
    mine(each(both), statistic=ratio),
    mine(each(both), statistic=exp_ratio),
    mine(lambda asked: [lengths(answers) or None for answers in asked.answers], statistic=lambda weights, values: mean(weights, np.nanmean(values, 1)[:, None])),
    mine(baselined, needs=frozenset({"baseline"})),
])  # fmt: skip
def test_sound_ones_pass(evaluator: Evaluator) -> None:
    check_evaluator(evaluator)


def test_prompts_of_ones_own() -> None:
    """A column that a measure reads, and answers that are not drawn."""
    texts = [("yes.", "no"), ("no", "no"), ("yes", "yes.")]
    prompts = [
        Asked(f"{k:016x}", f"question {k}", tuple((Answer(Completed(text, "end")),) for text in own), {"right": "yes"})
        for k, own in enumerate(texts)
    ]
    evaluator = mine(lambda asked: [(float(a[0].text == asked.row["right"]),) if a else None for a in asked.answers], share=True)
    check_evaluator(evaluator, asked=prompts)
    with pytest.raises(AssertionError, match=r"raised KeyError\('right'\)"):
        check_evaluator(evaluator)
    with pytest.raises(AssertionError, match="has the answers of two or more contestants"):
        check_evaluator(evaluator, asked=[Asked("0" * 16, "a question", (prompts[0].answers[0],), {})])
