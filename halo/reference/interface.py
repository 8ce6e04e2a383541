"""What a reference strategy supplies. No torch is imported here when halo runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from halo.errors import Place, nearest
from halo.options import Options, validated

if TYPE_CHECKING:
    from torch import Tensor

    from halo.scoring.distributions import Distributions
    from halo.scoring.rows import RowBatch


class Reference(Protocol):
    """A reference at work: log-probs of rows, without a gradient."""

    def logps(self, rows: RowBatch) -> Tensor:
        """Flat log-probs of the scored tokens, at the rows' temperature, in the order of `Scorer.forward`."""

    def describe(self) -> str:
        """One line for the run's output: which reference this is."""


@runtime_checkable
class FullReference(Reference, Protocol):
    """One that gives its whole next-token distributions: what `ref_entropy` and the KL words are computed from."""

    def states(self, rows: RowBatch) -> Distributions:
        """What the head is given at the position of every scored token (of size tokens x hidden), in the same order."""


@runtime_checkable
class FollowingReference(Reference, Protocol):
    """One that moves with the policy. Its state is saved with every checkpoint and restored on resume."""

    def follow(self, policy: Any, step: int) -> None:
        """Called after every optimizer step with the policy's module; `step` counts from 1."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a state back."""


class ScoredModel(Protocol):
    """A model wrapped to score rows: called for flat log-probs, or asked for what they are made of."""

    def __call__(self, rows: RowBatch) -> Tensor:
        """The `logp` of `Scorer.forward`."""

    def states(self, rows: RowBatch) -> Distributions:
        """See `Scorer.states`."""


@dataclass(frozen=True)
class ReferenceContext:
    """What a strategy may use to build its reference.

    load_model   loads the reference's model anew: the one that the policy starts from, or that of `--reference-model`
    name         that model's name or folder
    scorer       wraps a model as the policy's scorer is wrapped (same path, same precision)
    vocabulary   number of token ids of the policy's head
    options      the strategy's options, as given or by default: an instance of its `ReferenceStrategy.options`
    policy       the policy at work, scored as in a training step; `policy_model` is its module
    fingerprint  of the weights of `name`: equal for equal weights, wherever they lie
    numerics     what else log-probs depend on, such as "float32 sdpa packed cpu"
    sharded      whether a model lies in parts on several processes once `scorer` has wrapped it: then all must score, or none
    """

    load_model: Callable[[], Any]
    name: str
    scorer: Callable[[Any], ScoredModel]
    vocabulary: int
    options: Any = field(default_factory=Options)
    policy: ScoredModel | None = None
    policy_model: Any = None
    fingerprint: Callable[[], str] = lambda: ""
    numerics: str = ""
    sharded: bool = False


Gives = Literal["nothing", "logps", "distributions"]
"""No reference at all, log-probs of tokens, or whole next-token distributions too (a `FullReference`)."""

Ability = Literal["starts_as_policy", "moves", "loads_model", "borrows_policy"]
"""What else a strategy may say of itself:

starts_as_policy  it agrees with the policy before the first step; then the run checks that it does
moves             it follows the policy (it builds a `FollowingReference`), as `reference: moving` asks
loads_model       it reads the weights of `ReferenceContext.name`, which the run then names with their fingerprint
borrows_policy    it scores with the policy's own weights (`ReferenceContext.policy`)
"""
ABILITIES: tuple[str, ...] = get_args(Ability)


@dataclass(frozen=True)
class ReferenceStrategy:
    """name: what `--reference` calls it; build: see ReferenceContext; gives, abilities: see `Gives` and `Ability`; options: their model."""

    name: str
    meaning: str
    build: Callable[[ReferenceContext], Reference | None]
    gives: Gives = "logps"
    abilities: Set[Ability] = frozenset()
    options: type[Options] = Options

    def __post_init__(self) -> None:
        """Raises ValueError for what is neither a gift nor an ability."""
        if self.gives not in get_args(Gives):
            raise ValueError(f"the reference {self.name} gives {self.gives!r}; {nearest(self.gives, get_args(Gives))}")
        for ability in self.abilities:
            if ability not in ABILITIES:
                raise ValueError(f"the reference {self.name} has the ability {ability!r}; {nearest(ability, ABILITIES)}")
        object.__setattr__(self, "abilities", frozenset(self.abilities))

    def with_options(self, given: Mapping[str, Any]) -> Options:
        """The options, validated. Raises SettingsError for an unknown name, or a value that is not as its option must be."""
        return validated(self.options, given, "reference", self.name, Place("--reference"))
