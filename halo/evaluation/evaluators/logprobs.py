"""What measures of log-probs have in common: they read the parts of a likelihood, answer by answer or token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from halo.completions.evaluating import Answer, Asked, Values
from halo.errors import Place, SettingsError

Nats = tuple[float, float]
"""Of an answer: nats in all, and its tokens."""
OfAnswer = Callable[[Answer], Nats]


def of_answers(nats: OfAnswer, number: Callable[[Nats], float]) -> Callable[[Asked], list[Values | None]]:
    """The mean over a prompt's answers of a number of each; None where one has no score."""

    def of(asked: Asked) -> list[Values | None]:
        return [(fmean(map(number, told)),) if (told := _told(answers, nats)) else None for answers in asked.answers]

    return of


def of_tokens(nats: OfAnswer) -> Callable[[Asked], list[Values | None]]:
    """Nats and tokens of all of a prompt's answers; None where one has no score."""

    def of(asked: Asked) -> list[Values | None]:
        found: list[Values | None] = []
        for answers in asked.answers:
            told = _told(answers, nats)
            found.append((sum(total for total, _ in told), sum(count for _, count in told)) if told else None)
        return found

    return of


def _told(answers: Sequence[Answer], nats: OfAnswer) -> list[Nats]:
    """Of every answer; nothing where one has no score."""
    if any(answer.score is None for answer in answers):
        return []
    return [nats(answer) for answer in answers]


def check_log_probs(answer: Answer, what: str, hint: str) -> None:
    """Raises SettingsError where the scores are of no likelihood."""
    if "logp" not in answer.parts:
        message = f"{what} is of log-probs, which these scores are not"
        raise SettingsError("wrong-value", message, place=Place("--scorer"), hint=hint)
