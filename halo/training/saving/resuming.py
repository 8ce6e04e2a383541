"""What a run may go on with: its own objective, parameters and examples. What else changed is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo.compiler.pipeline import CompiledObjective
from halo.errors import Place, SettingsError
from halo.files.lines import Lines
from halo.objective.document import read_document
from halo.objective.loading import read_text
from halo.options import as_text
from halo.training.data.datasets import Say
from halo.training.saving.published import public
from halo.training.settings import SAID, SAME, Settings, about


def check_goes_on(folder: Path, compiled: CompiledObjective, settings: Settings, total: int, say: Say) -> None:
    """Raises SettingsError for another objective or other settings than the run in `folder` had, and if it is finished.

    From one of its checkpoints, named as such, a finished run may be gone over again.
    """
    file = folder / "objective.yaml"
    if file.exists() and read_text(file, SettingsError, "objective") != compiled.objective.to_yaml(compiled.parameters):
        message = "the run was started with another objective, or other parameters"
        raise SettingsError("resume", message, place=Place(str(file)), hint="resume with what it holds")
    before, now = _settings_of(folder), public(settings)
    changed = [name for name in now if name in before and _plain(before[name]) != _plain(now[name])]
    for name in changed:
        if about(name, "on_resume") == SAME:
            message = f"the run was started with {name} {before[name]!r}, not {now[name]!r}"
            hint = "what it saw would not be what it says; start another"
            raise SettingsError("resume", message, place=Place(str(folder / "settings.yaml")), hint=hint)
    for name in changed:
        if about(name, "on_resume") == SAID:
            say(f"resume     {name} was {before[name]} and is {now[name]} from here on")
    whole = settings.resume_from_checkpoint is not None and Path(settings.resume_from_checkpoint) == folder
    if whole and settings.output_dir is not None and Path(settings.output_dir) == folder and _steps_done(folder) == total:
        message = f"the run is finished: {total} of {total} steps"
        raise SettingsError("resume", message, place=Place(str(folder)), hint="more --max-steps goes on from its last checkpoint")


def _plain(value: Any) -> Any:
    """What a plugin supplies is the same named as a text or as a mapping."""
    if isinstance(value, dict) and "name" in value:
        return as_text(value)
    return value


def _settings_of(folder: Path) -> Mapping[str, Any]:
    file = folder / "settings.yaml"
    if not file.exists():
        return {}
    return dict(read_document(read_text(file, SettingsError, "settings"), str(file), SettingsError).value)


def _steps_done(folder: Path) -> int | None:
    """The steps of a run whose model was saved, which is the last thing that it does."""
    metrics = folder / "metrics.jsonl"
    if not metrics.is_file() or not list(folder.glob("*.safetensors")):
        return None
    steps = [int(record["step"]) for record in Lines(metrics)]
    return steps[-1] if steps else None
