"""The embedded default: what `halo train OBJECTIVE` uses when it is given neither a model nor data. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo.errors import SettingsError
from halo.objective.document import read_document
from halo.objective.schema import Declaration

FOLDER = Path(__file__).resolve().parent
POLICY = FOLDER / "policy"
FEEDBACK = FOLDER / "feedback.jsonl"
LISTS = FOLDER / "lists.jsonl"
PROMPTS = FOLDER / "prompts.jsonl"
"""To sample from: of the feedback, so that none is held out."""
HELD_OUT = FOLDER / "heldout.jsonl"
EMBEDDED = "embedded"
"""The word for the embedded policy where a model is named."""
CONTROL_FOR_GOOD = "desirable"


def model_named(name: str) -> str:
    """The folder of the embedded policy for its word, unless there is a folder of that name; any other name as it is."""
    return str(POLICY) if name == EMBEDDED and not Path(name).exists() else name


def starter_settings() -> dict[str, Any]:
    """The one set of settings for every objective on the embedded policy."""
    file = FOLDER / "settings.yaml"
    return dict(read_document(file.read_text(), file.name, SettingsError).value)


def embedded_feedback(declaration: Declaration) -> Path:
    """Scored lists for what ranks answers or needs their scores, else pairs."""
    scores = any(name == "score" and column.default is None for name, column in declaration.columns.items())
    return LISTS if scores or declaration.kind.is_list else FEEDBACK


def with_defaults(settings: Mapping[str, Any], declaration: Declaration) -> dict[str, Any]:
    """The embedded model, data and settings wherever the user named none."""
    chosen = dict(settings)
    if chosen.get("model_name_or_path") is None:
        chosen = starter_settings() | chosen | {"model_name_or_path": str(POLICY)}
    if chosen.get("data") is None:
        chosen["data"] = str(embedded_feedback(declaration))
    return chosen


def borrowed(settings: Mapping[str, Any]) -> str:
    """What the embedded policy brings along for data of one's own, in words; nothing for a model of one's own or the embedded data."""
    if settings["model_name_or_path"] != str(POLICY) or settings["data"] in (str(FEEDBACK), str(LISTS)):
        return ""
    return "the embedded policy's where none are given: " + ", ".join(f"{name} {settings[name]}" for name in starter_settings())


def is_starter(model: str | None, data: object) -> bool:
    """Whether the gold metric of the embedded task applies."""
    return model == str(POLICY) and data in (str(FEEDBACK), str(LISTS))
