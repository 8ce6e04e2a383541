"""Completions that the data holds already: columns of the prompts' rows (RRHF's policy P, CPO's three translations)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from halo.completions.sampling import Request, Sample, SamplerContext
from halo.errors import DataError, Place, SettingsError
from halo.options import Options


class Given(Options):
    """Options of `given`."""

    columns: str = Field("chosen+rejected", description="the columns that hold completions, joined by +")

    @property
    def names(self) -> list[str]:
        """The columns, in the order of the completions."""
        return [name for name in self.columns.split("+") if name]


class GivenCompletions:
    """Completion k of a prompt is what stands in its k-th column."""

    def __init__(self, context: SamplerContext) -> None:
        self.names = context.options.names
        if not self.names:
            raise SettingsError("wrong-value", "given names no column", place=Place("--sampler"), hint="given:columns=chosen+rejected")

    def sample(self, batch: Sequence[Request]) -> list[Sample]:
        return [Sample(_text(request, self.names[request.index]), "") for request in batch]


def _text(request: Request, name: str) -> str:
    value: Any = request.row.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and isinstance(value[0].get("content"), str):
        return str(value[0]["content"])
    hint = f"the row has {', '.join(request.row)}"
    raise DataError("data-row", f"the column {name!r} holds no text for the prompt {request.key}", hint=hint)
