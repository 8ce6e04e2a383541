"""A set of rows -> examples of the kind of feedback that an objective wants, as `Feedback.conversions` says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from halo.data.examples import Example
from halo.data.interface import DataFormat
from halo.data.reading import Source, read_examples
from halo.errors import DataError
from halo.objective.feedback import Conversion, Feedback, data_kinds

Change = Callable[[Example], Iterator[Example]]


def converter(example: Example, wanted: Feedback) -> tuple[str, Change]:
    """How examples like this one become `wanted` feedback: a sentence (empty if nothing changes) and the change. Raises DataError."""
    kind = example.kind
    if kind is wanted.read_from:
        return "", lambda example: iter((example,))
    if wanted.name not in kind.conversions:
        possible = sorted(have.name for have in data_kinds() if have is wanted.read_from or wanted.name in have.conversions)
        message = f"the objective wants {wanted} feedback, the data is {kind}"
        raise DataError("data-format", message, place=example.place, hint=f"data of kind {', '.join(possible)} would do")
    conversion = kind.conversions[wanted.name]
    return conversion.sentence, lambda example: _converted(example, wanted, conversion)


def _converted(example: Example, wanted: Feedback, conversion: Conversion) -> Iterator[Example]:
    for pick in conversion.picks(example.ranks, example.desirable):
        yield example.picked(*pick.completions, kind=wanted, ranks=pick.ranks, desirable=pick.desirable)


def convert(examples: list[Example], wanted: Feedback) -> tuple[list[Example], str]:
    """The examples as `wanted` feedback, and one sentence about it (empty if nothing changed). Raises DataError."""
    sentence, change = converter(examples[0], wanted)
    if not sentence:
        return examples, ""
    converted = [new for example in examples for new in change(example)]
    if not converted:
        message = f"no row gives {wanted} feedback: {sentence}, and there is none"
        raise DataError("no-rows", message, place=examples[0].place, hint="lists of ties have no better completion")
    return converted, sentence


@dataclass(frozen=True)
class Gathered:
    """A whole set as examples of the kind that is wanted.

    rows      how many rows were read as examples, of the format `form`
    left_out  why each other row is none
    sentence  what became of them in conversion, or nothing
    """

    examples: list[Example]
    rows: int
    form: DataFormat
    left_out: list[DataError]
    sentence: str


def gather(
    source: str | Source,
    formats: Sequence[DataFormat],
    wanted: Feedback,
    split: str = "train",
    form: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Gathered:
    """Reads a set and converts it; `form` names its format, if that cannot be told. Raises DataError, also if no row can be used."""
    examples, left_out, found = read_examples(source, formats, split, form, say)
    if not examples:
        raise left_out[0]
    converted, sentence = convert(examples, wanted)
    return Gathered(converted, len(examples), found, left_out, sentence)
