"""The kit on scorers: core's pass, planted mistakes are caught."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from halo.plugin import Completed, CompletionScorer, ScoreGroup, ScorerContext, Verdict
from halo.plugin.registry import choose
from halo.starter.defaults import POLICY
from halo.testing import check_scorer

MODEL = f"model={POLICY},batch_size=3"


@pytest.mark.parametrize(("name", "options"), [("gold", ""), ("likelihood", MODEL), ("implied", f"{MODEL},reference={POLICY},beta=2")])
def test_cores_scorers_pass(name: str, options: str) -> None:
    check_scorer(choose("scorer", name), options)


def length(prompts: list[Any], completions: list[str], completion_ids: list[Any], **columns: Any) -> list[float | None]:
    return [float(len(text)) if text else None for text in completions]


def test_functions_pass_and_get_ids_where_there_are_some() -> None:
    check_scorer(choose("scorer", "function"), {"name": f"{__name__}.length"})


class Right:
    """A sound scorer, which the planted ones differ from in one thing."""

    def __init__(self, context: ScorerContext) -> None:
        pass

    def score(self, groups: Sequence[ScoreGroup]) -> Any:
        return [self.of(group) for group in groups]

    def of(self, group: ScoreGroup) -> Any:
        scores = tuple(self.number(one) for one in group.completions)
        return Verdict(scores, tuple("it says nothing" if score is None else "" for score in scores))

    def number(self, one: Completed) -> Any:
        return float(len(one.text)) if one.text else None


class Dropping(Right):
    """Groups with an empty completion are left out."""

    def score(self, groups: Sequence[ScoreGroup]) -> Any:
        return [self.of(group) for group in groups if all(one.text for one in group.completions)]


class Numbers(Right):
    def of(self, group: ScoreGroup) -> Any:
        return [self.number(one) for one in group.completions]


class Fewer(Right):
    """Only the completions that say something."""

    def of(self, group: ScoreGroup) -> Any:
        return Verdict(tuple(self.number(one) for one in group.completions if one.text))


class Listed(Right):
    def of(self, group: ScoreGroup) -> Any:
        return Verdict([self.number(one) for one in group.completions])  # type: ignore[arg-type]


class Raising(Right):
    def number(self, one: Completed) -> Any:
        return 1 / len(one.text)


class Ascii(Right):
    def number(self, one: Completed) -> Any:
        return float(len(one.text.encode("ascii")))


class Sampled(Right):
    """Cannot do without ids."""

    def number(self, one: Completed) -> Any:
        return float(len(one.ids)) if one.finish else 0.0  # type: ignore[arg-type]


class Long(Right):
    def number(self, one: Completed) -> Any:
        if len(one.text) > 512:
            raise ValueError("too long for the model")
        return float(len(one.text))


class CutOnes(Right):
    def number(self, one: Completed) -> Any:
        return {"end": 1.0, "": 0.0}[one.finish]


class Nan(Right):
    def number(self, one: Completed) -> Any:
        return float(len(one.text)) if one.text else float("nan")


class Tensors(Right):
    def number(self, one: Completed) -> Any:
        return torch.tensor(float(len(one.text)))


class Truths(Right):
    def number(self, one: Completed) -> Any:
        return one.text.isdigit()


class Silent(Right):
    """None without a reason."""

    def of(self, group: ScoreGroup) -> Any:
        return Verdict(tuple(self.number(one) for one in group.completions))


class Excused(Right):
    """Reasons of those alone that have none."""

    def of(self, group: ScoreGroup) -> Any:
        scores = tuple(self.number(one) for one in group.completions)
        return Verdict(scores, ("a number", *("it says nothing" for score in scores if score is None)))


class Parted(Right):
    def of(self, group: ScoreGroup) -> Any:
        return Verdict(super().of(group).scores, super().of(group).reasons, ({"characters": 1.0},))


class Worded(Right):
    def of(self, group: ScoreGroup) -> Any:
        found = super().of(group)
        return Verdict(found.scores, found.reasons, tuple({"text": one.text} for one in group.completions))  # type: ignore[misc]


class FirstPlace(Right):
    """The position counts, as with a judge that likes what stands first."""

    def of(self, group: ScoreGroup) -> Any:
        return Verdict(tuple(1.0 / (1 + place) for place in range(len(group.completions))))


class Ranking(Right):
    """How many of the group are shorter."""

    def of(self, group: ScoreGroup) -> Any:
        sizes = [len(one.text) for one in group.completions]
        return Verdict(tuple(float(sum(other < size for other in sizes)) for size in sizes))


class Centred(Right):
    """Less the mean of all groups that are asked at once."""

    def score(self, groups: Sequence[ScoreGroup]) -> Any:
        sizes = [len(one.text) for group in groups for one in group.completions]
        return [Verdict(tuple(len(one.text) - sum(sizes) / len(sizes) for one in group.completions)) for group in groups]


class Growing(Right):
    calls = 0

    def number(self, one: Completed) -> Any:
        self.calls += 1
        return float(self.calls)


class Random(Right):
    """The same for the whole life of a scorer, another one for the next."""

    def __init__(self, context: ScorerContext) -> None:
        self.seed = random.random()

    def number(self, one: Completed) -> Any:
        return self.seed


class Nobody(Right):
    def number(self, one: Completed) -> Any:
        return None


def mine(build: Any, **more: Any) -> CompletionScorer:
    return CompletionScorer("mine", "", build, **more)


WRONG: dict[str, tuple[CompletionScorer, str]] = {
    "a group short": (mine(Dropping), "groups; a list with one Verdict for each, in their order"),
    "no verdicts": (mine(Numbers), "a halo.plugin.Verdict"),
    "a score short": (mine(Fewer), "for 5 completions; a tuple with one for each"),
    "a list": (mine(Listed), "a tuple with one for each"),
    "an exception": (mine(Raising), "score raised ZeroDivisionError('division by zero')"),
    "no unicode": (mine(Ascii), "score raised UnicodeEncodeError"),
    "ids alone": (mine(Sampled), "score raised TypeError"),
    "short ones alone": (mine(Long), "score raised ValueError('too long for the model')"),
    "whole ones alone": (mine(CutOnes), "score raised KeyError('length')"),
    "no number": (mine(Nan), "has the score nan for ''; a finite float, or None with its reason"),
    "tensors": (mine(Tensors), "has the score tensor("),
    "truths": (mine(Truths), "a finite float, or None with its reason"),
    "no reason": (mine(Silent), "has no score for '' and the reason ''"),
    "reasons out of place": (mine(Excused), "a tuple with one for each, or ()"),
    "parts of one alone": (mine(Parted), "has the parts ({'characters': 1.0},) for 3 completions"),
    "words as parts": (mine(Worded), "a mapping from name to finite number"),
    "the order": (mine(FirstPlace), "the order of a group's completions permutes its scores"),
    "the group in silence": (mine(Ranking), "relative=True says that a score is how a completion stands among those of its group"),
    "the batch at large": (mine(Centred, relative=True), "each group asked alone a completion has the score"),
    "state between calls": (mine(Growing), "asked again a completion has the score"),
    "chance": (mine(Random), "asked anew a completion has the score"),
    "no number at all": (mine(Nobody), "not one of"),
    "builds none": (mine(lambda context: None), "has no `score(groups)`"),
    "nothing at once": (mine(Right, at_once=0), "at_once is 0; how many groups one call takes, from 1"),
    "a tuple for a manifest": (mine(Right, about=lambda options: {"layers": (1, 2)}), "which a manifest keeps as they are"),
    "an object for a manifest": (mine(Right, about=lambda options: {"folder": POLICY}), "which a manifest keeps as they are"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str) -> None:
    scorer, said = WRONG[case]
    with pytest.raises(AssertionError) as caught:
        check_scorer(scorer)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the scorer mine: ")


@pytest.mark.parametrize("scorer", [mine(Right), mine(Ranking, relative=True), mine(Right, at_once=1), mine(Right, at_once=1000)])
def test_sound_ones_pass(scorer: CompletionScorer) -> None:
    check_scorer(scorer)


def test_what_answers_otherwise_each_time_is_held_to_its_form() -> None:
    check_scorer(mine(Growing), at_random=True)
    with pytest.raises(AssertionError, match="has no score for '' and the reason ''"):
        check_scorer(mine(Silent), at_random=True)


def test_all_groups_are_told_before_the_first_is_scored() -> None:
    """As `halo score` tells them, with a line for people."""

    class Prepared(Right):
        told: frozenset[str] = frozenset()

        def prepare(self, groups: Sequence[ScoreGroup], say: Callable[[str], None]) -> None:
            say(f"{len(groups)} groups")
            self.told = frozenset(str(group.prompt) for group in groups)

        def of(self, group: ScoreGroup) -> Any:
            assert str(group.prompt) in self.told
            return super().of(group)

    check_scorer(mine(Prepared, at_once=2))


def test_groups_of_ones_own() -> None:
    """A column that the scorer reads is in each row that it is asked of."""

    class Exact(Right):
        def of(self, group: ScoreGroup) -> Any:
            return Verdict(tuple(float(one.text == group.row["right"]) for one in group.completions))

    prompt = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"})
    texts = tuple(Completed(text, "end") for text in ("4", "5"))
    check_scorer(mine(Exact), groups=[ScoreGroup("0" * 16, prompt, texts, {"right": "4"})])
    with pytest.raises(AssertionError, match=r"score raised KeyError\('right'\)"):
        check_scorer(mine(Exact))
    with pytest.raises(AssertionError, match="each sample group holds two or more completions"):
        check_scorer(mine(Exact), groups=[ScoreGroup("0" * 16, prompt, texts[:1], {"right": "4"})])
