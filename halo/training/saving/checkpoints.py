"""Saving and resuming. A checkpoint is written beside its place and moved there, so it is whole or absent, and knows its own files."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from halo.backends.placement import Placement
from halo.errors import RunFailed, SettingsError
from halo.files.manifest import MANIFEST, Damaged, read_manifest, verified, write_manifest
from halo.files.whole import as_new_files, draft_of, move_folder, sync_tree, synced
from halo.loss.function import LossFunction
from halo.reference.interface import FollowingReference, Reference
from halo.training.data.feed import Feed
from halo.training.model.lora import TRAINED, in_file, is_peft, weighs_as
from halo.training.model.optimizer import as_set
from halo.training.settings import Settings
from halo.training.step.metrics import Sums

STATE = "trainer_state.json"


def save_model(model: Any, tokenizer: Any, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
    """A folder that `from_pretrained` reads: safetensors (of an adapter only its own), config, tokenizer with its chat template.

    Each file is whole or absent. Raises OSError where one cannot be written.
    """
    draft = draft_of(folder / "model")
    shutil.rmtree(draft, ignore_errors=True)
    options = {"selected_adapters": [TRAINED]} if is_peft(model) else {}
    try:
        model.save_pretrained(draft, state_dict=weights, **options)
        tokenizer.save_pretrained(draft)
        as_new_files(draft)
        sync_tree(draft)
    except SafetensorError as problem:  # a full disk, in safetensors' words
        raise OSError(str(problem)) from problem
    for file in draft.iterdir():
        os.replace(file, folder / file.name)
    draft.rmdir()
    synced(folder)


def not_finite(model: Any, weights: Mapping[str, Any] | None) -> str:
    """The name of a trained weight that holds a number that is none, or nothing."""
    held = weights or {name: p for name, p in model.named_parameters() if p.requires_grad}
    return next((name for name, tensor in held.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())), "")


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


def save_checkpoint(output: Path, step: int, run: Carried, sums: Sums, limit: int | None, about: Mapping[str, Any]) -> Path:
    """Writes `checkpoint-STEP`, whole or not at all, and removes the oldest past `limit`. Every process calls it, the main one writes.

    `about`: what the run is, which a resumed one must be too. Raises RunFailed for weights that are no numbers, on every process, and
    where it cannot be written.
    """
    final = output / f"checkpoint-{step}"
    draft, placement = draft_of(final), run.placement
    weights = placement.weights(run.model)
    state = {"optimizer": placement.optimizer_state(), "scheduler": run.scheduler.state_dict(), "loss": run.loss.state_dict()}
    if isinstance(run.reference, FollowingReference):
        state["reference"] = placement.whole(run.reference.state_dict())
    state["feed"] = run.feed.state_dict()
    state["torch_rng"] = torch.get_rng_state()
    check_finite(output, run, weights, step)
    if not placement.is_main:
        return final
    try:
        shutil.rmtree(draft, ignore_errors=True)
        save_model(run.model, run.tokenizer, draft, weights)
        _save_state(state, draft / "optimizer.pt")
        (draft / STATE).write_text(json.dumps({"step": step, "sums": sums}))
        write_manifest(draft, {"step": step, "about": about})
        move_folder(draft, final)
    except OSError as problem:
        shutil.rmtree(draft, ignore_errors=True)
        raise RunFailed("output-folder", f"{final} could not be written: {_reason(problem)}", hint=kept(output)) from None
    if limit:
        for old in checkpoints(output)[:-limit]:
            shutil.rmtree(old)
    return final


def _save_state(state: Mapping[str, Any], file: Path) -> None:
    """Raises OSError where the disk is full: torch has several words for it, none of them the system's."""
    try:
        torch.save(state, file)
    except RuntimeError as problem:
        left = shutil.disk_usage(file.parent).free
        raise OSError(f"{str(problem).splitlines()[0]} ({left:,} bytes are left on the disk)") from problem


def check_finite(output: Path, run: Carried, weights: Mapping[str, Any] | None, step: int) -> None:
    """Raises RunFailed, on every process, for weights that are no numbers: they are never saved."""
    bad = run.placement.gather(not_finite(run.model, weights) if run.placement.is_main or weights is None else "")
    name = next(filter(None, bad), "")
    if name:
        message = f"the weights are no longer finite after step {step}, {name} among them, and are not saved"
        failed = RunFailed("non-finite", message, hint=f"lower the learning rate; {kept(output)}")
        failed.shared = True
        raise failed


