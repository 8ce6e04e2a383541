"""DeepSpeed: the policy in an engine that keeps optimizer state (ZeRO 1), gradients (2) and weights (3) in parts on the processes.

Accelerate makes the engine from the launcher's configuration. What halo does by itself is taken out of that configuration: accumulation,
the batch's size, the optimizer, the schedule. Weights keep their own type and autocast casts them, as on one process; with
`--dtype bfloat16` the engine keeps float32 copies for the update.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch

from halo.plugin import BackendContext, Launched, Place, Placement, PluginError, RunFailed, SettingsError

PLAIN = (int, float, str, bool, type(None))


def build(context: BackendContext) -> Engine:
    """The launcher's processes, whose `prepare` makes the engine. Raises PluginError, RunFailed and SettingsError for what cannot be."""
    if find_spec("deepspeed") is None:
        raise PluginError("plugin", "--backend deepspeed needs the package deepspeed", hint="pip install deepspeed")
    if "LOCAL_RANK" not in os.environ:
        message = "the backend deepspeed needs a launcher, even for one process"
        raise RunFailed("self-test", message, hint="accelerate launch -m halo train ...")
    return Engine(context)


def _configure(config: dict[str, Any], context: BackendContext) -> None:
    """Puts in what halo decides, and refuses what it does itself. Raises SettingsError."""
    place = Place("DeepSpeed's configuration")
    for key, ours in (("optimizer", "halo's AdamW"), ("scheduler", "--lr-scheduler-type")):
        if key in config:
            raise SettingsError("wrong-value", f"it has an entry {key!r}", place=place, hint=f"leave it out: {ours} is used")
    for key in ("fp16", "bf16"):
        if str(config.get(key, {}).get("enabled", "")).lower() == "true":
            raise SettingsError("wrong-value", f"it enables {key}", place=place, hint="'auto'; --dtype and --bf16 say what is computed in")
        config.pop(key, None)
    zero = config["zero_optimization"]
    if int(zero.get("stage", 0)) == 0:
        message = "it asks for ZeRO stage 0, which shards nothing"
        raise SettingsError("wrong-value", message, place=place, hint="stage 1, 2 or 3, or --backend ddp")
    zero["stage3_gather_16bit_weights_on_model_save"] = True
    config |= {
        "gradient_accumulation_steps": 1,  # halo accumulates itself
        "gradient_clipping": context.max_grad_norm,
        "train_micro_batch_size_per_gpu": 1,  # the engine only divides by it what it prints
        "train_batch_size": "auto",
        "steps_per_print": 1 << 62,
    }


