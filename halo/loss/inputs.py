"""What goes into a loss and what comes out.

Shape legend: B examples, K completions of a ranked example, T tokens (padded; each role has its own T). Everything is
padded by role; padding may hold any finite number, the mask says what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

PADDING = -1.0  # inside the domain of every word, so that nothing is singular where the mask is off


@dataclass(kw_only=True)
class Completions:
    """The tensors of one role.

    token_logps      (B, T) or (B, K, T), nats: log-probability of each token under the policy
    mask             same shape, bool: scored completion tokens
    ref_token_logps  same shape or None: under the reference; old_token_logps: under the policy that sampled
    columns          numbers from the data: (B,) or (B, K), or per token; and per token, in nats, the full-vocabulary words
                     that an objective reads (`entropy`, `ref_entropy`, `log_sum_sq_probs`, `kl_ref_policy`,
                     `kl_policy_ref`), with their gradients if they have one

    Generated code reads them under the names that formulas have: `logp`, `ref_logp`, `old_logp`, and columns by name.
    """

    token_logps: Tensor
    mask: Tensor
    ref_token_logps: Tensor | None = None
    old_token_logps: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def prepared(self) -> Completions:
        """Half precision becomes float32, padding an interior point of every domain."""
        mask = self.mask.bool()

        def ready(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            return torch.where(mask, _wide(x), PADDING)

        logps = ready(self.token_logps)
        assert logps is not None
        return Completions(
            token_logps=logps,
            mask=mask,
            ref_token_logps=ready(self.ref_token_logps),
            old_token_logps=ready(self.old_token_logps),
            columns={name: _filled(x, mask) for name, x in self.columns.items()},
        )

    @property
    def logp(self) -> Tensor:
        """`token_logps`, as formulas call it."""
        return self.token_logps

    @property
    def ref_logp(self) -> Tensor | None:
        """`ref_token_logps`, as formulas call it."""
        return self.ref_token_logps

    @property
    def old_logp(self) -> Tensor | None:
        """`old_token_logps`, as formulas call it."""
        return self.old_token_logps

    @property
    def length(self) -> Tensor:
        """(B,) or (B, K): the number of scored tokens, as a float."""
        return self.mask.sum(-1).to(self.token_logps.dtype)

    @property
    def position(self) -> Tensor:
        """Shape of mask: 1 for the first scored token, 2 for the next."""
        return torch.cumsum(self.mask, -1).to(self.token_logps.dtype)

    @property
    def present(self) -> Tensor:
        """(B, K): whether the list has this completion at all."""
        return self.mask.any(-1)

    def __getattr__(self, name: str) -> Tensor:
        try:
            columns: Mapping[str, Tensor] = self.__dict__["columns"]
            return columns[name]
        except KeyError:
            raise AttributeError(f"these completions have no {name!r}") from None


def _wide(x: Tensor) -> Tensor:
    """Float32, or float64 that is it already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _filled(x: Tensor, mask: Tensor) -> Tensor:
    """Half precision becomes float32; what is not there becomes the largest number that is, inside the domain whatever that is.

    Tokens may be missing, and completions of a list.
    """
    wide = _wide(x)
    if (x.ndim < mask.ndim and mask.ndim < 3) or not x.numel():
        return wide  # every completion of a pair is there
    real = mask
    if x.ndim < mask.ndim:
        real = mask.any(-1)
    largest = torch.where(real, wide.detach(), -torch.inf).amax()
    return torch.where(real, wide, torch.where(torch.isfinite(largest), largest, 0.0))


