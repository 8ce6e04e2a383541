"""Which weights a model has, told by their content: the same in whichever folder they lie. No torch is imported.

A fingerprint is the sha256 over the files that `from_pretrained` reads from a folder. What changes no log-prob is left out: names of
folders, versions, the state of a trainer. The same weights in another form (.bin for .safetensors, other shards) have another fingerprint.
Weights in memory, which no file holds yet, are told by their names, types, sizes and numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from halo.cache import keep, kept
from halo.errors import ModelError

LARGE = 2**20
"""Bytes from which a file's hash is remembered."""
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "pytorch_model.bin", "pytorch_model-*-of-*.bin")
ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")
"""Of each, the first that a folder has is what `from_pretrained` reads."""
IDLE = {
    "_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "base_model_name_or_path", "revision", "inference_mode",
}  # fmt: skip
"""Entries of config.json and adapter_config.json that change no log-prob, or (the types, the base) are told elsewhere."""


def weights_fingerprint(name: str) -> str:
    """64 hexadecimal digits for the weights of a folder, or of the snapshot that a hub name stands for in the local hub cache.

    An adapter's hold those of its base. Raises ModelError where there are no weights.
    """
    folder = _folder(name)
    parts = list(_parts(folder))
    if not parts:
        raise ModelError("model", f"{folder} holds no weights that can be fingerprinted", hint=f"known are {', '.join(WEIGHTS + ADAPTER)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def state_fingerprint(state: Mapping[str, Any]) -> str:
    """64 hexadecimal digits for tensors by name, whatever their order and wherever they lie."""
    import torch

    result = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        own = tensor.detach().cpu().contiguous()
        result.update(f"{name} {own.dtype} {tuple(own.shape)}\n".encode())
        result.update(own.reshape(-1).view(torch.uint8).numpy())  # as bytes: numpy has no bfloat16
    return result.hexdigest()


def _folder(name: str) -> Path:
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with suppress(HFValidationError):
        for file in ("config.json", "adapter_config.json"):
            found = try_to_load_from_cache(name, file)
            if isinstance(found, str):
                return Path(found).parent
    raise ModelError("not-found", f"the weights of {name} are not on this machine", hint=f"hf download {name} fetches them")


def _parts(folder: Path) -> Iterator[str]:
    """A line for everything that matters: an adapter and its base, or weights; none where there are none."""
    if adapter := _first(folder, ADAPTER):
        told = _read(folder / "adapter_config.json")
        yield from _lines(adapter, "adapter_config.json", told)
        if base := told.get("base_model_name_or_path"):
            if _first(_folder(str(base)), ADAPTER):
                raise ModelError("model", f"{folder} names {base} as its base, which is an adapter itself")
            yield f"base {weights_fingerprint(str(base))}"
            return
    if weights := _first(folder, WEIGHTS):
        config = _read(folder / "config.json")
        code = sorted(folder.glob("*.py")) if "auto_map" in config else []
        yield from _lines([*weights, *code], "config.json", config)


def _lines(files: list[Path], name: str, config: dict[str, Any]) -> Iterator[str]:
    yield from (f"{file.name} {_digest(file)}" for file in files)
    yield f"{name} {json.dumps({key: value for key, value in config.items() if key not in IDLE}, sort_keys=True)}"


def _first(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])


def _read(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise ModelError("model", f"{file} is no JSON: {problem}") from None
    return told if isinstance(told, dict) else {}


def _digest(file: Path) -> str:
    """sha256 of a file. That of a large one is remembered for as long as the file is left alone."""
    real = file.resolve()
    stat = real.stat()
    if stat.st_size < LARGE:
        return _hashed(real)
    # st_ctime_ns cannot be set: tar, rsync and object stores put another file of the same size and the same old time in place
    known = f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
    name = hashlib.sha256(known.encode()).hexdigest()[:32]
    remembered = kept("weights", name)
    if remembered is not None:
        return remembered
    result = _hashed(real)
    keep("weights", name, result)
    return result


def _hashed(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
