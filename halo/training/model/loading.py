"""Loading the policy: one clear message for what cannot be loaded, dropout off, and the type it computes in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from halo.errors import ModelError
from halo.training.model.lora import base_of, check_used, is_adapter, trains_adapter, with_adapter, with_new_adapter
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


def load_policy(name: str, settings: Settings) -> Any:
    """The model that is trained: all of it, or an adapter in it. Raises ModelError."""
    trains = trains_adapter(settings)
    if (settings.load_in_4bit or settings.load_in_8bit) and not trains:
        raise ModelError("model", "quantised weights cannot be trained", hint="--use-peft trains an adapter in them")
    check_used(settings)
    if not trains and "quantization_config" in _told(name):
        message = f"the configuration of {name} says that its weights are quantised, and these cannot be trained"
        raise ModelError("model", message, hint="--use-peft trains an adapter in them; or take quantization_config out of config.json")
    model = load_model(name, settings)
    if not trains or is_adapter(name):
        return model
    return with_new_adapter(model, settings)


def load_model(name: str, settings: Settings) -> Any:
    """The causal language model of a folder or hub name, an adapter in its base, dropout off. Raises ModelError.

    It is in training mode, the reference too: bitsandbytes has other kernels for the other mode, without a gradient, and never goes back.
    """
    from transformers import AutoModelForCausalLM

    _check_folder(name)
    if is_adapter(name):
        return _ready(with_adapter(load_model(base_of(name), settings), name))
    if not settings.trust_remote_code:
        _check_kernels(name)
    options: dict[str, Any] = {}
    if settings.attn_implementation:
        options["attn_implementation"] = settings.attn_implementation
    if settings.load_in_4bit or settings.load_in_8bit:
        options["quantization_config"] = _quantised(settings)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=getattr(torch, settings.dtype), trust_remote_code=settings.trust_remote_code, **options
        )
    except Exception as problem:
        raise _cannot("model", name, problem) from problem
    return _ready(model)


def _check_kernels(name: str) -> None:
    """Raises ModelError for a configuration that names a kernel of the hub, such as `attn_implementation: owner/kernel`: that is code."""
    kernel = next(_kernels(_told(name)), "")
    if kernel:
        message = f"the configuration of {name} wants code from the hub: {kernel}"
        raise ModelError("model", message, hint="take it out of config.json, or give --trust-remote-code if you know it")


def _told(name: str) -> Mapping[str, Any]:
    """A model's configuration as it is written. Raises ModelError."""
    from transformers import PreTrainedConfig

    _check_folder(name)
    try:
        told: Mapping[str, Any] = PreTrainedConfig.get_config_dict(name)[0]
    except Exception as problem:
        raise _cannot("model", name, problem) from problem
    return told


def _kernels(value: Any) -> Iterator[str]:
    """What a configuration says of implementations that come from a repository, in all its parts."""
    if not isinstance(value, Mapping):
        return
    for key, held in value.items():
        chosen = held.values() if isinstance(held, Mapping) else [held]
        if str(key).endswith("implementation"):
            yield from (f"{key} {one}" for one in chosen if isinstance(one, str) and "/" in one)
        yield from _kernels(held)


def _ready(model: Any) -> Any:
    turn_off_dropout(model)
    return model.train()


def _quantised(settings: Settings) -> Any:
    """How bitsandbytes is to hold the weights. Raises ModelError where it is not installed."""
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        message = "quantised weights need the package bitsandbytes, which is not installed"
        raise ModelError("model", message, hint="pip install bitsandbytes")
    if settings.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=getattr(torch, settings.dtype)
    )


def check_same_vocabulary(tokenizer: Any, name: str, settings: Settings) -> None:
    """A reference reads the policy's token ids: its tokenizer must mean the same by each. Raises ModelError."""
    own, other = tokenizer.get_vocab(), load_tokenizer(name, settings).get_vocab()
    differing = sorted(token for token in own.keys() | other.keys() if own.get(token) != other.get(token))
    if differing:
        token = differing[0]
        such = f"such as {token!r} ({own.get(token)} and {other.get(token)})"
        message = f"the reference {name} has another vocabulary: {len(differing)} tokens differ, {such}"
        raise ModelError("model", message, hint="log-probs of one model's tokens mean nothing to the other")


def _check_folder(name: str) -> None:
    path = Path(name)
    if path.exists() and not path.is_dir():
        raise ModelError("model", f"{name} is a file, not a model's folder")
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not path.exists():
        raise ModelError("not-found", f"there is no model folder {name}")
    if path.is_dir() and not (path / "config.json").is_file() and not is_adapter(name):
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
    return ratio > 1.5, f"bfloat16 products run {ratio:.2g} x as fast as float32 here"


def _cpu_ratio() -> float:
    """Time of a float32 product over that of a bfloat16 one on this processor."""
    return _seconds(torch.float32) / _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    """The best of five products of (256, 1024) and (1024, 1024), after one to warm up."""
    a, b = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return min(times[1:])
