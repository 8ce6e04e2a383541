"""The effective batch as the judge sees it: facts from every rank and micro-batch, padded by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo.compiler.graph import Needs
from halo.data.tokenizing import TokenizedExample
from halo.loss.inputs import Completions, LossInputs
from halo.scoring.rows import scored_counts


@dataclass(frozen=True)
class Facts:
    """What the judge must know about one example besides log-probs. Small and picklable."""

    counts: Mapping[str, list[int]]
    desirable: bool | None
    ranks: tuple[int, ...]
    columns: Mapping[str, float]

    @classmethod
    def of(cls, example: TokenizedExample, slots: Sequence[str]) -> Facts:
        return cls({slot: scored_counts(example, slot) for slot in slots}, example.desirable, example.ranks, example.columns)

    def size(self, slot: str) -> int:
        """Scored tokens of a slot."""
        return sum(self.counts[slot])


class EffectiveBatch:
    """All examples of one step, in rank order. Flat log-probs of a slot run over examples, completions, tokens."""

    def __init__(
        self, facts: Sequence[Facts], needs: Needs, feedback: str, device: torch.device, vocab_size: int | None = None
    ) -> None:
        self.facts, self.needs, self.feedback, self.device, self.vocab_size = facts, needs, feedback, device, vocab_size
        self.masks = {slot: self._mask(slot) for slot in needs.slots}

    def size(self, slot: str) -> int:
        """Scored tokens of a slot in the whole batch."""
        return sum(fact.size(slot) for fact in self.facts)

    def inputs(self, logps: Mapping[str, Tensor], ref_logps: Mapping[str, Tensor]) -> LossInputs:
        """Flat log-probs by slot -> the padded inputs of the loss; differentiable in `logps`."""
        roles = {}
        for slot, mask in self.masks.items():
            ref = _scattered(ref_logps[slot], mask) if slot in ref_logps else None
            roles[slot] = Completions(mask, _scattered(logps[slot], mask), ref)
        desirable = torch.tensor([bool(fact.desirable) for fact in self.facts], device=self.device) if self.feedback == "labelled" else None
        return LossInputs(roles, desirable, self._ranks(), {name: self._column(name) for name in self.needs.columns}, self.vocab_size)

    def _mask(self, slot: str) -> Tensor:
        counts = [fact.counts[slot] for fact in self.facts]
        width, size = max(max(row) for row in counts), max(len(row) for row in counts)
        table = torch.zeros(len(counts), size, dtype=torch.long)
        for i, row in enumerate(counts):
            table[i, : len(row)] = torch.tensor(row)
        mask = (torch.arange(width) < table[..., None]).to(self.device)
        return mask if self.feedback in ("ranked", "scored") and slot == "completion" else mask[:, 0]

    def _ranks(self) -> Tensor | None:
        if self.feedback not in ("ranked", "scored"):
            return None
        size = max(len(fact.ranks) for fact in self.facts)
        return torch.tensor([[*fact.ranks, *[0] * (size - len(fact.ranks))] for fact in self.facts], device=self.device)

    def _column(self, name: str) -> Tensor:
        return torch.tensor([fact.columns[name] for fact in self.facts], device=self.device)


def _scattered(flat: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)
