"""What a question says: halo's own words or a file of yours, with the prompt and the answers in their places."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo.plugin import Place, SettingsError
from halo_judges.options import Asked

OWN_PAIR = """Two answers to the same prompt stand below. Which of them is better? What counts is whether an answer is correct, does what
the prompt asks for, is clear, and leaves out what nobody asked for. Length by itself does not count, and the order of the answers means
nothing.

<prompt>
{prompt}
</prompt>

<answer A>
{first}
</answer A>

<answer B>
{second}
</answer B>

Compare them in a few sentences. Then end with one line, which is exactly one of these three:
Verdict: A
Verdict: B
Verdict: tie
"""

OWN_SINGLE = """An answer to a prompt stands below. How good is it? What counts is whether it is correct, does what the prompt asks for, is
clear, and leaves out what nobody asked for. Length by itself does not count.

<prompt>
{prompt}
</prompt>

<answer>
{answer}
</answer>

Say in a few sentences what is good and what is not. Then end with one line, the word Score, a colon and a number from 1 (useless) to 10
(nothing could be better), such as:
Score: 5
"""

PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Kind:
    """A kind of question: halo's own words for it, and the places that every template of it has."""

    own: str
    places: tuple[str, ...]


PAIR = Kind(OWN_PAIR, ("prompt", "first", "second"))
SINGLE = Kind(OWN_SINGLE, ("prompt", "answer"))


def text_of(options: Asked, kind: Kind) -> str:
    """The template. Raises SettingsError for a file that is not there, or without a place that it must have."""
    if not options.template:
        return kind.own
    place = Place(options.template)
    try:
        text = Path(options.template).read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise SettingsError("not-found", f"the template cannot be read: {problem}", place=place, hint="template=FILE") from None
    missing = [f"{{{name}}}" for name in kind.places if name not in PLACE.findall(text)]
    if missing:
        hint = f"a template has {', '.join(f'{{{name}}}' for name in kind.places)}"
        raise SettingsError("missing-key", f"the template has no {' and no '.join(missing)}", place=place, hint=hint)
    return text


def about(options: Asked, kind: Kind) -> dict[str, Any]:
    """What scores depend on beside the options that stand in the manifest."""
    return {"template": hashlib.sha256(text_of(options, kind).encode()).hexdigest()[:16]}


def filled(template: str, texts: Mapping[str, Any]) -> str:
    """Every place that has a text holds it, at once: braces in an answer are an answer's. Other braces stay as they are."""
    return PLACE.sub(lambda found: written(texts[found[1]]) if found[1] in texts else found[0], template)


def written(prompt: Any) -> str:
    """A text as it is; messages one after the other, each after who said it."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list | tuple) and all(isinstance(one, Mapping) and "content" in one for one in prompt):
        return "\n\n".join(f"{one.get('role', 'user')}: {one['content']}" for one in prompt)
    return str(prompt)
