"""What this package supplies. halo imports this module and calls what is marked; numpy is imported when measures are made."""

from __future__ import annotations

from halo.plugin import EvaluationContext, Evaluator, Measure, hookimpl


@hookimpl
def halo_evaluators() -> list[Evaluator]:
    return [Evaluator("my-evaluator", "full stops, and words to a sentence", _measures)]


def _measures(context: EvaluationContext) -> list[Measure]:
    from my_evaluator.sentences import measures

    return measures()