class Engine(Launched):
    """A DeepSpeed engine around the scorer. It reduces gradients, clips and steps as one."""

    sharded = True

    def __init__(self, context: BackendContext) -> None:
        from accelerate import PartialState
        from accelerate.utils import DeepSpeedPlugin, DistributedType
        from transformers.integrations import unset_hf_deepspeed_config

        plugin = DeepSpeedPlugin(gradient_accumulation_steps=1, zero3_init_flag=False, zero3_save_16bit_model=True)
        _configure(plugin.deepspeed_config, context)
        super().__init__(replace(context, mixed_precision="no"), deepspeed_plugin=plugin)
        self.context = context
        if self.accelerator.distributed_type != DistributedType.DEEPSPEED:  # accelerate passes DeepSpeed over on CPUs, without a word
            self.accelerator.state.distributed_type = PartialState().distributed_type = DistributedType.DEEPSPEED
            self.accelerator.state.deepspeed_plugins = plugin
            plugin.select(_from_accelerator_state=True)
        unset_hf_deepspeed_config()  # in stage 3 transformers would load a reference in parts that no engine puts together

    @property
    def stage(self) -> int:
        """Of ZeRO."""
        return int(self.accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]["stage"])

    @property
    def moves(self) -> bool:  # type: ignore[override]
        """Weights in parts are no tensors of their own that a reference could read."""
        return self.stage < 3

    # -- laid on the devices ---------------------------------------------------------------------------------------

    def prepare(self, scorer: Any, optimizer: Callable[[], Any]) -> None:
        weight = scorer.model.get_output_embeddings().weight
        if weight.dtype not in (torch.float32, torch.bfloat16):
            raise SettingsError("wrong-value", "DeepSpeed has no engine for this type", place=Place("--dtype"), hint="float32 or bfloat16")
        self.accelerator.state.deepspeed_plugin.deepspeed_config["bf16"] = {"enabled": weight.dtype == torch.bfloat16}
        self.in_precision(scorer).config = scorer.model.config  # the configuration's 'auto' sizes are read from it
        engine, _ = self.accelerator.prepare(scorer, optimizer())
        if self.stage == 3:  # the head's weights are read outside of its own forward
            import deepspeed  # type: ignore[import-not-found]

            deepspeed.zero.register_external_parameter(scorer, weight)
        self.module, self.optimizer = engine, engine.basic_optimizer

    def autocast(self) -> AbstractContextManager[Any]:
        """As set for the run: the engine is kept at the weights' own type."""
        return Placement.autocast(self)

    # -- one step --------------------------------------------------------------------------------------------------

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.module.set_gradient_accumulation_boundary(False)
        try:
            yield
        finally:
            self.module.set_gradient_accumulation_boundary(True)

    def backward(self, outputs: Sequence[Any], grads: Sequence[Any]) -> None:
        """The engine takes a number: one whose gradients are these."""
        number = torch.stack([(output * grad).sum() for output, grad in zip(outputs, grads, strict=True)]).sum()
        self.module.backward(number, scale_wrt_gas=False)

    def update(self, limit: float) -> float:
        """As Placement's, but the engine clips (to the limit it was made with) and steps in one, and tells the norm afterwards."""
        self.module.set_gradient_accumulation_boundary(True)
        self.module.step()
        norm = float(self.module.get_global_grad_norm())
        if not math.isfinite(norm):
            raise RunFailed("non-finite", f"the gradient's norm was {norm}", hint="the weights are lost; lower the learning rate")
        return norm

    # -- writing ---------------------------------------------------------------------------------------------------

    def gathered(self, model: Any) -> AbstractContextManager[Any]:
        """Below stage 3 every process holds the weights whole."""
        if self.stage < 3:
            return nullcontext()
        return super().gathered(model)

    # -- files -----------------------------------------------------------------------------------------------------

    def weights(self, model: Any) -> dict[str, Any] | None:
        if self.stage < 3:
            return None
        state = self.accelerator.get_state_dict(self.module) or {}
        return {name.removeprefix("model."): tensor for name, tensor in state.items()}

    def load_weights(self, model: Any, state: dict[str, Any]) -> None:
        """In stage 3 the parts come back with the optimizer's."""
        if self.stage < 3:
            super().load_weights(model, state)

    def optimizer_state(self) -> Any:
        """The parts of all processes, as the main one is to write them: what the engine keeps besides numbers and tensors it makes anew."""
        own = {key: value for key, value in _on_cpu(self.module.optimizer.state_dict()).items() if _is_plain(value)}
        parts: list[Any] | None = [None] * self.size if self.is_main else None
        torch.distributed.gather_object(own, parts, dst=0)
        return {"parts": parts}

    def load_optimizer_state(self, state: Any) -> None:
        parts = state.get("parts")
        if parts is None or len(parts) != self.size:
            written = f"{len(parts)} processes of DeepSpeed" if parts else "another backend"
            raise RunFailed("resume", f"the checkpoint was written by {written}", hint="resume with the processes and backend of that run")
        fresh = self.module.optimizer.state_dict()
        self.module.optimizer.load_state_dict([{**fresh, **part} for part in parts], load_from_fp32_weights=True)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on_cpu(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_on_cpu(entry) for entry in value]
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(entry) for entry in value.values())
    if isinstance(value, list):
        return all(_is_plain(entry) for entry in value)
    return isinstance(value, torch.Tensor) or type(value) in PLAIN
