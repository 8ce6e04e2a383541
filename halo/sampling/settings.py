"""What `halo sample` is told: a model, prompts, a sampler. Names are those of `halo train` where it has them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from halo.data.reading import Renamed
from halo.options import Named


class DrawingSettings(BaseModel):
    """How completions of any model are drawn: what `halo sample` and `halo eval` have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: str | None = Field(
        None, min_length=1, description="file, folder or hub name; left out: the embedded ones (halo eval: held out)"
    )
    data_format: Named | None = Field(None, description="a format's name, where there is no column `prompt`")
    data_columns: Renamed = Field({}, description="KNOWN=YOURS,...: which of your columns is read as which")
    data_split: str = Field("train", description="of a set with several")
    sampler: Named = Field("sample", description="how completions are drawn: NAME or NAME:OPTION=VALUE,...")
    n: int = Field(1, ge=1, le=10_000, description="completions of each prompt")
    max_new_tokens: int | None = Field(None, ge=1, description="after which one is cut; left out: 256, or half of what the model reads")
    stop: list[str] = Field([], description="TEXT,... or a JSON list: a completion ends where one of them begins; \\n is a new line")
    seed: int = Field(0, description="of the noise; the same seed gives the same completions")
    batch_size: int = Field(16, ge=1, description="completions that are written at once, by each process; changes none of them")
    dtype: Literal["float32", "bfloat16", "float64"] = Field("float32", description="type of the weights")
    attn_implementation: str | None = None
    chat_template: Literal["auto", "always", "never"] = Field("auto", description="as in training")
    special_tokens: Literal["auto", "split", "keep", "refuse"] = Field("auto", description="as in training")
    trust_remote_code: bool = False
    use_cpu: bool = False

    @field_validator("stop", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("["):
            value = json.loads(value)
        elif isinstance(value, str):
            value = [part.replace("\\n", "\n") for part in value.split(",")]
        if isinstance(value, list) and not all(value):
            raise ValueError("a stop text is empty")
        return value


class SamplingSettings(DrawingSettings):
    """The settings of one `halo sample`."""

    model: str | None = Field(None, min_length=1, description="folder or hub name; left out: the embedded policy")
    out: str | None = Field(None, min_length=1, description="folder; left out: samples")
