"""Where a completion ends: at its end token, where a stop text begins, or where it is cut."""

from __future__ import annotations

from typing import Any

from halo.completions.sampling import Sample, SamplerContext
from halo.data.tokenized import Finish


def cut(tokenizer: Any, ids: tuple[int, ...], logps: tuple[float, ...], kept: tuple[float, ...] | None, context: SamplerContext) -> Sample:
    """The sample of ids up to their end token: without what a stop text begins with, so that its text is exactly its ids decoded."""
    finish: Finish = "end" if ids and ids[-1] in context.end else "length"
    said = ids[:-1] if finish == "end" else ids
    text = decoded(tokenizer, said)
    at = min((place for stop in context.stop if (place := text.find(stop)) >= 0), default=-1)
    if at >= 0:
        finish, ids = "stop", before(tokenizer, said, at)
        text = decoded(tokenizer, ids)
    size = len(ids)
    return Sample(text, finish, ids, logps[:size], kept if kept is None else kept[:size])


def decoded(tokenizer: Any, ids: tuple[int, ...]) -> str:
    """The text of ids, special tokens written out."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def before(tokenizer: Any, ids: tuple[int, ...], characters: int) -> tuple[int, ...]:
    """The ids whose text ends within so many characters: one that reaches beyond goes whole."""
    size = len(ids)
    while size and len(decoded(tokenizer, ids[:size])) > characters:
        size -= 1
    return ids[:size]
