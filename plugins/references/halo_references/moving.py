"""A reference that follows the policy: an average of where it was, or where it was last (TR-DPO, arXiv:2404.09656, eq. 4 and 5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halo.plugin import Place, ReferenceContext, SettingsError


class MovingReference:
    """A second copy of the weights, moved towards the policy's after every so many steps."""

    def __init__(self, context: ReferenceContext) -> None:
        self._every, self._mixup = context.options.every, context.options.mixup
        place = Place("--reference")
        if context.policy_model is not None and not all(p.requires_grad for p in context.policy_model.parameters()):
            raise SettingsError("wrong-value", "every weight of the policy must be trained", place=place, hint="without an adapter")
        self._model: Any = context.load_model()
        self._model.requires_grad_(False)
        followed = context.policy_model or self._model
        if _shapes(self._model) != _shapes(followed):
            message = f"{context.name} has weights of other names or sizes than the policy, which it is to follow"
            raise SettingsError("wrong-value", message, place=place, hint="--reference frozen, or another --reference-model")
        self._score, self._name = context.scorer(self._model), context.name

    @torch.no_grad()
    def logps(self, rows: Any) -> Tensor:
        """Flat log-probs of the scored tokens."""
        return self._score(rows)

    @torch.no_grad()
    def states(self, rows: Any) -> Any:
        """Its whole next-token distributions."""
        return self._score.states(rows)

    def describe(self) -> str:
        """One line for the run's output."""
        return f"copy of {self._name} that takes {self._mixup:g} of the policy every {self._every:g} steps"

    @torch.no_grad()
    def follow(self, policy: Any, step: int) -> None:
        """Called after every optimizer step, `step` counted from 1."""
        if step % self._every:
            return
        own = dict(self._model.named_parameters())
        for name, parameter in policy.named_parameters():
            own[name].lerp_(parameter.detach().to(own[name]), self._mixup)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, for a checkpoint."""
        return dict(self._model.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The weights of a checkpoint."""
        self._model.load_state_dict(state)


def _shapes(model: Any) -> dict[str, Any]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}
