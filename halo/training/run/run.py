"""What a run is once it is assembled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halo.backends.placement import Placement
from halo.compiler.pipeline import CompiledObjective
from halo.data.template import Template
from halo.scoring.scorer import Scorer
from halo.training.data.datasets import Data, Say
from halo.training.data.feed import Feed
from halo.training.settings import Settings
from halo.training.step.step import Step


@dataclass
class Run:
    """Everything a run needs, assembled. `feed` gives the examples of a step, `step` accumulates its gradient, `placement` takes it."""

    compiled: CompiledObjective
    settings: Settings
    model: Any
    tokenizer: Any
    template: Template
    data: Data
    feed: Feed
    step: Step
    scorer: Scorer
    placement: Placement
    output: Path
    say: Say
    facts: dict[str, float] = field(default_factory=dict)
