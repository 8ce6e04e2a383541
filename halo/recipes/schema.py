"""What a recipe file may hold. A stage is one command with its own flags; beside them it says only whose results it takes.

sample   model: start, last or a train stage          score    of: sample stages
pair     of: sample stages                            train    objective, set, model, data: pair stages or a file
eval     evaluators, of and against: start, last, train or sample stages
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from halo.evaluation.settings import EvaluationSettings
from halo.grading.run import ScoringSettings
from halo.objective.schema import Paper
from halo.pairing.run import PairingSettings
from halo.sampling.settings import DrawingSettings
from halo.starter.defaults import EMBEDDED
from halo.training.settings import ALIASES, Settings

KINDS = ("sample", "score", "pair", "train", "eval")
START, LAST = "start", "last"
"""The model that the recipe starts from; the one that was trained last."""
NAME = r"^[a-z][a-z0-9_]{0,39}$"
WORDS = (START, LAST, EMBEDDED)
"""What says which model is meant, and so is no stage's name."""

_TRAINED = {name for name in (*Settings.model_fields, *ALIASES) if name not in ("output_dir", "resume_from_checkpoint", "resume")}
OPTIONS: Mapping[str, frozenset[str]] = {
    "sample": frozenset({*DrawingSettings.model_fields, "model"}),
    "score": frozenset({*ScoringSettings.model_fields, "of"} - {"name"}),
    "pair": frozenset({*PairingSettings.model_fields, "of"} - {"out"}),
    "train": frozenset({*_TRAINED, "objective", "set"}),
    "eval": frozenset({*EvaluationSettings.model_fields, "evaluators", "of"} - {"out"}),
}
"""By kind of stage, what it may say: the flags of its command but the places that the loop chooses, and whose results it takes."""

Options = dict[str, Any]


def _of_kind(kind: str, description: str) -> Any:
    """The field of a kind: an editor knows its options by name."""
    known: dict[str, Any] = {"propertyNames": {"enum": sorted(OPTIONS[kind])}}
    return Field(None, description=description, json_schema_extra=known)


class Stage(BaseModel):
    """One command. Exactly one of the keys stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: Options | None = _of_kind("sample", "completions for the prompts: the flags of halo sample")
    score: Options | None = _of_kind("score", "a number for each: the flags of halo score")
    pair: Options | None = _of_kind("pair", "feedback from them: the flags of halo pair")
    train: Options | None = _of_kind("train", "a model: an objective and the settings of halo train")
    eval: Options | None = _of_kind("eval", "what models are worth: the flags of halo eval")

    @property
    def kind(self) -> str:
        """Which command it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def options(self) -> Options:
        """As written."""
        found: Options = getattr(self, self.kind)
        return found


class Recipe(BaseModel):
    """A workflow from prompts to judged models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = Field(pattern=NAME, description="its name, which is its file's")
    title: str = Field("", description="one line")
    paper: Paper | None = None
    notes: str = Field("", description="what the paper did, what is different here, and why")
    extends: str | None = Field(None, description="another recipe, of which this one changes something")
    model: str | None = Field(None, description="where it starts; --model says it; left out: the embedded policy")
    prompts: str | None = Field(None, description="what is asked; --prompts says it; left out: the embedded ones")
    held_out: str | None = Field(None, description="what models are evaluated on; --held-out says it; left out: the embedded ones")
    seed: int = Field(0, description="of sampling, pairing and training, unless a stage says another")
    rounds: int = Field(1, ge=1, le=100, description="how often the stages are gone through, each time from the model trained last")
    reference: str = Field(
        START, pattern=r"^(start|last)$", description="what objectives with a reference are held against in later rounds"
    )
    stages: dict[str, Stage] = Field(description="by name, in their order")
    miniature: dict[str, Any] = Field({}, description="what is different on the embedded policy: keys of this file")

    @field_validator("stages", mode="before")
    @classmethod
    def _one_kind_each(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError("there are no stages")
        for name, stage in value.items() if isinstance(value, dict) else ():
            if name in WORDS or not re.fullmatch(NAME, name):
                rule = f"a stage's name is of small letters, digits and _, up to 40, and none of {', '.join(WORDS)}"
                raise ValueError(f"{name!r} is no name for a stage: {rule}")
            kinds = [kind for kind in KINDS if isinstance(stage, dict) and stage.get(kind) is not None]
            if len(kinds) != 1 and isinstance(stage, dict) and set(stage) <= set(KINDS):
                raise ValueError(f"the stage {name} has {', '.join(kinds) or 'nothing'}; it is one of {', '.join(KINDS)}")
        return value
