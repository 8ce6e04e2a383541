"""What `halo eval` is asked, checked before anything is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo.completions.evaluating import Evaluator
from halo.errors import Place, SettingsError
from halo.evaluation.settings import GIVEN, EvaluationSettings
from halo.options import parts
from halo.plugin.registry import choose

Chosen = tuple[Evaluator, Any]
"""An evaluator and its options."""


def check_evaluation(
    which: Sequence[str], targets: Sequence[str], settings: EvaluationSettings
) -> tuple[list[Chosen], list[str], str | None]:
    """The evaluators, all contestants with the baseline first, and the columns that they score where they write nothing.

    Raises HaloError for what cannot be evaluated, before anything is sampled.
    """
    chosen = [_chosen(one) for one in which]
    everyone = [*([settings.against] if settings.against else []), *targets]
    columns = settings.given or (GIVEN if any(one.name == "accuracy" for one, _ in chosen) else None)
    _check(chosen, everyone, columns, settings)
    return chosen, everyone, columns


def _chosen(text: str) -> Chosen:
    name, given = parts(text)
    evaluator: Evaluator = choose("evaluator", name)
    return evaluator, evaluator.with_options(given)


def _check(chosen: Sequence[Chosen], everyone: Sequence[str], columns: str | None, settings: EvaluationSettings) -> None:
    """Raises SettingsError for what an evaluator cannot do without, before anything is sampled."""
    if not everyone and not (columns and (settings.scorer or settings.by)):
        raise SettingsError("missing-key", "whom should it evaluate?", hint="halo eval win RUN --against MODEL --scorer NAME")
    has_scores = bool(settings.scorer or settings.by or columns)
    for evaluator, _ in chosen:
        if "scores" in evaluator.needs and not has_scores:
            hint = "such as --scorer reward-model:model=FOLDER; --by NAME takes scores that are there"
            raise SettingsError("missing-key", f"{evaluator.name} needs scores", place=Place("--scorer"), hint=hint)
        if "baseline" in evaluator.needs and not settings.against:
            raise SettingsError(
                "missing-key", f"{evaluator.name} needs a baseline", place=Place("--against"), hint="a model or folder of samples"
            )
    if settings.name and not settings.scorer:
        raise SettingsError("wrong-value", "it names the scores of a scorer", place=Place("--name"), hint="give --scorer too")
    if settings.scorer and settings.by:
        raise SettingsError("wrong-value", "scores are made or taken", place=Place("--by"), hint="give --scorer or --by, not both")
    if columns is None and settings.reference:
        raise SettingsError("wrong-value", "it is of texts that contestants score", place=Place("--reference"), hint="give --given too")
