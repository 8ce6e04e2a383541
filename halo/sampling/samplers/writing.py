"""Completions written by a model: transformers writes, and a processor of logits draws each token from the completion's own noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halo.completions.sampling import Request, Sample, SamplerContext
from halo.sampling.samplers.noise import exponential
from halo.sampling.samplers.options import Drawn
from halo.sampling.samplers.stopping import cut
from halo.sampling.samplers.support import allowed, penalised


class Drawing:
    """A LogitsProcessor for one batch: it leaves the token that is drawn as the only possible one, and records its log-probs.

    how  None: the most likely token
    """

    def __init__(self, batch: Sequence[Request], width: int, end: tuple[int, ...], how: Drawn | None) -> None:
        self.batch, self.width, self.end, self.how = batch, width, set(end), how or Drawn.model_validate({})
        self.greedy = how is None
        self.done = [False] * len(batch)
        self.seen: Tensor | None = None
        self.logps: list[Tensor] = []
        self.kept: list[Tensor] = []

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        position = ids.shape[1] - self.width
        if position:
            self.done = [done or token in self.end for done, token in zip(self.done, ids[:, -1].tolist(), strict=True)]
        logits = scores.float() / self.how.temperature
        log_p = logits.log_softmax(-1)
        weighed = self._penalised(ids, logits)
        kept = None
        if self.how.cuts and not self.greedy:
            own = weighed.log_softmax(-1)
            kept = allowed(own, self.how)
            weighed = own.masked_fill(~kept, -torch.inf)
        token = self._drawn(weighed, position)
        self.logps.append(log_p.gather(-1, token)[:, 0].cpu())
        if kept is not None:
            self.kept.append(weighed.logsumexp(-1).clamp(max=0).cpu())
        return torch.full_like(scores, -torch.inf).scatter_(-1, token, 0.0)

    def _drawn(self, weighed: Tensor, position: int) -> Tensor:
        if self.greedy:
            return weighed.argmax(-1, keepdim=True)
        rows = [row for row, done in enumerate(self.done) if not done]
        noise = torch.ones_like(weighed)
        if rows:
            own = torch.stack([exponential(self.batch[row].noise, position, weighed.shape[-1]) for row in rows])
            noise[rows] = own.to(noise.device)
        return (weighed - noise.log()).argmax(-1, keepdim=True)

    def _penalised(self, ids: Tensor, logits: Tensor) -> Tensor:
        """Tokens of the own prompt and answer count as seen; padding does not."""
        if self.how.repetition_penalty == 1 or self.greedy:
            return logits
        if self.seen is None:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
            for row, request in enumerate(self.batch):
                self.seen[row, list(request.ids)] = True
        if ids.shape[1] > self.width:
            self.seen.scatter_(-1, ids[:, -1:], True)
        return penalised(logits, self.seen, self.how.repetition_penalty)


class Writing:
    """A model that writes, one batch at a time. `how` says how tokens are drawn; None takes the most likely."""

    def __init__(self, context: SamplerContext, how: Drawn | None) -> None:
        self.context, self.how = context, how
        self.model, self.tokenizer = context.model(), context.tokenizer()

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        context = self.context
        ids, mask = padded([request.ids for request in batch], context.end[0], context.device)
        drawing = Drawing(batch, ids.shape[1], context.end, self.how)
        out = written(self.model, self.tokenizer, ids, mask, context, [drawing])[:, ids.shape[1] :].cpu()
        logps = torch.stack(drawing.logps, 1)
        kept = torch.stack(drawing.kept, 1) if drawing.kept else None
        found = []
        for row in range(len(batch)):
            own = ended(out[row].tolist(), context.end)
            size = len(own)
            masses = tuple(kept[row, :size].tolist()) if kept is not None else None
            found.append(cut(self.tokenizer, own, tuple(logps[row, :size].tolist()), masses, context))
        return found


def ended(ids: Sequence[int], end: Sequence[int]) -> tuple[int, ...]:
    """Up to the id that ends it; behind it stands padding."""
    last = next((place for place, token in enumerate(ids) if token in end), len(ids) - 1)
    return tuple(ids[: last + 1])


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Ids of one width, padded on the left, and the mask of what is none."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


@torch.no_grad()
def written(model: Any, tokenizer: Any, ids: Tensor, mask: Tensor, context: SamplerContext, processors: list[Any], **more: Any) -> Any:
    """What `generate` gives, by nothing but what is asked for here: the settings that lie in the model's folder are left aside."""
    from transformers import GenerationConfig, LogitsProcessorList

    own = model.generation_config
    model.generation_config = GenerationConfig()
    stops = {"stop_strings": list(context.stop)} if context.stop else {}
    config = GenerationConfig(
        max_new_tokens=context.max_new_tokens, do_sample=False, use_cache=True, eos_token_id=list(context.end), pad_token_id=context.end[0],
        **stops, **more,
    )  # fmt: skip
    read = {"tokenizer": tokenizer} if context.stop else {}
    try:
        return model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=LogitsProcessorList(processors), **read)
    finally:
        model.generation_config = own
