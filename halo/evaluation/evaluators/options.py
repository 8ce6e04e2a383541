"""The options of core's evaluators."""

from __future__ import annotations

from pydantic import Field

from halo.options import Options


class OfPass(Options):
    """Options of `pass-at-k`."""

    threshold: float = Field(1.0, description="an answer is right from this score on")
