"""One example type, whatever the format it came in.

An example is a prompt and its completions, best first where there is an order. Its kind follows from what it holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from halo.data.ids.columns import Ids
from halo.errors import Place
from halo.objective.feedback import Feedback, kind_of

Part = Mapping[str, Any]
"""A piece of what a message says: `{type: text, text: ...}`, or another `type`, such as `image`, with where it is."""
Content = str | tuple[Part, ...]
"""What a message says: a text, or parts."""
Message = Mapping[str, Any]
"""One turn: `role`, `content` (a `Content`), and what else the chat template reads (`tool_calls`, `name`, ...)."""
Text = str | tuple[Message, ...]
"""A plain text, or chat messages."""


def written(content: Content) -> str:
    """The text of a content: all of it, or its parts that are text."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content if part["type"] == "text")


def pictured(text: Text) -> Iterator[Part]:
    """The parts of a text's messages that are no text."""
    if isinstance(text, str):
        return
    for message in text:
        content = message.get("content")
        if isinstance(content, tuple):
            yield from (part for part in content if part["type"] != "text")


@dataclass(frozen=True)
class Example:
    """One row of data.

    kind         what an example of it is; the name of a kind is taken for it
    completions  none (prompts), one (labelled, demonstrations), two (paired: chosen, rejected) or more (ranked)
    ranks        ranked: 1 is best, equal numbers are ties; as long as `completions`
    desirable    labelled: whether the completion is
    texts        extra texts by role, such as gold; columns: what else the row holds in numbers, lists of numbers too
    own          for each completion the numbers that go with it, by name (see `halo.data.columns`); () if there are none
    tools        JSON schemas of the functions that a chat template may offer
    ids          what a sampler wrote of prompt and completions, where the row has it
    source       the name of the set that the row is of, where several are mixed

    An empty prompt is a text of its own: no chat template is applied, and its first token is not scored.
    """

    kind: Feedback
    prompt: Text
    completions: tuple[Text, ...]
    place: Place
    ranks: tuple[int, ...] = ()
    desirable: bool | None = None
    texts: Mapping[str, Text] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    own: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    ids: Ids | None = None
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.kind))

    @property
    def prompt_key(self) -> str:
        """What two examples of one prompt have in common, whether it is a text or one message of the user."""
        match self.prompt:
            case ({"role": "user", "content": str(text), **more},) if not more:
                return text
        return str(self.prompt)

    @property
    def id(self) -> str:
        """16 hexadecimal digits of what it is: the same wherever it stands, and whatever else its row holds."""
        content = (self.kind.name, self.prompt, self.completions, self.ranks, self.desirable, *([self.ids.completions] if self.ids else []))
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def picked(self, *indices: int, **changes: Any) -> Example:
        """An example with only these of its completions, and what goes with them."""
        own = tuple(self.own[i] for i in indices if self.own)
        ids = self.ids and self.ids.picked(*indices)
        return replace(self, completions=tuple(self.completions[i] for i in indices), own=own, ids=ids, **changes)
