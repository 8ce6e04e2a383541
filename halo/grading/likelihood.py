"""The mean log-prob of a completion's tokens under a model: RRHF's p_i (arXiv:2304.05302, equation 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.data.examples import Example
from halo.data.text.template import Template
from halo.data.tokenized import Sampled, TokenizedExample, from_ids
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import Place
from halo.grading.model import as_text, named_model
from halo.objective.feedback import DEMONSTRATIONS
from halo.scoring.packed import register
from halo.scoring.rows import build_rows, scored_counts
from halo.scoring.scorer import Scorer
from halo.training.model.loading import load_model

EMPTY = "with an empty completion"
"""As it is said of a text, so of ids of which a stop text left none."""
Told = list[list[TokenizedExample | str]]
"""Of every group and completion the ids, or why there are none."""


class Likelihood:
    """Of the ids that were sampled, at temperature 1; of a text, its ids and the token that ends it. Parts: `logp` in all, `tokens`."""

    def __init__(self, context: ScorerContext) -> None:
        settings, self.template = named_model(context, "likelihood")
        self.model = Summing(load_model(str(settings.model_name_or_path), settings), context)

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        return [means(told) for told in self.model.sums(examples_of(groups, self.template))]


class Summing:
    """A model that says how likely completions are."""

    def __init__(self, model: Any, context: ScorerContext) -> None:
        model = model.to(context.device).eval()
        register(model)
        self.scorer, self.size, self.device = Scorer(model, "auto"), context.options.batch_size, context.device

    @torch.no_grad()
    def sums(self, told: Told) -> list[list[tuple[float, int] | str]]:
        """Of every group and completion the sum of its log-probs in nats and the number of its tokens, or why there is none."""
        found: list[list[tuple[float, int] | str]] = [["" if not isinstance(one, str) else one for one in group] for group in told]
        waiting = [(number, place, one) for number, group in enumerate(told) for place, one in enumerate(group) if not isinstance(one, str)]
        for start in range(0, len(waiting), self.size):
            batch = waiting[start : start + self.size]
            for (number, place, _), total in zip(batch, self._totals([one for _, _, one in batch]), strict=True):
                found[number][place] = total
        return found

    def _totals(self, examples: list[TokenizedExample]) -> Iterator[tuple[float, int]]:
        rows, _ = build_rows(examples, ("completion",))
        logps = self.scorer(rows.to(self.device))["logp"].double().cpu()
        counts = [count for example in examples for count in scored_counts(example, "completion")]
        for part, count in zip(logps.split(counts), counts, strict=True):
            yield float(part.sum()), count


def examples_of(groups: Sequence[ScoreGroup], template: Template) -> Told:
    """What is scored is what is trained on."""
    return [[_example(group, place, template) for place in range(len(group.completions))] for group in groups]


def _example(group: ScoreGroup, place: int, template: Template) -> TokenizedExample | str:
    one, where = group.completions[place], Place(f"prompt {group.key}")
    if one.ids is not None and not one.ids:
        return EMPTY
    if one.ids is not None and group.prompt_ids:
        return from_ids(DEMONSTRATIONS, group.prompt_ids, [Sampled(one.ids, one.finish)], where)
    example = Example(DEMONSTRATIONS, as_text(group.prompt), (one.text,), where)
    return tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), template))


def means(told: Sequence[tuple[float, int] | str]) -> Verdict:
    """The mean of each, and what it is the mean of."""
    scores, reasons, parts = list[float | None](), list[str](), list[dict[str, float]]()
    for one in told:
        if isinstance(one, str):
            scores.append(None)
            reasons.append(one)
            parts.append({})
        else:
            scores.append(one[0] / one[1])
            reasons.append("")
            parts.append({"logp": one[0], "tokens": one[1]})
    return Verdict(tuple(scores), tuple(reasons), tuple(parts))
