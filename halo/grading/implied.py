"""The reward that a trained policy implies, beta (log pi - log ref) of the whole completion in nats (arXiv:2305.18290, equation 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.errors import HaloError, Place, SettingsError
from halo.files.regular import read_regular
from halo.grading.likelihood import Summing, examples_of
from halo.grading.model import named_model
from halo.grading.options import OfImplied
from halo.objective.loading import load
from halo.plugin.objectives import find_objective
from halo.starter.defaults import POLICY, model_named
from halo.training.model.loading import check_same_vocabulary, load_model

HERE = Place("--scorer")


class Implied:
    """At temperature 1, of the ids that were sampled, or of a text with the token that ends it. Parts: `logp`, `ref_logp`, `tokens`."""

    def __init__(self, context: ScorerContext) -> None:
        settings, self.template = named_model(context, "implied")
        options: OfImplied = context.options
        reference = reference_of(options)
        check_same_vocabulary(self.template.tokenizer, reference, settings)
        self.beta = beta_of(options)
        self.policy = Summing(load_model(str(settings.model_name_or_path), settings), context)
        self.reference = Summing(load_model(reference, settings), context)

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        told = examples_of(groups, self.template)
        return [self._of(*both) for both in zip(self.policy.sums(told), self.reference.sums(told), strict=True)]

    def _of(self, own: Sequence[tuple[float, int] | str], theirs: Sequence[tuple[float, int] | str]) -> Verdict:
        scores, reasons, parts = list[float | None](), list[str](), list[dict[str, float]]()
        for one, other in zip(own, theirs, strict=True):
            if isinstance(one, str) or isinstance(other, str):
                scores.append(None)
                reasons.append(str(one))
                parts.append({})
                continue
            scores.append(self.beta * (one[0] - other[0]))
            reasons.append("")
            parts.append({"logp": one[0], "ref_logp": other[0], "tokens": one[1]})
        return Verdict(tuple(scores), tuple(reasons), tuple(parts))


def reference_of(options: OfImplied) -> str:
    """The reference that the options name, or that the run was trained against. Raises SettingsError."""
    if options.reference:
        return model_named(options.reference)
    hint = "implied:model=RUN,reference=FOLDER_OR_HUB_NAME"
    file = Path(options.model) / "settings.yaml"
    if not file.is_file():
        raise SettingsError("wrong-value", f"{options.model} is no run, and no reference is named", place=HERE, hint=hint)
    told = yaml.safe_load(read_regular(file)) or {}
    name = told.get("reference_model_name_or_path") or told.get("model_name_or_path")
    if name is None:
        return str(POLICY)
    if not Path(str(name)).exists():  # a run says no path of the machine that it ran on
        message = f"the run {options.model} was trained against {str(name)!r}, which is not here under this name"
        raise SettingsError("not-found", message, place=HERE, hint=hint)
    return str(name)


def beta_of(options: OfImplied) -> float:
    """As given, or as the run had it; 1 where it has none."""
    if options.beta is not None:
        return options.beta
    file = Path(options.model) / "objective.yaml"
    if not file.is_file():
        return 1.0
    try:
        parameters = load(str(file), find_objective).declaration.parameters
    except HaloError as problem:
        message = f"{file} cannot be read: {problem.message}"
        raise SettingsError("wrong-value", message, place=HERE, hint="implied:beta=NUMBER says it") from None
    return float(parameters["beta"].default) if "beta" in parameters else 1.0
