"""What can be seen of the answers themselves: lengths, how many were cut, how varied they are, how many did not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from halo.completions.evaluating import Answer, Asked, EvaluationContext, Measure, Values


def measures(context: EvaluationContext) -> list[Measure]:
    """Distinct-n is of all answers to a prompt together, so that it can be averaged over prompts: of more answers it is lower."""
    found = [
        Measure("characters", "of an answer", _each(lambda answers: fmean(len(answer.text) for answer in answers))),
        Measure("words", "of an answer, parted at white space", _each(lambda answers: fmean(len(one.text.split()) for one in answers))),
        Measure("cut", "answers that were cut at their length", _each(_cut), share=True),
    ]
    for size in (1, 2):
        meaning = f"different {size}-grams of words over all, of the answers to a prompt (arXiv:1510.03055, section 5.2, prompt by prompt)"
        found.append(Measure(f"distinct-{size}", meaning, _each(_distinct(size)), share=True))
    if context.baseline:
        meaning = "answers that are the baseline's of the same index, letter by letter"
        found.append(Measure("unchanged", meaning, _unchanged, share=True, paired=False))
    return found


def _each(number: Callable[[Sequence[Answer]], float | None]) -> Callable[[Asked], list[Values | None]]:
    def of(asked: Asked) -> list[Values | None]:
        found: list[Values | None] = []
        for answers in asked.answers:
            one = number(answers) if answers else None
            found.append(None if one is None else (float(one),))
        return found

    return of


def _cut(answers: Sequence[Answer]) -> float | None:
    """Of sampled answers: nobody knows of others."""
    if any(answer.completed.finish == "" for answer in answers):
        return None
    return fmean(answer.completed.finish == "length" for answer in answers)


def _distinct(size: int) -> Callable[[Sequence[Answer]], float | None]:
    def number(answers: Sequence[Answer]) -> float | None:
        grams = []
        for answer in answers:
            words = answer.text.split()
            grams += [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
        return len(set(grams)) / len(grams) if grams else None

    return number


def _unchanged(asked: Asked) -> list[Values | None]:
    baseline, *others = asked.answers
    found: list[Values | None] = [None]
    for answers in others:
        both = list(zip(answers, baseline, strict=False))
        found.append((fmean(one.text == other.text for one, other in both),) if both else None)
    return found
