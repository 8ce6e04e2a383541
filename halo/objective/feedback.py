"""What a kind of feedback means: `FEEDBACK` holds one object for each, and every room asks it; nothing compares its name.

To add a kind, write one more `Feedback` here and add its name to `FeedbackName`; docs/kinds.md says what each field decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from halo.errors import PluginError, nearest
from halo.objective.vocabulary import LIST_POPULATIONS

FeedbackName = Literal["demonstrations", "labelled", "paired", "ranked", "scored"]
"""What `feedback:` of an objective file may say."""
Mark = Literal["desirable", "ranks"]
"""What an example holds beside its completions: whether its one completion is desirable, or a rank for each of several."""


@dataclass(frozen=True)
class Pick:
    """An example of another kind made from this one: which of its completions, and their marks."""

    completions: tuple[int, ...]
    ranks: tuple[int, ...] = ()
    desirable: bool | None = None


@dataclass(frozen=True)
class Conversion:
    """How an example becomes examples of another kind.

    sentence  what a run says about it
    picks     the example's ranks and its label -> the examples that come of it; there may be none
    """

    sentence: str
    picks: Callable[[Sequence[int], bool | None], Iterator[Pick]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Feedback:
    """What one example of a kind is. Two kinds are the same only if they are one object.

    name          what objective files and data formats call it
    meaning       an example in words
    completions   the slots of the example's own completions, best first; a slot names a group of tensors of a batch
    is_list       whether its one slot holds several completions: tensors (B, K, T), padded to the longest list, instead of (B, T)
    drawn         slots of completions that are drawn from examples with other prompts
    roles         each role that formulas may name -> the slot that holds its tensors
    default_role  whose items a term sums if it does not say; None if it must say
    role_hint     what a term without a role is told
    labels        the roles between which the example's label decides
    marks         what a batch holds beside completions: `desirable` (B,) or `ranks` (B, K)
    has_scores    whether each completion has a `score`
    swap          the two roles of a pair (or of a list of two) whose exchange reverses the preference; None if nothing is reversed by it
    rows          the kind whose rows serve as they are, if there are no rows of this kind
    conversions   the kinds that its rows can become, by name
    objective     the name of a shipped objective of this kind that reads nothing else
    """

    name: str
    meaning: str
    completions: tuple[str, ...]
    is_list: bool = False
    drawn: tuple[str, ...] = ()
    roles: Mapping[str, str]
    default_role: tuple[str, ...] | None
    role_hint: str = ""
    labels: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    has_scores: bool = False
    swap: tuple[str, str] | None = None
    rows: str = ""
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    objective: str = ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return repr(self.name)

    def __reduce__(self) -> tuple[Callable[[str], Feedback], tuple[str]]:
        """A copy, or what another process receives, is the same kind: it is looked up by its name."""
        return kind_of, (self.name,)

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots of a batch, those of drawn completions last."""
        return (*self.completions, *self.drawn)

    @property
    def is_pair(self) -> bool:
        """Whether an example has a better and a worse completion, each with a role of its own."""
        return len(self.completions) == 2

    @property
    def compares(self) -> bool:
        """Whether an example has several completions of one prompt, of which some are better than others."""
        return self.is_pair or self.is_list

    @property
    def imitates(self) -> bool:
        """Whether nothing says how good a completion is, so that each is to become likelier."""
        return not self.compares and not self.labels

    @property
    def has_ranks(self) -> bool:
        """Whether the completions of an example are ordered by ranks: 1 is best, equal numbers are ties."""
        return "ranks" in self.marks

    @property
    def read_from(self) -> Feedback:
        """The kind of the rows that an objective of this kind reads."""
        return FEEDBACK[self.rows or self.name]

    @property
    def count(self) -> tuple[int, float]:
        """The least and the greatest number of completions of an example. One alone says something only by its score."""
        if self.is_list and self.has_scores:
            return 1, inf
        if self.is_list:
            return 2, inf
        return len(self.completions), len(self.completions)

    def several(self, slot: str) -> bool:
        """Whether each example has several completions in this slot."""
        return self.is_list and slot in self.completions

    def place_of(self, slot: str, index: int) -> int:
        """Which of the example's completions the slot's one of this index is."""
        if slot in self.completions and not self.is_list:
            return self.completions.index(slot)
        return index


# -- what becomes of an example in another kind -----------------------------------------------------------------------------


