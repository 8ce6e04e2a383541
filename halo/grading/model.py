"""What scorers that load a model have in common: its name, how it is loaded, and the template that writes a conversation for it."""

from __future__ import annotations

from typing import Any

from halo.completions.scoring import ScorerContext
from halo.data.text.template import Template
from halo.errors import Place, SettingsError
from halo.starter.defaults import model_named
from halo.training.model.loading import load_tokenizer
from halo.training.settings import Settings


def named_model(context: ScorerContext, scorer: str) -> tuple[Settings, Template]:
    """How the model that the options name is loaded, and its template. Raises SettingsError where they name none, ModelError."""
    name = model_named(str(context.options.model))
    if not name:
        raise SettingsError("wrong-value", f"{scorer} names no model", place=Place("--scorer"), hint=f"{scorer}:model=FOLDER")
    settings = Settings.model_validate({"model_name_or_path": name, "trust_remote_code": context.trust_remote_code})
    return settings, Template.of(load_tokenizer(name, settings), "auto")


def as_text(prompt: Any) -> Any:
    """A prompt as an example holds it: a text, or messages as a tuple."""
    return tuple(prompt) if isinstance(prompt, list) else prompt