@dataclass
class LossInputs:
    """One effective batch.

    completions  the tensors by slot: `chosen` and `rejected`; or `completion` (and `mismatched`, `prompt`, extra texts)
    desirable    (B,) bool, labelled feedback
    ranks        (B, K) integers, ranked feedback: 1 is best, equal numbers are ties
    columns      example columns, (B,)
    vocab_size   number of tokens that the model's head chooses from, for objectives that ask for it
    weights      (B,) or None: how many times each example stands in the batch, 0 and fractions included
    """

    completions: Mapping[str, Completions]
    _: KW_ONLY
    desirable: Tensor | None = None
    ranks: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    vocab_size: int | None = None
    weights: Tensor | None = None

    def prepared(self) -> LossInputs:
        """See `Completions.prepared`."""
        ready = {slot: completions.prepared() for slot, completions in self.completions.items()}
        desirable, weights = self.desirable, self.weights
        if desirable is not None:
            desirable = desirable.bool()
        if weights is not None:
            weights = weights.to(next(iter(ready.values())).token_logps)
        return LossInputs(ready, desirable=desirable, ranks=self.ranks, columns=self.columns, vocab_size=self.vocab_size, weights=weights)

    @property
    def examples(self) -> int:
        """B, the number of examples."""
        return next(iter(self.completions.values())).mask.shape[0]

    @property
    def undesirable(self) -> Tensor:
        """(B,) bool."""
        assert self.desirable is not None
        return ~self.desirable

    @property
    def chosen(self) -> Completions:
        return self.completions["chosen"]

    @property
    def rejected(self) -> Completions:
        return self.completions["rejected"]

    @property
    def completion(self) -> Completions:
        return self.completions["completion"]

    @property
    def mismatched(self) -> Completions:
        return self.completions["mismatched"]

    def __getattr__(self, name: str) -> Completions:
        by_slot = self.__dict__.get("completions", {})
        if name in by_slot:
            found: Completions = by_slot[name]
            return found
        raise AttributeError(f"the batch has no {name!r}")

    # -- ranked lists: (B, K, K) masks, first axis the completion at hand, second the other one ----------------------

    @property
    def pairs(self) -> Tensor:
        """(B, K, K): the first is strictly better than the second."""
        return self._both & (self._ranks[:, :, None] < self._ranks[:, None, :])

    @property
    def worse(self) -> Tensor:
        """(B, K, K): the second is strictly worse than the first."""
        return self.pairs

    @property
    def better(self) -> Tensor:
        """(B, K, K): the second is strictly better than the first."""
        return self._both & (self._ranks[:, :, None] > self._ranks[:, None, :])

    @property
    def suffix(self) -> Tensor:
        """(B, K, K): the second is not better than the first, itself included."""
        return self._both & ~self.better

    @property
    def others(self) -> Tensor:
        """(B, K, K): every other completion of the list."""
        size = self._ranks.shape[1]
        return self._both & ~torch.eye(size, dtype=torch.bool, device=self._ranks.device)

    @property
    def all(self) -> Tensor:
        """(B, K): every completion of the list."""
        return self.completion.present

    @property
    def best(self) -> Tensor:
        """(B,): index of the first best completion."""
        return torch.argmin(torch.where(self.completion.present, self._ranks, torch.iinfo(torch.int64).max), 1)

    @property
    def worst(self) -> Tensor:
        """(B,): index of the first worst completion."""
        return torch.argmax(torch.where(self.completion.present, self._ranks, torch.iinfo(torch.int64).min), 1)

    @property
    def _ranks(self) -> Tensor:
        assert self.ranks is not None
        return self.ranks

    @property
    def _both(self) -> Tensor:
        present = self.completion.present
        return present[:, :, None] & present[:, None, :]


@dataclass
class LossOutput:
    """What a loss function returns.

    loss              scalar
    terms             each term and regularizer by name, scalar; they add up to the loss
    items             their unreduced losses, one for each example, completion, pair or token (see the objective)
    rewards           implied reward by slot: (B,) or (B, K)
    reference_points  by term: a scalar or (B,)
    statistics        the running statistics as this loss used them, scalars
    """

    loss: Tensor
    terms: dict[str, Tensor]
    items: dict[str, Tensor]
    rewards: dict[str, Tensor]
    reference_points: dict[str, Tensor]
    statistics: dict[str, Tensor] = field(default_factory=dict)
