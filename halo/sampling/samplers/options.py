"""The options of core's samplers. No torch."""

from __future__ import annotations

from pydantic import Field

from halo.options import Options


class Drawn(Options):
    """Options of `sample`."""

    temperature: float = Field(1.0, gt=0, description="logits are divided by it")
    top_k: int = Field(0, ge=0, description="only the so many most likely tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="only the most likely tokens that together have this probability")
    min_p: float = Field(0.0, ge=0, lt=1, description="only tokens of at least this share of the most likely one's probability")
    repetition_penalty: float = Field(1.0, gt=0, description="logits of tokens that prompt or answer hold are divided by it, or multiplied")

    @property
    def cuts(self) -> bool:
        """Whether some tokens may not be drawn."""
        return bool(self.top_k) or self.top_p < 1 or self.min_p > 0


class Searched(Options):
    """Options of `beam`."""

    width: int = Field(0, ge=0, le=1000, description="beams; 0: as many as completions, and never fewer")
    length_penalty: float = Field(1.0, description="a beam's log-prob is divided by its length to this power")


class Diverse(Options):
    """Options of `diverse-beam`."""

    groups: int = Field(0, ge=0, le=1000, description="groups of beams; 0: as many as completions, which is one beam each")
    penalty: float = Field(1.0, ge=0, description="nats that a token costs for each beam of an earlier group that has just chosen it")
    length_penalty: float = Field(1.0, description="a beam's score is divided by its length to this power")
