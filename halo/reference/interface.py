"""What a reference strategy supplies. No torch is imported here when halo runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from halo.scoring.rows import RowBatch
    from halo.scoring.vocabulary import Distributions


class Reference(Protocol):
    """A reference at work: log-probs of rows, without a gradient."""

    def logps(self, rows: RowBatch) -> Tensor:
        """Flat log-probs of the scored tokens, in the order of `Scorer.forward`."""

    def describe(self) -> str:
        """One line for the run's output: which reference this is."""


@runtime_checkable
class FullReference(Reference, Protocol):
    """One that gives its whole next-token distributions: what `ref_entropy` and the KL words are computed from."""

    def states(self, rows: RowBatch) -> Distributions:
        """What the head is given at the position of every scored token (of size tokens x hidden), in the same order."""


class ScoredModel(Protocol):
    """A model wrapped to score rows: called for flat log-probs, or asked for what they are made of."""

    def __call__(self, rows: RowBatch) -> Tensor:
        """See `Scorer.forward`."""

    def states(self, rows: RowBatch) -> Distributions:
        """See `Scorer.states`."""


@dataclass(frozen=True)
class ReferenceContext:
    """What a strategy may use to build its reference.

    load_model   loads the model that the policy starts from, anew
    name         that model's name or folder
    scorer       wraps a model as the policy's scorer is wrapped (same path, same precision)
    vocabulary   number of token ids of the policy's head
    """

    load_model: Callable[[], Any]
    name: str
    scorer: Callable[[Any], ScoredModel]
    vocabulary: int


@dataclass(frozen=True)
class ReferenceStrategy:
    """name: what `--reference` calls it; supplies: whether it gives log-probs at all; build: see ReferenceContext.

    distributions  whether it gives whole distributions too (it builds a `FullReference`)
    """

    name: str
    meaning: str
    build: Callable[[ReferenceContext], Reference | None]
    supplies: bool = True
    distributions: bool = False
