"""Small whole batches to search among: their numbers can occur by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from halo.checks.scalars.batch.outlines import Outline, outlines
from halo.checks.scalars.batch.whole_batch import WholeBatch
from halo.checks.scalars.infinite import NoValue
from halo.checks.scalars.view import View

SIZES = (1, 2)
"""Examples of a batch that is written out: what couples examples couples two."""


def batches(
    view: View, *, sizes: tuple[int, ...] = SIZES, lists_of: int | None = None, label: str = "", tied: bool = False, flat: bool = False
) -> Iterator[WholeBatch]:
    """Whole batches that have a loss, small ones first; `label` keeps to those whose first example has it."""
    for size in sizes:
        for outline in outlines(view.graph, size, lists_of):
            if label in ("", outline[0].label):
                yield from written(view, outline, tied, flat)


def written(view: View, outline: Sequence[Outline], tied: bool = False, flat: bool = False) -> Iterator[WholeBatch]:
    """The batch, if it has a loss."""
    batch = WholeBatch(view, outline, tied, flat)
    try:
        assert batch.loss is not None
    except NoValue:
        return
    yield batch


def with_another_length(outline: Sequence[Outline]) -> Iterator[tuple[str, list[Outline]]]:
    """Each completion of the first example, two tokens longer than it is."""
    first, *rest = outline
    for slot, lengths in first.lengths.items():
        for k, n in enumerate(lengths):
            other = (*lengths[:k], n + 2, *lengths[k + 1 :])
            yield slot, [replace(first, lengths={**first.lengths, slot: other}), *rest]
