"""The mean log-prob of a completion's tokens under a model: RRHF's p_i (arXiv:2304.05302, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from halo.completions.scoring import ScoreGroup, ScorerContext, Verdict
from halo.data.examples import Example
from halo.data.tokenized import Sampled, TokenizedExample, from_ids
from halo.data.tokenizing import Preparation, tokenize
from halo.errors import Place
from halo.grading.model import as_text, named_model
from halo.objective.feedback import DEMONSTRATIONS
from halo.scoring.packed import register
from halo.scoring.rows import build_rows, scored_counts
from halo.scoring.scorer import Scorer
from halo.training.model.loading import load_model


class Likelihood:
    """Of the ids that were sampled, at temperature 1; of a text, its ids and the token that ends it."""

    def __init__(self, context: ScorerContext) -> None:
        settings, self.template = named_model(context, "likelihood")
        model = load_model(str(settings.model_name_or_path), settings).to(context.device).eval()
        register(model)
        self.scorer, self.size, self.device = Scorer(model, "auto"), context.options.batch_size, context.device

    @torch.no_grad()
    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        found: list[list[float | None]] = []
        reasons: list[list[str]] = []
        waiting: list[tuple[int, int, TokenizedExample]] = []
        for number, group in enumerate(groups):
            found.append([None] * len(group.completions))
            reasons.append([""] * len(group.completions))
            for place in range(len(group.completions)):
                example = self._example(group, place)
                if isinstance(example, str):
                    reasons[number][place] = example
                else:
                    waiting.append((number, place, example))
        for start in range(0, len(waiting), self.size):
            batch = waiting[start : start + self.size]
            for (number, place, _), mean in zip(batch, self._means([one for _, _, one in batch]), strict=True):
                found[number][place] = mean
        return [Verdict(tuple(scores), tuple(why)) for scores, why in zip(found, reasons, strict=True)]

    def _example(self, group: ScoreGroup, place: int) -> TokenizedExample | str:
        one, where = group.completions[place], Place(f"prompt {group.key}")
        if one.ids is not None and group.prompt_ids:
            return from_ids(DEMONSTRATIONS, group.prompt_ids, [Sampled(one.ids, one.finish)], where)
        example = Example(DEMONSTRATIONS, as_text(group.prompt), (one.text,), where)
        return tokenize(example, Preparation(DEMONSTRATIONS, ("completion",), self.template))

    def _means(self, examples: list[TokenizedExample]) -> list[float]:
        rows, _ = build_rows(examples, ("completion",))
        logps = self.scorer(rows.to(self.device))["logp"].float().cpu()
        counts = [count for example in examples for count in scored_counts(example, "completion")]
        return [float(part.mean()) for part in logps.split(counts)]
