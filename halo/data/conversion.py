"""From the kind of feedback the data has to the kind an objective wants, where that is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from halo.data.examples import Example, Kind
from halo.errors import DataError


def pair_to_labels(example: Example) -> Iterator[Example]:
    """Chosen is desirable, rejected undesirable."""
    for index, desirable in enumerate((True, False)):
        yield example.picked(index, kind="labelled", desirable=desirable)


def pair_to_list(example: Example) -> Iterator[Example]:
    """A list of two."""
    yield replace(example, kind="ranked", ranks=(1, 2))


def pair_to_demonstration(example: Example) -> Iterator[Example]:
    """The chosen completion."""
    yield example.picked(0, kind="demonstrations")


def label_to_demonstration(example: Example) -> Iterator[Example]:
    """A desirable completion; an undesirable one is no demonstration."""
    if example.desirable:
        yield replace(example, kind="demonstrations", desirable=None)


def list_to_pairs(example: Example) -> Iterator[Example]:
    """Every two completions of different rank."""
    for better, rank in enumerate(example.ranks):
        for worse, lower in enumerate(example.ranks):
            if rank < lower:
                yield example.picked(better, worse, kind="paired", ranks=())


def list_to_demonstration(example: Example) -> Iterator[Example]:
    """The first best completion."""
    yield example.picked(example.ranks.index(min(example.ranks)), kind="demonstrations", ranks=())


def list_to_labels(example: Example) -> Iterator[Example]:
    """The first best completion is desirable, the first worst one undesirable; a list of ties gives nothing."""
    low, high = min(example.ranks), max(example.ranks)
    if low < high:
        for rank, desirable in ((low, True), (high, False)):
            yield example.picked(example.ranks.index(rank), kind="labelled", ranks=(), desirable=desirable)


CONVERSIONS: dict[tuple[Kind, str], tuple[str, Callable[[Example], Iterator[Example]]]] = {
    ("paired", "labelled"): ("each pair becomes a desirable and an undesirable example", pair_to_labels),
    ("paired", "ranked"): ("each pair becomes a list of two", pair_to_list),
    ("paired", "demonstrations"): ("the chosen completions are the demonstrations", pair_to_demonstration),
    ("labelled", "demonstrations"): ("the desirable completions are the demonstrations", label_to_demonstration),
    ("ranked", "paired"): ("each list becomes all its pairs of different rank", list_to_pairs),
    ("ranked", "labelled"): ("the best of each list becomes desirable, the worst undesirable", list_to_labels),
    ("ranked", "demonstrations"): ("the best of each list is the demonstration", list_to_demonstration),
}


def converter(example: Example, wanted: str) -> tuple[str, Callable[[Example], Iterator[Example]]]:
    """How examples like this one become `wanted` feedback: one sentence about it (empty if nothing changes) and the change. Raises DataError."""
    kind = example.kind
    if kind == wanted or (kind, wanted) == ("ranked", "scored"):
        return "", lambda example: iter((example,))
    if (kind, wanted) not in CONVERSIONS:
        possible = ", ".join(sorted({have for have, want in CONVERSIONS if want == wanted} | {wanted}))
        message = f"the objective wants {wanted} feedback, the data is {kind}"
        raise DataError("data-format", message, place=example.place, hint=f"data of kind {possible} would do")
    return CONVERSIONS[kind, wanted]


def convert(examples: list[Example], wanted: str) -> tuple[list[Example], str]:
    """The examples as `wanted` feedback, and one sentence about it (empty if nothing changed). Raises DataError."""
    sentence, function = converter(examples[0], wanted)
    if not sentence:
        return examples, ""
    converted = [new for example in examples for new in function(example)]
    if not converted:
        message = f"no row gives {wanted} feedback: {sentence}, and there is none"
        raise DataError("no-rows", message, place=examples[0].place, hint="lists of ties have no better completion")
    return converted, sentence
