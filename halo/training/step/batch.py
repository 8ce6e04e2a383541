"""The effective batch as the loss sees it: facts from every rank and micro-batch, padded by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from halo.compiler.graph import Needs
from halo.data.columns import OLD_LOGP
from halo.data.tokenized import Numbers, TokenizedExample
from halo.loss.inputs import Completions, LossInputs
from halo.objective.feedback import Feedback
from halo.scoring.distributions import LOGP, Scored
from halo.scoring.rows import scored_counts


@dataclass(frozen=True)
class Facts:
    """What the loss and the metrics must know about one example besides what was scored. Small and picklable."""

    counts: Mapping[str, list[int]]
    desirable: bool | None
    ranks: tuple[int, ...]
    columns: Mapping[str, float]
    own: Mapping[str, tuple[Numbers, ...]]
    source: str = ""
    weight: float = 1.0
    round: int = 0

    @classmethod
    def of(cls, example: TokenizedExample, slots: Sequence[str]) -> Facts:
        counts = {slot: scored_counts(example, slot) for slot in slots}
        numbers = (example.columns, example.own)
        return cls(counts, example.desirable, example.ranks, *numbers, example.source, example.weight, example.round)

    def size(self, slot: str) -> int:
        """Scored tokens of a slot."""
        return sum(self.counts[slot])


class EffectiveBatch:
    """All examples of one step, in rank order. What was scored of a slot runs over examples, completions, tokens."""

    def __init__(
        self, facts: Sequence[Facts], needs: Needs, feedback: Feedback, device: torch.device, vocab_size: int | None = None
    ) -> None:
        self.facts, self.needs, self.feedback, self.device, self.vocab_size = facts, needs, feedback, device, vocab_size
        self.masks = {slot: self._mask(slot) for slot in needs.slots}
        self.weighted = any(fact.weight != 1.0 for fact in facts)

    def size(self, slot: str) -> int:
        """Scored tokens of a slot in the whole batch."""
        return sum(fact.size(slot) for fact in self.facts)

    def inputs(self, policy: Mapping[str, Scored], reference: Mapping[str, Scored]) -> LossInputs:
        """What was scored, by slot and name -> the padded inputs of the loss; differentiable in all that the policy gave.

        Beside log-probs the policy gives full-vocabulary words and what else its scorer has; the reference gives words of its own.
        A column is the scorer's where it gives one of that name, else the data's.
        """
        completions = {slot: self._completions(slot, policy[slot], reference.get(slot, {})) for slot in self.masks}
        dtype = next(iter(completions.values())).token_logps.dtype
        return LossInputs(
            completions,
            desirable=self._desirable(),
            ranks=self._ranks(),
            columns={name: self._for_each([fact.columns[name] for fact in self.facts], dtype) for name in self.needs.columns},
            vocab_size=self.vocab_size,
            weights=self._for_each([fact.weight for fact in self.facts], dtype) if self.weighted else None,
        )

    def _completions(self, slot: str, policy: Scored, reference: Scored) -> Completions:
        mask = self.masks[slot]
        own = {name: _scattered(x, mask) for name, x in policy.items()}
        ref = {name: _scattered(x, mask) for name, x in reference.items()}
        logp, ref_logp, old_logp = own.pop(LOGP), ref.pop(LOGP, None), None
        if self.needs.sampler:
            old_logp = self._own_column(slot, OLD_LOGP, logp.dtype)
        of_reference = {f"ref_{name}": x for name, x in ref.items()}
        data = [name for name in self.needs.own_columns.get(slot, ()) if name not in own]
        columns = own | of_reference | {name: self._own_column(slot, name, logp.dtype) for name in data}
        return Completions(token_logps=logp, mask=mask, ref_token_logps=ref_logp, old_token_logps=old_logp, columns=columns)

    def _mask(self, slot: str) -> Tensor:
        counts = [fact.counts[slot] for fact in self.facts]
        width, size = max(max(row) for row in counts), max(len(row) for row in counts)
        table = torch.zeros(len(counts), size, dtype=torch.long)
        for i, row in enumerate(counts):
            table[i, : len(row)] = torch.tensor(row)
        mask = (torch.arange(width) < table[..., None]).to(self.device)
        return mask if self.feedback.several(slot) else mask[:, 0]

    def _desirable(self) -> Tensor | None:
        if not self.feedback.labels:
            return None
        return torch.tensor([bool(fact.desirable) for fact in self.facts], device=self.device)

    def _ranks(self) -> Tensor | None:
        if not self.feedback.has_ranks:
            return None
        size = max(len(fact.ranks) for fact in self.facts)
        return torch.tensor([[*fact.ranks, *[0] * (size - len(fact.ranks))] for fact in self.facts], device=self.device)

    def _for_each(self, numbers: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(numbers, dtype=dtype, device=self.device)

    def _own_column(self, slot: str, name: str, dtype: torch.dtype) -> Tensor:
        """The numbers of a slot's completions, (B,) or (B, K), or of their tokens."""
        values = [row[name] for fact in self.facts for row in fact.own[slot]]
        mask = self.masks[slot]
        of_tokens = [x for value in values if isinstance(value, tuple) for x in value]
        if of_tokens:
            return _scattered(self._for_each(of_tokens, dtype), mask)
        of_completions = [value for value in values if not isinstance(value, tuple)]
        return _scattered(self._for_each(of_completions, dtype), mask.any(-1))


def _scattered(flat: Tensor, mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)
