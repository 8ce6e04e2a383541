"""The processes of a run and how the policy lies on their devices: laid there, trained, put together for a file or to write, and loaded.

`Placement` itself is one process with plain torch. `Launched` is over the processes of a launcher, by accelerate, which only it knows.
A backend that shards supplies a subclass. Halo calls each method on every process, in the same order, so that a method may talk to
the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from halo.backends.context import BackendContext
from halo.errors import Place, RunFailed, SettingsError


class Placement:
    """What a run needs of where it happens.

    context    what the settings say
    rank       this process, counted from 0; `size` is how many there are
    device     of this process (a torch.device)
    sharded    whether a process holds only a part of the policy: then nothing but the prepared scorer may run it
    moves      whether a reference that follows the policy can read its parameters, as they are or as DTensors
    module     the prepared scorer; `optimizer` is what updates its parameters: both stand after `prepare`
    """

    sharded = False
    moves = True
    rank: int = 0
    size: int = 1
    device: Any
    module: Any
    optimizer: Any

    def __init__(self, context: BackendContext) -> None:
        import torch

        self.context = context
        on_gpu = torch.cuda.is_available() and not context.cpu
        self.device = torch.device("cuda" if on_gpu else "cpu")

    # -- the processes ---------------------------------------------------------------------------------------------

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """What every process gave, in the order of their ranks: plain values, and tensors on the CPU."""
        return [value]

    def barrier(self) -> None:
        """Returns when every process is here."""

    def watched(self) -> AbstractContextManager[None]:
        """Around the steps: a process that comes no further while the others wait for it is named, after `context.timeout` seconds."""
        return nullcontext()

    def open_trackers(self, name: str, settings: Mapping[str, Any]) -> None:
        """Before the first number, if any tracker is asked for (`context.trackers`): the run's name and settings."""
        message = f"this backend sends numbers to no tracker, such as {', '.join(self.context.trackers)}"
        raise SettingsError("wrong-value", message, place=Place("--report-to"), hint="metrics.jsonl is always written")

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Sends numbers to the trackers that are open."""

    def close_trackers(self) -> None:
        """After the last number."""

    # -- laid on the devices ---------------------------------------------------------------------------------------

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        """Takes the policy's Scorer (its model: `scorer.model`), and what builds the optimizer over its parameters as they then are."""
        self.module = self.in_precision(scorer.to(self.device))
        self.optimizer = optimizer()

    def in_precision(self, scorer: Any) -> Any:
        """The scorer, whose every forward from here on runs in `autocast`."""
        forward = scorer.forward

        def autocast(*arguments: Any, **more: Any) -> Any:
            with self.autocast():
                return forward(*arguments, **more)

        scorer.forward = autocast
        return scorer

    def frozen(self, scorer: Any) -> Any:
        """The Scorer of a reference, which nothing trains: to be called, or asked for its `states`."""
        return scorer.to(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that products run in, also of what is run beside the module: a reference."""
        import torch

        enabled = self.context.mixed_precision == "bf16"
        # a packed pass uses each weight once: keeping casts costs memory only
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    # -- one step --------------------------------------------------------------------------------------------------

    def no_sync(self) -> AbstractContextManager[Any]:
        """Around every micro-batch of a step but the last: gradients need not be exchanged yet."""
        return nullcontext()

    def backward(self, outputs: Sequence[Any], grads: Sequence[Any]) -> None:
        """Backpropagates `grads` from what the module gave. Over a step the MEAN over the processes must arrive in the parameters."""
        import torch

        torch.autograd.backward(list(outputs), list(grads))

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

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def generating(self, model: Any) -> Iterator[Any]:
        """The policy whole, without dropout and with its cache, for as long as this lasts: `with placement.generating(model) as policy`.

        Every process must enter, and leaves with the policy as it was. Raises RunFailed for one that cannot be put together.
        """
        import torch

        training, cache = model.training, model.config.use_cache
        model.eval()
        model.config.use_cache = True
        try:
            with self.gathered(model), self.autocast(), torch.no_grad():
                yield model
        finally:
            model.train(training)
            model.config.use_cache = cache

    def gathered(self, model: Any) -> AbstractContextManager[Any]:
        """Puts the policy's parameters together on every process, where they lie in parts."""
        if self.sharded:
            message = "the policy lies in parts on several processes, and this backend does not put it together to write with it"
            raise RunFailed("self-test", message, hint="--backend ddp, which holds it whole")
        return nullcontext()

    # -- files -----------------------------------------------------------------------------------------------------

    def whole(self, state: Any) -> Any:
        """Nested dicts and lists of tensors -> the same with whole tensors, at least on the main process, which writes them."""
        return state

    def laid(self, tensor: Any, like: Any) -> Any:
        """A whole tensor, the same on every process -> laid on the devices as `like` is. The inverse of `whole`."""
        return tensor

    def weights(self, model: Any) -> dict[str, Any] | None:
        """What is exported: the model's whole state by name, for the main process. None: it can be read from the model itself."""
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
        values = {index: self._laid_entry(entry, parameters[index]) for index, entry in state["state"].items()}
        self.optimizer.load_state_dict({**state, "state": values})

    def _laid_entry(self, entry: Mapping[str, Any], parameter: Any) -> dict[str, Any]:
        """A parameter's state in the optimizer, laid as the parameter is."""
        laid = dict(entry)
        for key, value in entry.items():
            if _fits(value, parameter):
                laid[key] = self.laid(value, parameter)
        return laid


def _fits(value: Any, parameter: Any) -> bool:
    """Whether an entry of an optimizer's state has a number for each of the parameter's."""
    return bool(getattr(value, "shape", None) == parameter.shape)
