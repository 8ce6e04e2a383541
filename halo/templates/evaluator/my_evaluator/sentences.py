"""How answers end, and how long their sentences are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean

from halo.plugin import Answer, Asked, Measure, Values, ratio


def measures() -> list[Measure]:
    """One is a mean over prompts; the other is of all sentences, whichever prompt they are from."""
    stops = Measure("full stop", "answers that end in a full stop", _stops, share=True)
    return [stops, Measure("words to a sentence", "words over sentences, of all answers", _words, ratio)]


def _stops(asked: Asked) -> list[Values | None]:
    """For each contestant the share of its answers to this prompt; None where it gave none."""
    return [(fmean(one.text.rstrip().endswith(".") for one in answers),) if answers else None for answers in asked.answers]


def _words(asked: Asked) -> list[Values | None]:
    """For each contestant words and sentences, which `ratio` adds up over prompts before it divides."""
    return [_counts(answers) for answers in asked.answers]


def _counts(answers: Sequence[Answer]) -> Values | None:
    sentences = [part.split() for one in answers for part in re.split(r"[.!?]+", one.text)]
    sizes = [len(words) for words in sentences if words]
    return (float(sum(sizes)), float(len(sizes))) if sizes else None
