"""What a run will take: parameters, memory and steps, from the model's configuration alone. Nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from halo.compiler.graph import Needs
from halo.errors import ModelError
from halo.training.model.lora import base_of, is_adapter, trains_adapter
from halo.training.run.references import chosen_reference
from halo.training.settings import Settings

ACTIVATIONS = 26
"""Numbers of the hidden size that a layer of a Llama-like model keeps of a token for its backward pass: 6 of two norms, 9 of queries,
keys and values before and after their rotation and of the attention's output, 11 of a feed-forward part about three times as wide."""


@dataclass(frozen=True)
class Estimate:
    """Bytes. An estimate: kernels, allocators and attention add to it."""

    parameters: int
    weights: int
    gradients: int
    optimizer: int
    reference: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.reference + self.activations


def estimate(name: str, settings: Settings, needs: Needs, tokens: int) -> Estimate:
    """For micro-batches of so many tokens. Raises ModelError for a model whose configuration cannot be read."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if is_adapter(name):
        name = base_of(name)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=settings.trust_remote_code)
    except Exception as problem:  # transformers raises many kinds; all of them are about what was named
        first = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
        raise ModelError("model", f"the configuration of {name!r} cannot be read: {first.strip()}") from problem
    count, size = sum(p.numel() for p in model.parameters()), torch.empty(0, dtype=getattr(torch, settings.dtype)).element_size()
    trained, held, width, text = count, float(count * size), size, config.get_text_config()
    if trains_adapter(settings):
        trained = _adapter_size(model, settings)
    if settings.load_in_8bit:
        held = count
    if settings.load_in_4bit:
        held = count / 2
    kept = text.hidden_size * text.num_hidden_layers
    if not settings.gradient_checkpointing:
        kept *= ACTIVATIONS
    if settings.bf16:
        width = 2
    second = needs.reference and "loads_model" in chosen_reference(settings)[0].abilities and not settings.precompute_ref_log_probs
    return Estimate(count, int(held), trained * size, 2 * trained * size, int(held) * second, tokens * kept * width)


def _adapter_size(model: Any, settings: Settings) -> int:
    """Numbers of an adapter on every linear layer but the head, or on those that are named."""
    head, names = model.get_output_embeddings(), settings.lora_target_modules or ["all-linear"]
    layers = [m for name, m in model.named_modules() if name.rpartition(".")[2] in names]
    if names == ["all-linear"]:
        layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    return settings.lora_r * sum(int(m.in_features + m.out_features) for m in layers)
