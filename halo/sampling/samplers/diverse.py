"""Diverse beam search (Vijayakumar et al., arXiv:1610.02424, algorithm 1): groups of beams, each kept from what the earlier groups chose.

transformers had it until 4.x and has it no longer; RRHF's policy DP is four groups of one beam.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from halo.completions.sampling import Request, Sample, SamplerContext
from halo.errors import Place, SettingsError
from halo.sampling.samplers.beams import logps_of
from halo.sampling.samplers.options import Diverse
from halo.sampling.samplers.stopping import cut

Next = Callable[[list[tuple[int, ...]], list[int]], Tensor]
"""Answers so far and, for each, which row it was continued from -> log-probs of the next token (rows, vocabulary)."""


@dataclass
class Group:
    """Beams that compete with one another: `live` with their augmented scores, and `done`, with theirs over their length."""

    live: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    done: list[tuple[tuple[int, ...], float]] = field(default_factory=list)


def search(
    step: Next, groups: int, width: int, penalty: float, length_penalty: float, end: Sequence[int], longest: int
) -> list[tuple[int, ...]]:
    """`width` answers of each group, best first, one group after the other.

    At each position a token costs a group `penalty` for every beam of the earlier groups that has just chosen it (Hamming diversity,
    equation 5), and the cost stays in the beam's score. A group ends once it has `width` finished answers.
    """
    found = [Group([((), 0.0)]) for _ in range(groups)]
    came_from = [0] * groups
    for _position in range(longest):
        rows = [answer for group in found for answer, _ in group.live]
        if not rows:
            break
        log_p = step(rows, came_from)
        came_from, at = [], 0
        chosen = torch.zeros(log_p.shape[-1], dtype=log_p.dtype, device=log_p.device)
        for group in found:
            size = len(group.live)
            if size:
                kept = _continued(group, log_p[at : at + size] - penalty * chosen, width, length_penalty, end)
                came_from += [at + row for row, _ in kept]
                for _, token in kept:
                    chosen[token] += 1
            at += size
    for group in found:
        group.done += [(answer, score / _length(answer, length_penalty)) for answer, score in group.live]
    return [answer for group in found for answer, _ in sorted(group.done, key=lambda one: -one[1])[:width]]


def _continued(group: Group, log_p: Tensor, width: int, length_penalty: float, end: Sequence[int]) -> list[tuple[int, int]]:
    """Takes one step; returns for each beam that lives on its row and its token."""
    before = torch.tensor([score for _, score in group.live], dtype=log_p.dtype, device=log_p.device)
    scores = (before[:, None] + log_p).flatten()
    best = scores.topk(min(width * (1 + len(end)), len(scores)))  # enough, if every beam ends in each way
    live: list[tuple[tuple[int, ...], float]] = []
    kept: list[tuple[int, int]] = []
    for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        row, token = divmod(place, log_p.shape[-1])
        answer = (*group.live[row][0], token)
        if token in end:
            group.done.append((answer, value / _length(answer, length_penalty)))
        elif len(live) < width:
            live.append((answer, value))
            kept.append((row, token))
    group.live = live
    if len(group.done) >= width:
        group.live = []
        return []
    return kept


def _length(answer: tuple[int, ...], power: float) -> float:
    return float(max(1, len(answer)) ** power)


class DiverseBeams:
    """One prompt after the other: its beams are a batch already."""

    def __init__(self, context: SamplerContext, how: Diverse) -> None:
        self.context, self.how, self.groups = context, how, how.groups or context.n
        if context.n % self.groups:
            message = f"{context.n} completions are not {self.groups} groups of equal size"
            raise SettingsError("wrong-value", message, place=Place("--sampler"), hint=f"diverse-beam:groups={context.n}")
        self.model, self.tokenizer = context.model(), context.tokenizer()

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        return [sample for _, own in groupby(batch, key=lambda request: request.key) for sample in self._of_prompt(list(own))]

    @torch.no_grad()
    def _of_prompt(self, requests: list[Request]) -> Iterator[Sample]:
        context, how, prompt = self.context, self.how, requests[0].ids
        step = _Cached(self.model, prompt, context.device)
        width, longest = len(requests) // self.groups, context.max_new_tokens
        for ids in search(step, self.groups, width, how.penalty, how.length_penalty, context.end, longest):
            yield cut(self.tokenizer, ids, logps_of(self.model, prompt, ids, context.device), None, context)


class _Cached:
    """The model as a `Next`, with its cache reordered as beams are."""

    def __init__(self, model: Any, prompt: tuple[int, ...], device: Any) -> None:
        self.model, self.prompt, self.device, self.cache = model, prompt, device, None
        # transformers calls it `cache` of late; the older name goes in 5.40
        self.argument = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def __call__(self, rows: list[tuple[int, ...]], came_from: list[int]) -> Tensor:
        if self.cache is None:
            ids = torch.tensor([self.prompt] * len(rows), device=self.device)
        else:
            self.cache.reorder_cache(torch.tensor(came_from, device=self.device))
            ids = torch.tensor([[row[-1]] for row in rows], device=self.device)
        out = self.model(ids, use_cache=True, **{self.argument: self.cache})
        self.cache = out.past_key_values
        found: Tensor = out.logits[:, -1].float().log_softmax(-1)
        return found
