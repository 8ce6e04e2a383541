"""The effective batch as the judge sees it: facts from every rank and micro-batch, padded by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo.compiler.graph import Needs
from halo.data.columns import Numbers
from halo.data.tokenizing import TokenizedExample
from halo.loss.inputs import Completions, LossInputs
from halo.objective.feedback import Feedback
from halo.scoring.rows import scored_counts


@dataclass(frozen=True)
class Facts:
    """What the judge must know about one example besides log-probs. Small and picklable."""

    counts: Mapping[str, list[int]]
    desirable: bool | None
    ranks: tuple[int, ...]
    columns: Mapping[str, float]
    own: Mapping[str, tuple[Numbers, ...]]
    source: str = ""

    @classmethod
    def of(cls, example: TokenizedExample, slots: Sequence[str]) -> Facts:
        counts = {slot: scored_counts(example, slot) for slot in slots}
        return cls(counts, example.desirable, example.ranks, example.columns, example.own, example.source)

    def size(self, slot: str) -> int:
        """Scored tokens of a slot."""
        return sum(self.counts[slot])


class EffectiveBatch:
    """All examples of one step, in rank order. Flat log-probs of a slot run over examples, completions, tokens."""

    def __init__(
        self, facts: Sequence[Facts], needs: Needs, feedback: Feedback, device: torch.device, vocab_size: int | None = None
    ) -> None:
        self.facts, self.needs, self.feedback, self.device, self.vocab_size = facts, needs, feedback, device, vocab_size
        self.masks = {slot: self._mask(slot) for slot in needs.slots}

    def size(self, slot: str) -> int:
        """Scored tokens of a slot in the whole batch."""
        return sum(fact.size(slot) for fact in self.facts)

    def inputs(self, logps: Mapping[str, Tensor], ref_logps: Mapping[str, Tensor]) -> LossInputs:
        """Flat log-probs by slot -> the padded inputs of the loss; differentiable in `logps`.

        Full-vocabulary words are columns beside the log-probs: the policy's in `logps`, the reference's in `ref_logps`.
        """
        roles = {}
        policy_words, words = self.needs.policy_words, self.needs.words
        reference_words = tuple(word for word in words if word not in policy_words)
        for slot, mask in self.masks.items():
            logp, own = _apart(logps[slot], mask, policy_words)
            ref, of_reference = _apart(ref_logps[slot], mask, reference_words) if slot in ref_logps else (None, {})
            data = {name: self._own_column(slot, name, logp.dtype) for name in self.needs.own_columns.get(slot, ())}
            roles[slot] = Completions(token_logps=logp, mask=mask, ref_token_logps=ref, columns=own | of_reference | data)
        dtype = next(iter(roles.values())).token_logps.dtype
        columns = {name: self._column(name, dtype) for name in self.needs.columns}
        desirable = torch.tensor([bool(fact.desirable) for fact in self.facts], device=self.device) if self.feedback.labels else None
        return LossInputs(roles, desirable=desirable, ranks=self._ranks(), columns=columns, vocab_size=self.vocab_size)

    def _mask(self, slot: str) -> Tensor:
        counts = [fact.counts[slot] for fact in self.facts]
        width, size = max(max(row) for row in counts), max(len(row) for row in counts)
        table = torch.zeros(len(counts), size, dtype=torch.long)
        for i, row in enumerate(counts):
            table[i, : len(row)] = torch.tensor(row)
        mask = (torch.arange(width) < table[..., None]).to(self.device)
        return mask if self.feedback.several(slot) else mask[:, 0]

    def _ranks(self) -> Tensor | None:
        if not self.feedback.has_ranks:
            return None
        size = max(len(fact.ranks) for fact in self.facts)
        return torch.tensor([[*fact.ranks, *[0] * (size - len(fact.ranks))] for fact in self.facts], device=self.device)

    def _column(self, name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([fact.columns[name] for fact in self.facts], dtype=dtype, device=self.device)

    def _own_column(self, slot: str, name: str, dtype: torch.dtype) -> Tensor:
        """The numbers of a slot's completions, (B,) or (B, K), or of their tokens."""
        values = [row[name] for fact in self.facts for row in fact.own[slot]]
        mask = self.masks[slot]
        numbers = [x for value in values for x in (value if isinstance(value, tuple) else (value,))]
        flat = torch.tensor(numbers, dtype=dtype, device=self.device)
        return _scattered(flat, mask if isinstance(values[0], tuple) else mask.any(-1))


def logp_of(flat: Tensor) -> Tensor:
    """The log-probs of a flat tensor that may have columns for full-vocabulary words beside them."""
    return flat if flat.ndim == 1 else flat[:, 0]


def _apart(flat: Tensor, mask: Tensor, words: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Padded log-probs, and the words by name."""
    if flat.ndim == 1:
        return _scattered(flat, mask), {}
    return _scattered(logp_of(flat), mask), {word: _scattered(flat[:, i], mask) for i, word in enumerate(words, 1)}


def _scattered(flat: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)
