"""The options of core's scorers. No torch."""

from __future__ import annotations

from pydantic import Field

from halo.options import Options


class OfModel(Options):
    """Options of `likelihood` and `reward-model`."""

    model: str = Field("", description="folder or hub name")
    batch_size: int = Field(16, ge=1, description="completions scored at once")


class OfFunction(Options):
    """Options of `function`."""

    name: str = Field("", description="MODULE.FUNCTION: f(prompts, completions, completion_ids, **columns) -> a number or None for each")


class OfCommand(Options):
    """Options of `command`."""

    run: str = Field("", description="a program and its arguments: a JSON line for each group in, `{scores: [...]}` for each out")


class OfImplied(OfModel):
    """Options of `implied`."""

    reference: str = Field("", description="folder or hub name; left out: what the run was trained against")
    beta: float | None = Field(None, description="left out: the run's, else 1")
