"""What a run is once it is assembled. Nothing in it is exchanged afterwards: what changes from step to step changes inside its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo.backends.placement import Placement
from halo.compiler.pipeline import CompiledObjective
from halo.data.text.template import Template
from halo.reference.interface import Reference
from halo.scoring.scorer import Scorer
from halo.training.data.datasets import Data, Say
from halo.training.data.feed import Feed
from halo.training.saving.folder import Folder
from halo.training.settings import Settings
from halo.training.step.step import Step


@dataclass(frozen=True)
class Policy:
    """The model that is trained, laid on its devices by `placement`, and what it is trained for.

    scorer      its path is that of every model of the run; `placement.module` is the same, prepared
    vocabulary  token ids of its head
    """

    compiled: CompiledObjective
    settings: Settings
    model: Any
    tokenizer: Any
    template: Template
    scorer: Scorer
    placement: Placement
    vocabulary: int


@dataclass(frozen=True)
class Run(Policy):
    """Everything a run needs. `feed` gives the examples of a step, `step` accumulates its gradient, `placement` takes it.

    What is carried from step to step, and so stands in a checkpoint: the policy, its optimizer, the loss's statistics (`step.loss`), and
    `feed` and `reference` where they have a state. `reference` is None if the objective needs none, or everything was scored ahead.
    """

    data: Data
    feed: Feed
    reference: Reference | None
    step: Step
    folder: Folder
    say: Say
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """Where it writes."""
        return self.folder.path
