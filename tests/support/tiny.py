"""Small real parts: the embedded policy in float64 and a few of its examples."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import double  # noqa: F401  (float64 weights compute in float64)
import torch

from halo.data.conversion import convert
from halo.data.formats import FORMATS
from halo.data.preparing import prepare
from halo.data.reading import read_examples
from halo.data.text.template import Template
from halo.data.tokenized import TokenizedExample
from halo.data.tokenizing import Preparation
from halo.objective.feedback import Feedback, kind_of
from halo.scoring.scorer import Scorer
from halo.starter.defaults import FEEDBACK, POLICY
from halo.training.model.loading import load_model, load_tokenizer
from halo.training.settings import Settings

FEW = Path(os.environ.get("HALO_CACHE", tempfile.gettempdir())) / "halo-few.jsonl"  # of this session, whatever a test sets the variable to


@cache
def _loaded() -> Any:
    return load_model(str(POLICY), Settings(dtype="float64"))


def policy(seed: int | None = None) -> Any:
    """The embedded policy in float64; with a seed, its weights moved a little (to stand for a trained policy)."""
    model = copy.deepcopy(_loaded())  # four times as fast as reading it again
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


@cache
def template() -> Template:
    return Template.of(load_tokenizer(str(POLICY), Settings()), "auto")


def examples(feedback: Feedback | str, slots: tuple[str, ...], count: int = 8) -> list[TokenizedExample]:
    """Tokenized examples of the embedded feedback, in the kind that is asked for."""
    rows, _, _ = read_examples(str(FEEDBACK), FORMATS)
    how = Preparation(kind_of(feedback), slots, template())
    converted, _ = convert(rows[:count], how.feedback)
    return prepare(converted, how)[0][:count]


def few() -> str:
    """A data file of the first 64 embedded pairs: to prepare all 2,400 takes longer than the steps of a short run."""
    if not FEW.exists():
        mine = FEW.with_suffix(f".{os.getpid()}")  # several processes of one session may come at once
        mine.write_text("".join(f"{line}\n" for line in FEEDBACK.read_text().splitlines()[:64]))
        mine.replace(FEW)
    return str(FEW)


def write_lists(file: Path, count: int = 6) -> Path:
    """Ranked rows with ties, built from the embedded feedback."""
    pairs = [json.loads(line) for line in FEEDBACK.read_text().splitlines()[:count]]
    rows = [
        {"prompt": p["prompt"], "completions": [p["rejected"], p["chosen"], p["rejected"][::-1], "7"], "scores": [0.1, 0.9, 0.9, 0.5]}
        for p in pairs
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


class Start:
    """A reference that stays where the embedded policy started, or a model that is given, frozen."""

    def __init__(self, model: Any = None, path: Any = "auto") -> None:
        self.scorer = Scorer(policy() if model is None else model, path)

    @torch.no_grad()
    def logps(self, rows: Any) -> torch.Tensor:
        return self.scorer(rows)["logp"]

    @torch.no_grad()
    def states(self, rows: Any) -> Any:
        return self.scorer.states(rows)

    def describe(self) -> str:
        return "the start"
