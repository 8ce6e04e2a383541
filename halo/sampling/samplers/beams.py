"""The n most likely completions that a beam search finds (RRHF's policy BP): those of a prompt depend on one another alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch

from halo.completions.sampling import Request, Sample, SamplerContext
from halo.sampling.samplers.options import Searched
from halo.sampling.samplers.stopping import cut
from halo.sampling.samplers.writing import ended, padded, written


class Beams:
    """transformers' beam search, one prompt after the other: a prompt's beams are a batch already."""

    def __init__(self, context: SamplerContext, how: Searched) -> None:
        self.context, self.how = context, how
        self.model, self.tokenizer = context.model(), context.tokenizer()

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        return [sample for _, own in groupby(batch, key=lambda request: request.key) for sample in self._of_prompt(list(own))]

    def _of_prompt(self, requests: list[Request]) -> Iterator[Sample]:
        """The best first, which is the sample of index 0. Their log-probs are computed anew: a search keeps sums only."""
        ids, mask = padded([requests[0].ids], self.context.end[0], self.context.device)
        width = max(self.how.width or len(requests), len(requests))
        more = {"num_beams": width, "num_return_sequences": len(requests), "length_penalty": self.how.length_penalty}
        found = written(self.model, self.tokenizer, ids, mask, self.context, [], **more)[:, ids.shape[1] :].cpu()
        for row in found.tolist():
            own = ended(row, self.context.end)
            logps = logps_of(self.model, requests[0].ids, own, self.context.device)
            yield cut(self.tokenizer, own, logps, None, self.context)


@torch.no_grad()
def logps_of(model: Any, prompt: tuple[int, ...], ids: tuple[int, ...], device: Any) -> tuple[float, ...]:
    """log pi of each id behind a prompt, at temperature 1."""
    whole = torch.tensor([[*prompt, *ids]], device=device)
    log_p = model(whole).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    return tuple(log_p.gather(-1, whole[0, len(prompt) :, None])[:, 0].tolist())
