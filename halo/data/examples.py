"""One example type, whatever the format it came in.

An example is a prompt and its completions, best first where there is an order. Its kind follows from what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from halo.errors import Place

Kind = Literal["demonstrations", "labelled", "paired", "ranked"]
Message = Mapping[str, str]
Text = str | tuple[Message, ...]
"""A plain text, or chat messages with `role` and `content`."""


@dataclass(frozen=True)
class Example:
    """One row of data.

    completions  one (labelled, demonstrations), two (paired: chosen, rejected) or more (ranked)
    ranks        ranked: 1 is best, equal numbers are ties; as long as `completions`
    desirable    labelled: whether the completion is
    texts        extra texts by role, such as gold; columns: extra numbers of the row
    """

    kind: Kind
    prompt: Text
    completions: tuple[Text, ...]
    place: Place
    ranks: tuple[int, ...] = ()
    desirable: bool | None = None
    texts: Mapping[str, Text] = field(default_factory=dict)
    columns: Mapping[str, float] = field(default_factory=dict)