def _both_labels(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    yield Pick((0,), desirable=True)
    yield Pick((1,), desirable=False)


def _list_of_two(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    yield Pick((0, 1), ranks=(1, 2))


def _the_first(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    yield Pick((0,))


def _if_desirable(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    if desirable:
        yield Pick((0,))


def _every_pair(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    for better, rank in enumerate(ranks):
        for worse, lower in enumerate(ranks):
            if rank < lower:
                yield Pick((better, worse))


def _best_and_worst(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    """The first of each; a list of ties has neither."""
    best, worst = min(ranks), max(ranks)
    if best < worst:
        yield Pick((ranks.index(best),), desirable=True)
        yield Pick((ranks.index(worst),), desirable=False)


def _the_best(ranks: Sequence[int], desirable: bool | None) -> Iterator[Pick]:
    yield Pick((ranks.index(min(ranks)),))


# -- the kinds --------------------------------------------------------------------------------------------------------------

_LIST_ROLES = dict.fromkeys(("completion", "best", "worst", "chosen", "rejected", *LIST_POPULATIONS), "completion")
_LIST_HINT = "chosen (every pair), completion, best or worst"

DEMONSTRATIONS = Feedback(
    name="demonstrations",
    meaning="one completion",
    completions=("completion",),
    roles={"completion": "completion"},
    default_role=("completion",),
    objective="sft",
)
LABELLED = Feedback(
    name="labelled",
    meaning="one completion with a label",
    completions=("completion",),
    drawn=("mismatched",),
    roles={"completion": "completion", "desirable": "completion", "undesirable": "completion", "mismatched": "mismatched"},
    default_role=("desirable", "undesirable"),
    labels=("desirable", "undesirable"),
    marks=("desirable",),
    conversions={"demonstrations": Conversion("the desirable completions are the demonstrations", _if_desirable)},
    objective="kto_no_z0",
)
PAIRED = Feedback(
    name="paired",
    meaning="a better and a worse completion",
    completions=("chosen", "rejected"),
    roles={"chosen": "chosen", "rejected": "rejected"},
    default_role=("chosen",),
    swap=("chosen", "rejected"),
    conversions={
        "labelled": Conversion("each pair becomes a desirable and an undesirable example", _both_labels),
        "ranked": Conversion("each pair becomes a list of two", _list_of_two),
        "demonstrations": Conversion("the chosen completions are the demonstrations", _the_first),
    },
    objective="dpo",
)
RANKED = Feedback(
    name="ranked",
    meaning="several completions in an order with ties",
    completions=("completion",),
    is_list=True,
    roles=_LIST_ROLES,
    default_role=None,
    role_hint=_LIST_HINT,
    marks=("ranks",),
    swap=("best", "worst"),
    conversions={
        "paired": Conversion("each list becomes all its pairs of different rank", _every_pair),
        "labelled": Conversion("the best of each list becomes desirable, the worst undesirable", _best_and_worst),
        "demonstrations": Conversion("the best of each list is the demonstration", _the_best),
    },
    objective="dpo_pl",
)
SCORED = Feedback(
    name="scored",
    meaning="several completions, each with a score",
    completions=("completion",),
    is_list=True,
    roles=_LIST_ROLES,
    default_role=None,
    role_hint=_LIST_HINT,
    marks=("ranks",),
    has_scores=True,
    swap=None,  # the scores stay with their completions, and would have to be exchanged too
    rows="ranked",
    objective="info_nca",
)

FEEDBACK: dict[str, Feedback] = {kind.name: kind for kind in (DEMONSTRATIONS, LABELLED, PAIRED, RANKED, SCORED)}
"""By name, those that an objective can be of."""

PROMPTS = Feedback(
    name="prompts",
    meaning="a prompt alone, which a sampler is to answer",
    completions=(),
    roles={},
    default_role=None,
    role_hint="there is no completion",
)
"""What an online feed is given, and no objective reads: its samples become examples of an objective's kind."""

KINDS: dict[str, Feedback] = {**FEEDBACK, PROMPTS.name: PROMPTS}
"""By name, what an example can be."""


def kind_of(kind: Feedback | str) -> Feedback:
    """The kind itself, or the one of that name. Raises PluginError."""
    if isinstance(kind, Feedback):
        return kind
    if kind not in KINDS:
        raise PluginError("plugin", f"{kind!r} is no kind of feedback", hint=nearest(kind, KINDS))
    return KINDS[kind]


def data_kinds() -> tuple[Feedback, ...]:
    """The kinds that rows of data can have."""
    return tuple(kind for kind in FEEDBACK.values() if kind.read_from is kind)


def list_kinds() -> str:
    """In words, the kinds with several completions in one slot."""
    return " or ".join(kind.name for kind in FEEDBACK.values() if kind.is_list)
