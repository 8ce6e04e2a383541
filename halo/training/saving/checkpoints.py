"""Saving and resuming. A checkpoint is written beside its place and moved there, so it is whole or absent."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from halo.backends.placement import Placement
from halo.errors import RunFailed, SettingsError
from halo.loss.function import LossFunction
from halo.reference.interface import FollowingReference, Reference
from halo.training.data.feed import Feed
from halo.training.model.lora import TRAINED, in_file, is_peft, weighs_as
from halo.training.step.metrics import Sums

STATE = "trainer_state.json"


def save_model(model: Any, tokenizer: Any, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
    """A folder that `from_pretrained` reads: safetensors (of an adapter only its own), config, tokenizer with its chat template.

    Each file is whole or absent.
    """
    draft = folder / ".model.draft"
    shutil.rmtree(draft, ignore_errors=True)
    options = {"selected_adapters": [TRAINED]} if is_peft(model) else {}
    model.save_pretrained(draft, state_dict=weights, **options)
    tokenizer.save_pretrained(draft)
    for file in draft.iterdir():
        os.replace(file, folder / file.name)
    draft.rmdir()


@dataclass(frozen=True)
class Carried:
    """What a run carries from step to step: all that a checkpoint holds. `scheduler` is that of the learning rate."""

    model: Any
    tokenizer: Any
    placement: Placement
    scheduler: Any
    loss: LossFunction
    feed: Feed
    reference: Reference | None


def save_checkpoint(output: Path, step: int, run: Carried, sums: Sums, limit: int | None) -> Path:
    """Writes `checkpoint-STEP` atomically and removes the oldest past `limit`. Every process calls it, the main one writes."""
    final, draft = output / f"checkpoint-{step}", output / f".checkpoint-{step}.draft"
    placement = run.placement
    weights = placement.weights(run.model)
    state = {"optimizer": placement.optimizer_state(), "scheduler": run.scheduler.state_dict(), "loss": run.loss.state_dict()}
    if isinstance(run.reference, FollowingReference):
        state["reference"] = placement.whole(run.reference.state_dict())
    state["feed"] = run.feed.state_dict()
    state["torch_rng"] = torch.get_rng_state()
    if not placement.is_main:
        return final
    shutil.rmtree(draft, ignore_errors=True)
    save_model(run.model, run.tokenizer, draft, weights)
    torch.save(state, draft / "optimizer.pt")
    (draft / STATE).write_text(json.dumps({"step": step, "sums": sums}))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(draft, final)
    if limit:
        for old in checkpoints(output)[:-limit]:
            shutil.rmtree(old)
    return final


def checkpoints(output: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    found = [p for p in output.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name) and (p / STATE).is_file()]
    return sorted(found, key=lambda p: int(p.name.split("-")[1]))


def find_checkpoint(path: str) -> tuple[Path, Path]:
    """A run's folder or one of its checkpoints -> (run folder, checkpoint). Raises SettingsError."""
    folder = Path(path)
    if (folder / STATE).is_file():
        return folder.parent, folder
    found = checkpoints(folder) if folder.is_dir() else []
    if not folder.is_dir():
        raise SettingsError("resume", f"there is no folder {path}", hint="a run's folder with checkpoint-N in it")
    if not found:
        hint = "only a run with --save-steps N leaves checkpoints, every N steps"
        raise SettingsError("resume", f"{path} holds no checkpoint to resume from", hint=hint)
    return folder, found[-1]


def restore(checkpoint: Path, run: Carried) -> tuple[int, Sums]:
    """Loads all that a run carries, and the random state; returns the step and the metrics not yet logged. Raises RunFailed."""
    _restore_weights(checkpoint, run.model, run.placement)
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    run.placement.load_optimizer_state(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.loss.load_state_dict(state.get("loss", {}))
    if isinstance(run.reference, FollowingReference):
        like = run.reference.state_dict()
        run.reference.load_state_dict({name: run.placement.laid(value, like.get(name)) for name, value in state["reference"].items()})
    run.feed.load_state_dict(state.get("feed", {}))
    torch.set_rng_state(state["torch_rng"])
    told = json.loads((checkpoint / STATE).read_text())
    return int(told["step"]), {name: (pair[0], pair[1]) for name, pair in told["sums"].items()}


def _restore_weights(checkpoint: Path, model: Any, placement: Placement) -> None:
    from safetensors.torch import load_file

    weights = {name: tensor for file in sorted(checkpoint.glob("*.safetensors")) for name, tensor in load_file(file).items()}
    state = model.state_dict()
    own = {name: name for name in state}
    if is_peft(model):
        own = in_file(model)
    missing, unexpected = set(own) - set(weights), set(weights) - set(own)
    fits = not unexpected and all(state[own[name]].shape == tensor.shape for name, tensor in weights.items())
    if missing - set(getattr(model, "_tied_weights_keys", None) or ()) or not fits or (is_peft(model) and not weighs_as(model, checkpoint)):
        raise RunFailed("resume", f"{checkpoint} does not hold the weights of this model", hint="resume with the settings of that run")
    placement.load_weights(model, {own[name]: tensor for name, tensor in weights.items()})
