"""How the policy lies on the devices: laid there, pulled back into, updated, gathered for a file and loaded from one.

`Placement` itself is that of `single` and `ddp`: every process holds the whole policy. A backend that shards supplies a subclass
(`Backend.place`). Halo calls each method on every process, in the same order, so that a method may talk to the other processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from halo.backends.context import BackendContext
from halo.errors import RunFailed


class Placement:
    """The whole policy on every process, wrapped by accelerate.

    sharded    whether a process holds only a part of the policy: then nothing but the prepared scorer may run it
    moves      whether a reference that follows the policy can read its parameters, as they are or as DTensors
    module     the prepared scorer; `optimizer` is what updates its parameters: both stand after `prepare`
    """

    sharded = False
    moves = True
    module: Any
    optimizer: Any

    def __init__(self, accelerator: Any, context: BackendContext) -> None:
        self.accelerator, self.context = accelerator, context

    # -- laid on the devices ---------------------------------------------------------------------------------------

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        """Takes the policy's Scorer (its model: `scorer.model`) and what builds the optimizer over the model's parameters as they then are."""
        self.module = self.accelerator.prepare(scorer)
        self.optimizer = optimizer()

    def frozen(self, scorer: Any) -> Any:
        """The Scorer of a reference, which nothing trains: to be called, or asked for its `states`."""
        return scorer.to(self.accelerator.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that products run in, for what is run beside the module: a reference."""
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    # -- one step --------------------------------------------------------------------------------------------------

    def no_sync(self) -> AbstractContextManager[Any]:
        """Around every micro-batch of a step but the last: gradients need not be exchanged yet."""
        context: AbstractContextManager[Any] = self.accelerator.no_sync(self.module)
        return context

    def pull_back(self, outputs: Sequence[Any], slopes: Sequence[Any]) -> None:
        """Backpropagates `slopes` from what the module gave. Over a step the MEAN over the processes must arrive in the parameters."""
        import torch

        torch.autograd.backward(list(outputs), list(slopes))

    def update(self, limit: float) -> float:
        """Clips the whole gradient to the norm `limit` (0: no clipping), takes the optimizer's step and forgets the gradient.

        Returns the norm before clipping. Raises RunFailed, and updates nothing, if that is not finite.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = self.clipped(parameters, limit or float("inf"))
        if not math.isfinite(norm):
            raise RunFailed("non-finite", f"the gradient's norm is {norm}", hint="nothing was updated; lower the learning rate")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def clipped(self, parameters: Sequence[Any], limit: float) -> float:
        """Scales the gradients of all processes together down to the norm `limit`; returns the norm they had."""
        import torch

        return float(torch.nn.utils.clip_grad_norm_(parameters, limit))

    # -- files -----------------------------------------------------------------------------------------------------

    def whole(self, state: Any) -> Any:
        """Nested dicts and lists of tensors -> the same with whole tensors, at least on the main process, which writes them."""
        return state

    def laid(self, tensor: Any, like: Any) -> Any:
        """A whole tensor, the same on every process -> laid on the devices as `like` is. The inverse of `whole`."""
        return tensor

    def weights(self, model: Any) -> dict[str, Any] | None:
        """The model's whole state by name, for the main process to write. None: it can be read from the model itself."""
        return None

    def load_weights(self, model: Any, state: dict[str, Any]) -> None:
        """Takes whole tensors by the names of `model.state_dict()`; every process has been given the same."""
        own = model.state_dict()
        for name, tensor in state.items():
            own[name].copy_(self.laid(tensor, own[name]))

    def optimizer_state(self) -> Any:
        """What `load_optimizer_state` takes: plain values and tensors, complete at least on the main process."""
        return self.whole(self.optimizer.state_dict())

    def load_optimizer_state(self, state: Any) -> None:
        """Takes a state back; every process has been given the same."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        values = {
            index: {key: self.laid(value, parameters[index]) if _fits(value, parameters[index]) else value for key, value in entry.items()}
            for index, entry in state["state"].items()
        }
        self.optimizer.load_state_dict({**state, "state": values})


def _fits(value: Any, parameter: Any) -> bool:
    """Whether an entry of an optimizer's state has a number for each of the parameter's."""
    return bool(getattr(value, "shape", None) == parameter.shape)
