"""What this package supplies. The client is imported when something is asked."""

from __future__ import annotations

from typing import Any

from halo.plugin import Command, CompletionScorer, Judging, Sampler, SamplerContext, Sampling, ScorerContext, hookimpl
from halo_judges.options import Asked, Human, Writes

EVERY_GROUP = 1 << 20
"""Groups in one call: as many as there are."""


@hookimpl
def halo_scorers() -> list[CompletionScorer]:
    judge = "a model behind an endpoint says which of two answers is better, asked in both orders: the share that a completion wins"
    grade = "a model behind an endpoint grades each answer from 1 to 10"
    human = "people say on a blind sheet which of two answers is better: the share that a completion wins"
    return [
        CompletionScorer("judge", judge, _judge, Asked, _about_judge, EVERY_GROUP, relative=True, reaches_out=True),
        CompletionScorer("grade", grade, _grade, Asked, _about_grade, EVERY_GROUP, reaches_out=True),
        CompletionScorer("human", human, _human, Human, _about_human, EVERY_GROUP, relative=True),
    ]


@hookimpl
def halo_samplers() -> list[Sampler]:
    meaning = "a model behind an endpoint writes texts, which cannot be repeated: no ids, and a completion may depend on what else is asked"
    return [Sampler("endpoint", meaning, _writer, Writes, writes=False, reaches_out=True)]


@hookimpl
def halo_commands() -> list[Command]:
    return [Command("sheet", "a blind sheet, on which people say which of two answers is better", _sheet)]


def _judge(context: ScorerContext) -> Judging:
    from halo_judges.judge import Judge

    return Judge(context)


def _grade(context: ScorerContext) -> Judging:
    from halo_judges.grade import Grade

    return Grade(context)


def _human(context: ScorerContext) -> Judging:
    from halo_judges.people.human import People

    return People(context)


def _writer(context: SamplerContext) -> Sampling:
    from halo_judges.sampler import Writer

    return Writer(context)


def _about_judge(options: Asked) -> dict[str, Any]:
    from halo_judges.templates import PAIR, about

    return about(options, PAIR)


def _about_grade(options: Asked) -> dict[str, Any]:
    from halo_judges.templates import SINGLE, about

    return about(options, SINGLE)


def _about_human(options: Human) -> dict[str, Any]:
    from halo_judges.people.human import about

    return about(options)


def _sheet(words: list[str]) -> int:
    from halo_judges.people.command import run

    return run(words)
