"""A sequence classifier with one label as a reward: it reads what is trained on, and sees whether an answer ended."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from halo.completions.scoring import Completed, ScoreGroup, ScorerContext, Verdict
from halo.errors import ModelError, RunFailed
from halo.grading.model import as_text, named_model
from halo.training.model.loading import turn_off_dropout

ALIKE = 1e-3
"""That a reward alone and in a batch may differ by, in float32, of its size and absolutely."""


class RewardModel:
    """Rows are padded on the right with a token that no row holds, and masked: a classifier reads the last token that is no padding, and
    where the padding token ends answers too, it would read the one before the end (an ended and a cut answer were the same).
    """

    def __init__(self, context: ScorerContext) -> None:
        from transformers import AutoModelForSequenceClassification

        settings, self.template = named_model(context, "reward-model")
        name = str(settings.model_name_or_path)
        try:
            more = {"dtype": torch.float32, "trust_remote_code": context.trust_remote_code}
            model = AutoModelForSequenceClassification.from_pretrained(name, **more)
        except Exception as problem:  # transformers raises many kinds; all of them are about what was named
            raise ModelError("model", f"{name} is no sequence classifier: {next(iter(str(problem).splitlines()), '')}") from problem
        if model.config.num_labels != 1:
            raise ModelError("model", f"{name} has {model.config.num_labels} labels, and a reward is one number", hint="give another model")
        turn_off_dropout(model)
        self.model, self.size, self.device = model.to(context.device).eval(), context.options.batch_size, context.device
        self.checked = False

    def score(self, groups: Sequence[ScoreGroup]) -> list[Verdict]:
        rows = [self.ids(group, one) for group in groups for one in group.completions]
        if not self.checked:
            self._check(rows)
        rewards = [reward for start in range(0, len(rows), self.size) for reward in self.rewards(rows[start : start + self.size])]
        found, at = [], 0
        for group in groups:
            own = rewards[at : at + len(group.completions)]
            at += len(own)
            found.append(Verdict(tuple(own)))
        return found

    def ids(self, group: ScoreGroup, one: Completed) -> list[int]:
        """The reward model's own ids of the conversation; the end token only where the answer ended by itself or is a given text."""
        rendered = self.template.rendered(as_text(group.prompt), one.text)
        ids, _ = self.template.ids(rendered.text, rendered.guarded)
        if one.finish == "length" and ids[-1] == self.template.tokenizer.eos_token_id:
            ids = ids[:-1]
        return ids

    @torch.no_grad()
    def rewards(self, rows: list[list[int]]) -> list[float]:
        """One for each row of ids."""
        held = {token for row in rows for token in row}
        pad = next(token for token in range(self.model.config.vocab_size) if token not in held)
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.device)
        own = self.model.config.pad_token_id
        self.model.config.pad_token_id = pad
        try:
            found: list[float] = self.model(ids, attention_mask=mask).logits[:, 0].float().tolist()
        finally:
            self.model.config.pad_token_id = own
        return found

    def _check(self, rows: list[list[int]]) -> None:
        """The first rows alone and together. Raises RunFailed where a model's rewards depend on what stands beside a row."""
        few = rows[: max(2, min(4, self.size))]
        together, alone = self.rewards(few), [self.rewards([row])[0] for row in few]
        for one, other in zip(together, alone, strict=True):
            if abs(one - other) > ALIKE * max(1.0, abs(other)):
                message = f"the reward of a completion is {other:.6g} alone and {one:.6g} in a batch"
                raise RunFailed("self-test", message, hint="batch_size=1 scores one at a time")
        self.checked = True
