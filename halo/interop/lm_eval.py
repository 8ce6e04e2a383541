"""The lm-evaluation-harness on what halo trained: one command, built from a folder, and run where the harness is installed."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from halo.errors import ModelError, Place, RunFailed, SettingsError
from halo.starter.defaults import model_named
from halo.training.model.loading import load_tokenizer
from halo.training.model.lora import base_of, is_adapter
from halo.training.settings import Settings

INSTALL = "pip install 'lm_eval[hf]'"


class LmEvalSettings(BaseModel):
    """What the harness is told. Its results move with the batch where rows are padded: one row at a time is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: str = Field(min_length=1, description="TASK,...: as `lm_eval ls tasks` lists them")
    out: str = Field("lm-eval", min_length=1, description="folder of its results and samples")
    dtype: str = Field("float32", pattern=r"^[a-z0-9]+$", description="type of the weights")
    chat_template: bool | None = Field(None, description="left out: whether the tokenizer has one")
    seed: int = Field(0, ge=0, description="of all of its generators")
    batch_size: str = Field("1", pattern=r"^(\d+|auto(:\d+)?)$", description="rows at once: a number, or auto")
    num_fewshot: int | None = Field(None, ge=0, description="examples before each question; left out: the task's own number")
    limit: float | None = Field(None, gt=0, description="so many rows of each task, or this share of them")
    include_path: str | None = Field(None, min_length=1, description="folder with tasks of your own")
    device: str | None = Field(None, min_length=1, description="cpu, cuda, cuda:1, ...; left out: what there is")
    trust_remote_code: bool = False

    @field_validator("seed", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip().isdigit():
            raise ValueError("the seed is one whole number from 0, for all generators of the harness")
        return value


def lm_eval_arguments(model: str, settings: LmEvalSettings) -> list[str]:
    """What stands behind `lm_eval`, for a model's folder or hub name, or an adapter's folder (its base with the adapter and its tokenizer).

    Raises ModelError for an adapter without a base, SettingsError for a name that the harness would take apart.
    """
    model = model_named(model)
    told = {"pretrained": model, "dtype": settings.dtype}
    if is_adapter(model):
        told = {"pretrained": base_of(model), "peft": model, "tokenizer": model, "dtype": settings.dtype}
    if settings.trust_remote_code:
        told["trust_remote_code"] = "True"
    for name in told.values():
        if "," in name:
            raise SettingsError("wrong-value", f"lm_eval splits {name!r} at its comma", place=Place("halo eval"), hint="rename the folder")
    found = ["--model", "hf", "--model_args", ",".join(f"{key}={value}" for key, value in told.items()), "--tasks", settings.tasks]
    if settings.chat_template if settings.chat_template is not None else _has_template(model, settings):
        found.append("--apply_chat_template")
    found += ["--log_samples", "--output_path", settings.out, "--seed", str(settings.seed), "--batch_size", settings.batch_size]
    for name in ("num_fewshot", "limit", "include_path", "device"):
        value = getattr(settings, name)
        if value is not None:
            found += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return found


def _has_template(model: str, settings: LmEvalSettings) -> bool:
    loaded = Settings.model_validate({"model_name_or_path": model, "trust_remote_code": settings.trust_remote_code})
    return getattr(load_tokenizer(model, loaded), "chat_template", None) is not None


def as_command(arguments: list[str]) -> str:
    """As it would be typed."""
    return shlex.join(["lm_eval", *arguments])


def run_lm_eval(model: str, settings: LmEvalSettings, say: Callable[[str], None]) -> Path:
    """Runs the harness; returns the folder of its results. Raises SettingsError with the command where it is not installed, ModelError,
    RunFailed where it fails.
    """
    if model.startswith((".", "/", "~")) and not Path(model).is_dir():
        raise ModelError("not-found", f"there is no folder {model}", hint="a run's output folder, or one of its checkpoints")
    arguments = lm_eval_arguments(model, settings)
    program = _program()
    if program is None:
        message = f"the lm-evaluation-harness is not installed, which {as_command(arguments)} needs"
        raise SettingsError("not-found", message, place=Place("halo eval"), hint=INSTALL)
    say(as_command(arguments))
    done = subprocess.run([*program, *arguments], check=False)
    if done.returncode:
        raise RunFailed("plugin", f"lm_eval ended with {done.returncode}", hint="what it said stands above")
    return Path(settings.out)


def _program() -> list[str] | None:
    """How the harness is started: that of this environment, else whatever the path finds."""
    if importlib.util.find_spec("lm_eval") is not None:
        return [sys.executable, "-m", "lm_eval"]
    found = shutil.which("lm_eval")
    return [found] if found else None
