"""Training a low-rank adapter instead of all weights (LoRA, arXiv:2106.09685), through peft, which is an optional dependency."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo.errors import ModelError, Place, SettingsError
from halo.training.settings import Settings

CONFIG = "adapter_config.json"
TRAINED = "default"
"""peft's name of the adapter that is trained."""


def is_adapter(name: str | None) -> bool:
    """Whether a folder holds an adapter and not a whole model."""
    return name is not None and (Path(name) / CONFIG).is_file()


def base_of(folder: str) -> str:
    """The model that an adapter was trained on. Raises ModelError."""
    try:
        config = json.loads((Path(folder) / CONFIG).read_text())
    except (OSError, ValueError) as problem:
        raise ModelError("model", f"{folder}/{CONFIG} cannot be read: {problem}") from None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not base:
        message, hint = f"{folder}/{CONFIG} names no base_model_name_or_path", "name the folder or the hub name of the base model"
        raise ModelError("model", message, hint=hint)
    if is_adapter(str(base)):
        hint = "merge that one with halo export, and name what it gives"
        raise ModelError("model", f"{folder}/{CONFIG} names {base} as its base, which is an adapter itself", hint=hint)
    return str(base)


def trains_adapter(settings: Settings) -> bool:
    """Whether a run trains an adapter: a new one, or the one that its model is."""
    return settings.use_peft or is_adapter(settings.model_name_or_path)


def check_used(settings: Settings) -> None:
    """Raises SettingsError for settings of a new adapter where none is made: all weights would be trained, or the adapter that is there."""
    if settings.use_peft and not is_adapter(settings.model_name_or_path):
        return
    why, hint = "no adapter is trained", "--use-peft"
    if is_adapter(settings.model_name_or_path):
        why, hint = f"{settings.model_name_or_path} is an adapter with its own", "leave it out"
    for name in ("lora_r", "lora_alpha", "lora_target_modules"):
        if getattr(settings, name) != Settings.model_fields[name].default:
            raise SettingsError("wrong-value", why, place=Place(f"--{name.replace('_', '-')}"), hint=hint)


def with_adapter(model: Any, folder: str) -> Any:
    """The model with the adapter of a folder, which goes on being trained. Raises ModelError."""
    try:
        with _quiet():
            found = _peft().PeftModel.from_pretrained(model, folder, adapter_name=TRAINED, is_trainable=True)
    except Exception as problem:  # peft and torch raise many kinds; all of them are about what was named
        first = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise ModelError("model", f"the adapter {folder} cannot be put into its base: {first}") from problem
    return _read_by_halo(found, f"the adapter {folder}")


def with_new_adapter(model: Any, settings: Settings) -> Any:
    """The model with an untrained adapter: it changes nothing yet. Raises ModelError."""
    peft = _peft()
    targets = settings.lora_target_modules or ["all-linear"]
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=settings.lora_r, lora_alpha=settings.lora_alpha, lora_dropout=0.0,
        target_modules=targets[0] if targets == ["all-linear"] else targets,
    )  # fmt: skip
    try:
        with _quiet():
            found = peft.get_peft_model(model, config)
    except ValueError as problem:  # names that no module of the model has
        raise ModelError("model", str(problem).splitlines()[0], hint="--lora-target-modules all-linear fits every model") from problem
    return _read_by_halo(found, f"an adapter of --lora-target-modules {','.join(targets)}")


def in_file(model: Any) -> dict[str, str]:
    """What the trained adapter's tensors are called in its file -> in the model's state: peft alone knows which belong to an adapter."""
    state = model.state_dict()
    names = {id(tensor): name for name, tensor in state.items()}
    with _quiet():
        kept = _peft().get_peft_model_state_dict(model, state_dict=state, adapter_name=TRAINED)
    return {name: names[id(tensor)] for name, tensor in kept.items()}


def weighs_as(model: Any, folder: Path) -> bool:
    """Whether the adapter of a folder counts as much as the trained one: no tensor says so."""
    try:
        told = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    ours = model.peft_config[TRAINED].to_dict()
    return all(told.get(name) == ours.get(name) for name in ("lora_alpha", "use_rslora", "alpha_pattern"))


def is_peft(model: Any) -> bool:
    """Whether the model carries adapters; asked of models that peft never saw too."""
    return hasattr(model, "peft_config") and hasattr(model, "disable_adapter")


def _read_by_halo(model: Any, what: str) -> Any:
    """The model, if no adapter lies on its head. Raises ModelError: the head's weights are read in chunks, not what is added to them."""
    if hasattr(model.get_output_embeddings(), "base_layer"):
        hint = "leave the head out; the rest of the model is what all-linear names"
        raise ModelError("model", f"{what} lies on the model's head, where its log-probs would not hold it", hint=hint)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """peft asks transformers for properties under names that transformers has given up; that is between the two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def require_peft() -> None:
    """Raises ModelError where peft is not installed."""
    _peft()


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ModelError("model", "adapters need the package peft, which is not installed", hint="pip install 'halo-align[peft]'") from None
    return peft