def kept(output: Path) -> str:
    """What of a run is safe, in words."""
    found = good_checkpoint(output)
    if found is None:
        return "no checkpoint was kept"
    return f"the last good checkpoint is {found}"


def _reason(problem: Exception) -> str:
    return (isinstance(problem, OSError) and problem.strerror) or str(problem).splitlines()[0]


def checkpoints(output: Path) -> list[Path]:
    """Finished checkpoints of a run, oldest first."""
    found = [p for p in output.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name) and (p / MANIFEST).is_file()]
    return sorted(found, key=lambda p: int(p.name.split("-")[1]))


def good_checkpoint(output: Path, besides: Path | None = None) -> Path | None:
    """The newest one that is as it was written."""
    for found in reversed(checkpoints(output)):
        try:
            verified(found)
        except Damaged:
            continue
        if found != besides:
            return found
    return None


def find_checkpoint(path: str) -> tuple[Path, Path]:
    """A run's folder or one of its checkpoints -> (run folder, checkpoint). Raises SettingsError."""
    folder = Path(path)
    if re.fullmatch(r"checkpoint-\d+", folder.name) and folder.is_dir():
        return folder.parent, folder
    found = checkpoints(folder) if folder.is_dir() else []
    if not folder.is_dir():
        raise SettingsError("resume", f"there is no folder {path}", hint="a run's folder with checkpoint-N in it")
    if not found:
        hint = "only a run with --save-steps N leaves checkpoints, every N steps"
        raise SettingsError("resume", f"{path} holds no checkpoint to resume from", hint=hint)
    return folder, found[-1]


def known_good(checkpoint: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, every file of which is as it was written. Raises SettingsError and names one that can be used."""
    try:
        return verified(checkpoint)
    except Damaged as problem:
        other = good_checkpoint(checkpoint.parent)
        hint = f"the newest good one is {other}: --resume {other}" if other else "no other checkpoint of the run is good"
        raise SettingsError("resume", f"{checkpoint} is damaged: {problem}", hint=hint) from None


def restore(checkpoint: Path, run: Carried, settings: Settings) -> tuple[int, Sums]:
    """Loads all that a run carries, and the random state; returns the step and the metrics not yet logged. Raises RunFailed.

    What the settings say of the optimizer holds from here on.
    """
    _restore_weights(checkpoint, run.model, run.placement)
    state = _state_of(checkpoint)
    run.placement.load_optimizer_state(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    as_set(run.placement.optimizer, run.scheduler, settings)
    run.loss.load_state_dict(state.get("loss", {}))
    if isinstance(run.reference, FollowingReference):
        like = run.reference.state_dict()
        run.reference.load_state_dict({name: run.placement.laid(value, like.get(name)) for name, value in state["reference"].items()})
    if not settings.resume_anyway:
        run.feed.load_state_dict(state.get("feed", {}))
    torch.set_rng_state(state["torch_rng"])
    told = json.loads((checkpoint / STATE).read_text())
    return int(told["step"]), {name: (pair[0], pair[1]) for name, pair in told["sums"].items()}


def _state_of(checkpoint: Path) -> dict[str, Any]:
    """Tensors and plain values; what else a pickle asks for is not run. Raises RunFailed."""
    file = checkpoint / "optimizer.pt"
    try:
        found: dict[str, Any] = torch.load(file, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as problem:
        first = str(problem).splitlines()[0].partition(".")[0]
        raise RunFailed("resume", f"{file} is not what halo wrote: {first}", hint="resume from another checkpoint") from None
    return found


def _restore_weights(checkpoint: Path, model: Any, placement: Placement) -> None:
    from safetensors.torch import load_file

    held = sorted(name for name in read_manifest(checkpoint)["files"] if name.endswith(".safetensors"))  # what else lies there is not ours
    weights = {name: tensor for file in held for name, tensor in load_file(checkpoint / file).items()}
    state = model.state_dict()
    own = {name: name for name in state}
    if is_peft(model):
        own = in_file(model)
    missing, unexpected = set(own) - set(weights), set(weights) - set(own)
    fits = not unexpected and all(state[own[name]].shape == tensor.shape for name, tensor in weights.items())
    if missing - set(getattr(model, "_tied_weights_keys", None) or ()) or not fits or (is_peft(model) and not weighs_as(model, checkpoint)):
        raise RunFailed("resume", f"{checkpoint} does not hold the weights of this model", hint="resume with the settings of that run")
    placement.load_weights(model, {own[name]: tensor for name, tensor in weights.items()})
