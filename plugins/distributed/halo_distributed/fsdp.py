"""FSDP2: every process holds a part of each parameter, its gradient and its optimizer state, as DTensors.

The unit that is put together for use is a decoder layer, and the rest (embeddings, last norm, head) is one more. Weights are gathered in
their own type and autocast casts them, as it does for one process: the numbers of a run do not depend on the backend.

Accelerate sets the process group up and reads the launcher's configuration. Its `prepare` is not used: it wants the optimizer with the
model, gathers the head only where the head is called as a module (halo's chunks read its weights), rounds the module's output (halo's
log-probs) to bfloat16, and does nothing at all on CPUs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, OffloadPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from halo.plugin import BackendContext, Launched, ModelError
from halo_distributed.launching import refuse, require_several


def build(context: BackendContext) -> FullySharded:
    """The launcher's processes, with its FSDP settings. Raises RunFailed and SettingsError for what cannot be."""
    require_several("fsdp")
    refuse("FSDP_VERSION", ("1",), "it asks for FSDP 1", "fsdp_version: 2 (accelerate to-fsdp2 converts a configuration)")
    refuse("FSDP_ACTIVATION_CHECKPOINTING", ("true", "1"), "it asks for activation checkpointing", "--gradient-checkpointing does it")
    refuse("FSDP_AUTO_WRAP_POLICY", ("size_based_wrap",), "it asks to wrap by size", "TRANSFORMER_BASED_WRAP; layers are the units here")
    return FullySharded(context)


class FullySharded(Launched):
    """Parameters, gradients and optimizer state as DTensors, split along their first dimension."""

    sharded = True

    def __init__(self, context: BackendContext) -> None:
        # loading on the first process alone would leave a reference, which is loaded later, without weights on all others
        settings: Any = FullyShardedDataParallelPlugin(fsdp_version=2, cpu_ram_efficient_loading=False)
        super().__init__(context, fsdp_plugin=settings)
        self._settings: Any = getattr(self.accelerator.state, "fsdp_plugin", None) or settings
        self._mesh: DeviceMesh = init_device_mesh(self.device.type, (self.size,))

    # -- laid on the devices ---------------------------------------------------------------------------------------

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        self.in_precision(scorer)
        self._shard(scorer, whole_until_backward=True)
        scorer.touched = lambda: None
        register_fsdp_forward_method(scorer, "touched")
        self.module, self.optimizer = scorer, optimizer()

    def frozen(self, scorer: Any) -> Any:
        """Sharded likewise. Its `states` keep a copy of the head, whose parameters are parts again when they are read."""
        states = scorer.states

        def kept(rows: Any) -> Any:
            found = states(rows)
            return replace(found, weight=found.weight.clone(), bias=None if found.bias is None else found.bias.clone())

        scorer.states = kept
        self._shard(scorer, whole_until_backward=False)
        register_fsdp_forward_method(scorer, "states")
        return scorer

    def _shard(self, scorer: Any, whole_until_backward: bool) -> None:
        """Splits the decoder layers, then what is left. The latter need not be gathered twice where a backward pass follows."""
        options: dict[str, Any] = {"mesh": self._mesh, "offload_policy": self._settings.cpu_offload or OffloadPolicy()}
        for layer in self._layers(scorer.model):
            fully_shard(layer, reshard_after_forward=self._settings.reshard_after_forward, **options)
        fully_shard(scorer, reshard_after_forward=not whole_until_backward, **options)

    def _layers(self, model: Any) -> list[Any]:
        """The modules of the classes that the launcher or the model names. Raises ModelError if the launcher's are not there."""
        named = self._settings.transformer_cls_names_to_wrap
        classes = set(named or getattr(model, "_no_split_modules", None) or ())
        layers = [module for module in model.modules() if type(module).__name__ in classes]
        if named and not layers:
            raise ModelError("model", f"the model has no layer of the class {', '.join(named)}", hint="fsdp_transformer_layer_cls_to_wrap")
        return layers

    # -- one step --------------------------------------------------------------------------------------------------

    def no_sync(self) -> AbstractContextManager[Any]:
        """Nothing: gradients are reduced after every micro-batch, since kept back they would be whole on every process."""
        return nullcontext()

    def clipped(self, parameters: Sequence[Any], limit: float) -> float:
        norm: Any = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        if isinstance(norm, DTensor):  # of the parts here: those of all processes together
            norm = norm.to(self._mesh.device_type).full_tensor()  # type: ignore[attr-defined]
        if math.isfinite(limit):
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return float(norm)

    # -- writing ---------------------------------------------------------------------------------------------------

    @contextmanager
    def gathered(self, model: Any) -> Iterator[None]:
        """Every unit put together and kept so, since a forward of the model alone would give each back after its use."""
        self.module.touched()  # a unit that ran before the whole would take itself for the whole
        for unit in self._units():
            unit.set_reshard_after_forward(False, recurse=False)
            unit.unshard()
        try:
            yield
        finally:
            for unit in self._units():
                unit.set_reshard_after_forward(self._settings.reshard_after_forward and unit is not self.module, recurse=False)
            self._reshard()

    # -- files -----------------------------------------------------------------------------------------------------

    def whole(self, state: Any) -> Any:
        """Gathers one tensor after the other; those that the main process does not need are dropped at once."""
        if isinstance(state, dict):
            return {key: self.whole(value) for key, value in state.items()}
        if isinstance(state, (list, tuple)):
            return type(state)(self.whole(value) for value in state)
        if not isinstance(state, DTensor):
            return state
        gathered = state.to(self._mesh.device_type).full_tensor()  # type: ignore[attr-defined]
        return gathered.cpu() if self.is_main else None

    def laid(self, tensor: Any, like: Any) -> Any:
        if not isinstance(like, DTensor):
            return tensor
        return distribute_tensor(tensor.to(self._mesh.device_type), like.device_mesh, like.placements).to(like.device)

    def weights(self, model: Any) -> dict[str, Any]:
        self._reshard()
        state = model.state_dict()
        twice = {name for name, _ in model.named_parameters(remove_duplicate=False)} - {name for name, _ in model.named_parameters()}
        found: dict[str, Any] = self.whole({name: tensor for name, tensor in state.items() if name not in twice})  # tied ones once
        return found

    def load_weights(self, model: Any, state: dict[str, Any]) -> None:
        self._reshard()
        super().load_weights(model, state)

    def _reshard(self) -> None:
        """What a pass without a backward left whole is stale as soon as the parts change."""
        for unit in self._units():
            unit.reshard()

    def _units(self) -> list[FSDPModule]:
        """The layers, and what is left of the scorer."""
        return [module for module in self.module.modules() if isinstance(module, FSDPModule)]
