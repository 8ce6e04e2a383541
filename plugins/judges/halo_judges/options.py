"""What can be set of an endpoint and of what is asked there. What changes no answer stands in no manifest (`exclude`)."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator

from halo.plugin import Options


def _or_none(value: Any) -> Any:
    return None if value == "none" else value


Temperature = Annotated[float | None, BeforeValidator(_or_none)]


class Endpoint(Options):
    """Where something is asked, how often it is tried, and what it costs."""

    url: str = Field("", validate_default=True, description="such as http://localhost:8000/v1; left out: OPENAI_BASE_URL")
    model: str = Field("", description="what the endpoint calls the model")
    key: str = Field("OPENAI_API_KEY", description="environment variable that holds the key; a local server needs none", exclude=True)
    price: str = Field("", description="of a million tokens in and out, such as 0.15+0.6: what is asked is priced with it", exclude=True)
    parallel: int = Field(8, ge=1, le=256, description="questions asked at once", exclude=True)
    retries: int = Field(5, ge=0, description="tries more of a question that failed, each after a longer wait", exclude=True)
    timeout: float = Field(120, gt=0, description="seconds that one try may take", exclude=True)

    @field_validator("url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        url = (url or os.environ.get("OPENAI_BASE_URL", "")).rstrip("/")
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("no address, such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("an address with a name, password or query would be written into files: a key belongs into the environment")
        return url

    @field_validator("price")
    @classmethod
    def _two_numbers(cls, price: str) -> str:
        if price and not re.fullmatch(r"\d+(\.\d*)?\+\d+(\.\d*)?", price):
            raise ValueError("not two numbers joined by +: of a million tokens in, and out")
        return price

    @property
    def prices(self) -> tuple[float, float] | None:
        """Of one token in, and of one out."""
        if not self.price:
            return None
        before, after = self.price.split("+")
        return float(before) / 1e6, float(after) / 1e6


class Asked(Endpoint):
    """What is asked of completions that are there already."""

    template: str = Field("", description="file with the question; left out: halo's own", exclude=True)
    temperature: Temperature = Field(0.0, ge=0, description="of the replies; none: the endpoint's own")
    max_tokens: int = Field(1024, ge=1, description="after which a reply is cut: it counts as none")
    limit: int = Field(1000, ge=0, description="stops before more questions than this are asked; 0: only says how many", exclude=True)


class Writes(Endpoint):
    """Options of the sampler `endpoint`."""

    temperature: Temperature = Field(1.0, ge=0, description="as the endpoint reads it; none: its own")
    top_p: float = Field(1.0, gt=0, le=1, description="only the most likely tokens that together have this probability")


class Human(Options):
    """Options of `human`."""

    sheet: str = Field("", description="the sheet that halo sheet wrote, filled in; its key lies beside it", exclude=True)
