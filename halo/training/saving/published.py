"""What of a run's settings stands in its folder, which may be published: no path of this machine. What resuming needs is kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo.training.settings import Settings

PATHS = ("model_name_or_path", "reference_model_name_or_path", "data", "eval_data")
"""Settings that may name a place on this machine."""
PACKAGE = Path(__file__).resolve().parents[2]
"""What halo brings along lies here, and is named by leaving the setting out."""


def public(settings: Settings) -> dict[str, Any]:
    """The settings for the run's own folder: of an absolute path the last part."""
    found = settings.model_dump() | {"output_dir": None, "resume_from_checkpoint": None, "resume_anyway": False}
    return found | {name: shortened(found[name]) for name in PATHS}


def private(settings: Settings) -> dict[str, Any]:
    """The settings that `public` shortens, as they are."""
    found, said = settings.model_dump(), public(settings)
    return {name: _absolute(found[name]) for name in PATHS if said[name] is not None and found[name] is not None}


def shortened(value: Any) -> Any:
    """A name or path, several with commas, a list or a set's mapping, without what leads to it on this machine."""
    if isinstance(value, Mapping):
        return {**value, "path": shortened(value["path"])} if "path" in value else value
    if isinstance(value, list):
        return [shortened(one) for one in value]
    if not isinstance(value, str):
        return value
    if Path(value).is_relative_to(PACKAGE):
        return None
    return ",".join(Path(part).name if Path(part).is_absolute() else part for part in value.split(","))


def _absolute(value: Any) -> Any:
    """Where a relative path stands now, if there is something there; hub names stay."""
    if isinstance(value, Mapping):
        return {**value, "path": _absolute(value["path"])} if "path" in value else value
    if isinstance(value, list):
        return [_absolute(one) for one in value]
    if isinstance(value, str) and "," not in value and Path(value).exists():
        return str(Path(value).resolve())
    return value
