"""Whether one sample fits together: its text, its ids, how it ended, and the numbers of its ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from halo.completions.sampling import Request, Sample, Sampler, SamplerContext
from halo.data.tokenized import Finish


def unsound(sampler: Sampler, request: Request, sample: Sample, context: SamplerContext) -> Iterator[str]:
    """What does not fit together, each said with what would be right."""
    if not isinstance(sample.text, str):
        yield f"has the text {sample.text!r}; a str"
    if sample.finish not in get_args(Finish):
        yield f"has the finish {sample.finish!r}; one of {', '.join(map(repr, get_args(Finish)))}"
    if sample.ids is None:
        numbers = sample.logps is not None or sample.kept is not None
        if numbers:
            yield "has log-probs and no ids that they could be of"
        if sampler.writes:
            yield "has no ids, and the sampler says that a model writes; writes=False is for texts that nobody sampled"
    if not sampler.writes:
        yield from _unsound_text(request, sample)
    elif sample.ids is not None:
        yield from _unsound_ids(sample, sample.ids, context)
        yield from _unsound_numbers(sample, len(sample.ids))


def _unsound_text(request: Request, sample: Sample) -> Iterator[str]:
    """Of a sampler without a model."""
    if sample.ids is not None:
        yield f"has the ids {sample.ids}, and the sampler says that no model writes; None, or writes=True"
    if sample.finish == "" and sample.text not in _texts(dict(request.row)):
        yield f"is {sample.text!r}, which is no text of its row; what nobody sampled (finish '') stands in the prompt's row"


def _texts(value: Any) -> set[str]:
    """All texts in what a row holds."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {text for entry in value for text in _texts(entry)}
    return set()


def _unsound_ids(sample: Sample, ids: tuple[int, ...], context: SamplerContext) -> Iterator[str]:
    """Of ids, and of how they end."""
    if not (isinstance(ids, tuple) and all(type(one) is int for one in ids)):
        yield f"has the ids {ids!r}; a tuple of int"
        return
    if sample.finish == "":
        yield "has the finish '' and ids: somebody sampled it, 'end', 'stop' or 'length' says how it ended"
        return
    ends = [place for place, one in enumerate(ids) if one in context.end]
    ended = bool(ids) and ends == [len(ids) - 1]
    if ends and not ended:
        yield f"goes on behind the id {ids[ends[0]]}, which ends it (context.end): {ids}"
    if (sample.finish == "end") != ended:
        yield f"has the finish {sample.finish!r} and ends with the id {ids[-1:]}; 'end' if and only if that is one of context.end"
    if len(ids) > context.max_new_tokens:
        yield f"has {len(ids)} ids, and context.max_new_tokens is {context.max_new_tokens}"
    if sample.finish == "length" and len(ids) < context.max_new_tokens:
        yield f"has the finish 'length' after {len(ids)} ids; it is cut at context.max_new_tokens, {context.max_new_tokens}"
    if sample.finish == "stop" and not context.stop:
        yield "has the finish 'stop', and no stop text was given"
    held = [text for text in context.stop if text in sample.text]
    if held:
        yield f"is {sample.text!r}, which holds the stop text {held[0]!r}; a completion ends where one begins, and nothing is left of it"
    text = context.tokenizer().decode(list(ids[:-1] if ended else ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if sample.text != text:
        yield f"has the text {sample.text!r}, and its ids without the one that ends it are {text!r}"


def _unsound_numbers(sample: Sample, size: int) -> Iterator[str]:
    for name, numbers in (("logps", sample.logps), ("kept", sample.kept)):
        if numbers is None:
            continue
        if not (isinstance(numbers, tuple) and all(isinstance(one, float) and math.isfinite(one) for one in numbers)):
            yield f"has the {name} {numbers!r}; a tuple of finite float, in nats"
        elif len(numbers) != size:
            yield f"has {len(numbers)} {name} and {size} ids; one for each"
    if sample.kept and isinstance(sample.kept, tuple) and max(sample.kept) > 0:
        yield f"has {max(sample.kept):g} among kept; the log of a mass is at most 0"
