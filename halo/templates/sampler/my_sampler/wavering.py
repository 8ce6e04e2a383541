"""The most likely token each time, and with a chance of `share` the second most likely."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from halo.plugin import Request, Sample, SamplerContext


class Wavering:
    """One completion after the other, so that none depends on what else is asked."""

    def __init__(self, context: SamplerContext) -> None:
        self._context, self._share = context, context.options.share
        self._model, self._tokenizer = context.model(), context.tokenizer()

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        """One for each request, in their order."""
        return [self._one(request) for request in batch]

    @torch.no_grad()
    def _one(self, request: Request) -> Sample:
        draws = random.Random(request.noise)  # of this completion alone: the k-th number is for its k-th token
        ids, logps = list[int](), list[float]()
        while len(ids) < self._context.max_new_tokens:
            whole = torch.tensor([[*request.ids, *ids]], device=self._context.device)  # the prompt's ids as they are
            best = self._model(whole).logits[0, -1].float().log_softmax(-1).topk(2)
            place = int(draws.random() < self._share)
            ids.append(int(best.indices[place]))
            logps.append(float(best.values[place]))  # of the whole distribution, at temperature 1
            if ids[-1] in self._context.end:
                return Sample(self._text(ids[:-1]), "end", tuple(ids), tuple(logps))
            text = self._text(ids)
            places = [text.find(stop) for stop in self._context.stop if stop in text]
            if places:
                while len(self._text(ids)) > min(places):  # a token that reaches into the stop text goes whole
                    ids.pop()
                return Sample(self._text(ids), "stop", tuple(ids), tuple(logps[: len(ids)]))
        return Sample(self._text(ids), "length", tuple(ids), tuple(logps))

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text
