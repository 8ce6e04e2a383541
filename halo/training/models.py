"""Loading the policy: one clear message for what cannot be loaded, dropout off, and the type it computes in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from halo.errors import ModelError
from halo.training.settings import Settings

LARGE = 20_000_000  # parameters; below, bfloat16's casts cost more than its products save


def load_tokenizer(name: str, settings: Settings) -> Any:
    """The tokenizer of a folder or hub name. Raises ModelError."""
    from transformers import AutoTokenizer

    _check_folder(name)
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=settings.trust_remote_code)
    except Exception as problem:  # transformers raises many kinds; all of them are about what was named
        raise _cannot("tokenizer", name, problem) from problem


def load_model(name: str, settings: Settings) -> Any:
    """The causal language model of a folder or hub name, dropout off. Raises ModelError."""
    from transformers import AutoModelForCausalLM

    _check_folder(name)
    options = {"attn_implementation": settings.attn_implementation} if settings.attn_implementation else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=getattr(torch, settings.dtype), trust_remote_code=settings.trust_remote_code, **options
        )
    except Exception as problem:
        raise _cannot("model", name, problem) from problem
    turn_off_dropout(model)
    return model


def _check_folder(name: str) -> None:
    path = Path(name)
    if path.exists() and not path.is_dir():
        raise ModelError("model", f"{name} is a file, not a model's folder")
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not path.exists():
        raise ModelError("not-found", f"there is no model folder {name}")
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelError("model", f"the folder {name} has no config.json", hint="give a folder that save_pretrained wrote")


def _cannot(what: str, name: str, problem: Exception) -> ModelError:
    first = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    return ModelError("model", f"the {what} {name!r} cannot be loaded: {first.strip()}", hint="a folder, or a hub name with network access")


def turn_off_dropout(model: Any) -> None:
    """A dropped policy is not the policy that is scored: every dropout probability becomes 0."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def wants_bf16(settings: Settings, parameters: int) -> tuple[bool, str]:
    """Whether to autocast to bfloat16, and why."""
    if settings.bf16 is not None:
        return settings.bf16, "as set"
    if settings.dtype != "float32":
        return False, f"weights are {settings.dtype}"
    if torch.cuda.is_available() and not settings.use_cpu:
        return torch.cuda.is_bf16_supported(), "what the GPU supports"
    if parameters < LARGE:
        return False, "a small model"
    ratio = _cpu_ratio()
    return ratio > 1.5, f"bfloat16 products run {ratio:.1f} x as fast as float32 here"


def _cpu_ratio() -> float:
    """Time of a float32 product over that of a bfloat16 one on this processor."""

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(6):
            start = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - start)
        return min(times[1:])

    return seconds(torch.float32) / seconds(torch.bfloat16)
