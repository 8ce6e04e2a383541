"""What goes into a loss and what comes out.

Shape legend: B examples, K completions of a ranked example, T tokens (padded; each role has its own T). Everything is
padded by role; padding may hold any finite number, the mask says what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

PADDING = -1.0  # inside the domain of every word, so that nothing is singular where the mask is off


@dataclass
class Completions:
    """The tensors of one role.

    mask      (B, T) or (B, K, T), bool: scored completion tokens
    logp      same shape, nats: log-probability of each token under the policy
    ref_logp  same shape or None: under the reference; old_logp: under the policy that sampled
    columns   numbers from the data: (B,) or (B, K), or per token; and per token, in nats, the full-vocabulary words that an
              objective reads (`entropy`, `ref_entropy`, `log_sum_sq_probs`, `kl_ref_policy`, `kl_policy_ref`), with their
              gradients if they have one
    """

    mask: Tensor
    logp: Tensor
    ref_logp: Tensor | None = None
    old_logp: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def prepared(self) -> Completions:
        """Half precision becomes float32, padding an interior point of every domain."""
        mask = self.mask.bool()

        def ready(x: Tensor | None) -> Tensor | None:
            if x is None:
                return None
            wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            return torch.where(mask, wide, PADDING)

        logp = ready(self.logp)
        assert logp is not None
        return Completions(
            mask, logp, ready(self.ref_logp), ready(self.old_logp), {name: _filled(x, mask) for name, x in self.columns.items()}
        )

    @property
    def length(self) -> Tensor:
        """(B,) or (B, K): the number of scored tokens, as a float."""
        return self.mask.sum(-1).to(self.logp.dtype)

    @property
    def position(self) -> Tensor:
        """Shape of mask: 1 for the first scored token, 2 for the next."""
        return torch.cumsum(self.mask, -1).to(self.logp.dtype)

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


def _filled(x: Tensor, mask: Tensor) -> Tensor:
    """Half precision becomes float32; what is not there becomes the largest number that is, inside the domain whatever that is.

    Tokens may be missing, and completions of a list.
    """
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    if (x.ndim < mask.ndim and mask.ndim < 3) or not x.numel():
        return wide  # every completion of a pair is there
    real = mask if x.ndim == mask.ndim else mask.any(-1)
    largest = torch.where(real, wide.detach(), -torch.inf).amax()
    return torch.where(real, wide, torch.where(torch.isfinite(largest), largest, 0.0))


@dataclass
class LossInputs:
    """One effective batch.

    roles      the tensors by slot: `chosen` and `rejected`; or `completion` (and `mismatched`, `prompt`, extra texts)
    desirable  (B,) bool, labelled feedback
    ranks      (B, K) integers, ranked feedback: 1 is best, equal numbers are ties
    columns    example columns, (B,)
    """

    roles: Mapping[str, Completions]
    desirable: Tensor | None = None
    ranks: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def prepared(self) -> LossInputs:
        """See `Completions.prepared`."""
        roles = {role: completions.prepared() for role, completions in self.roles.items()}
        desirable = self.desirable.bool() if self.desirable is not None else None
        return LossInputs(roles, desirable, self.ranks, self.columns)

    @property
    def examples(self) -> int:
        """B, the number of examples."""
        return next(iter(self.roles.values())).mask.shape[0]

    @property
    def undesirable(self) -> Tensor:
        """(B,) bool."""
        assert self.desirable is not None
        return ~self.desirable

    @property
    def chosen(self) -> Completions:
        return self.roles["chosen"]

    @property
    def rejected(self) -> Completions:
        return self.roles["rejected"]

    @property
    def completion(self) -> Completions:
        return self.roles["completion"]

    @property
    def mismatched(self) -> Completions:
        return self.roles["mismatched"]

    def __getattr__(self, name: str) -> Completions:
        roles = self.__dict__.get("roles", {})
        if name in roles:
            found: Completions = roles[name]
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
    """

    loss: Tensor
    terms: dict[str, Tensor]
    items: dict[str, Tensor]
    rewards: dict[str, Tensor]
    reference_points: dict[str, Tensor]
