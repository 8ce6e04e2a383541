"""`halo.sample`, `halo.score`, `halo.pair`, `halo.evaluate`: from prompts to what models are worth, each as its command does it.

Torch is loaded when they are called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from halo.evaluation.settings import EvaluationSettings
from halo.fields import read_flags
from halo.grading.run import ScoringSettings, run_scoring
from halo.pairing.run import PairingSettings, run_pairing
from halo.sampling.settings import SamplingSettings

Say = Callable[[str], None]
Folder = str | os.PathLike[str]
T = TypeVar("T", bound=BaseModel)
COMMANDS = {"SamplingSettings": "sample", "ScoringSettings": "score", "PairingSettings": "pair", "EvaluationSettings": "eval"}
"""By the settings that it takes."""


def sample(model: str | None = None, *, say: Say = print, **settings: Any) -> Path:
    """Completions for prompts, in a folder: `halo sample` with the same settings. Returns the folder.

    Killed and called again, it goes on and gives the same bytes. Raises HaloError.
    """
    from halo.sampling.run import run_sampling

    given = {"model": model, **settings} if model is not None else settings
    return run_sampling(_settings(SamplingSettings, given), say)


def score(folder: Folder, scorer: str | dict[str, Any], *, say: Say = print, **settings: Any) -> Path:
    """A number for each completion of a folder of samples: `halo score`. Returns the file beside them. Raises HaloError."""
    return run_scoring(Path(folder), _settings(ScoringSettings, {"scorer": scorer, **settings}), say)


def pair(folders: Folder | Sequence[Folder], by: str | dict[str, float], *, say: Say = print, **settings: Any) -> Path:
    """Feedback from scored completions: `halo pair`. Returns the file, which `halo.train` reads as `data`. Raises HaloError."""
    several = [folders] if isinstance(folders, str | os.PathLike) else folders
    return run_pairing([Path(one) for one in several], _settings(PairingSettings, {"by": by, **settings}), say)


def evaluate(which: str | Sequence[str], *contestants: Folder, say: Say = print, **settings: Any) -> Any:
    """What contestants' answers are worth: `halo eval`. Returns the report: its `numbers` each with an estimate and its interval,
    `tables()`, `to_json()`, `html()`; None on a process that only helped to sample. Raises HaloError.
    """
    from halo.evaluation.run import run_evaluation

    names = which.split("+") if isinstance(which, str) else list(which)
    return run_evaluation(names, [os.fspath(one) for one in contestants], _settings(EvaluationSettings, settings), say)


def _settings(model: type[T], given: dict[str, Any]) -> T:
    """Paths as texts, the rest as given. Raises SettingsError."""
    plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
    return read_flags(model, {}, plain, COMMANDS[model.__name__])
