"""What a reference strategy supplies. No torch is imported here when halo runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from halo.errors import Place, SettingsError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from halo.scoring.distributions import Distributions
    from halo.scoring.rows import RowBatch


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
        """See `Scorer.forward`."""

    def states(self, rows: RowBatch) -> Distributions:
        """See `Scorer.states`."""


@dataclass(frozen=True)
class ReferenceContext:
    """What a strategy may use to build its reference.

    load_model   loads the reference's model anew: the one that the policy starts from, or that of `--reference-model`
    name         that model's name or folder
    scorer       wraps a model as the policy's scorer is wrapped (same path, same precision)
    vocabulary   number of token ids of the policy's head
    options      the strategy's options, as given in `--reference name:option=value,...` or by default
    policy       the policy at work, scored as in a training step; `policy_model` is its module
    fingerprint  of the weights of `name`: equal for equal weights, wherever they lie
    numerics     what else log-probs depend on, such as "float32 sdpa packed cpu"
    sharded      whether a model lies in parts on several processes once `scorer` has wrapped it: then all must score, or none
    """

    load_model: Callable[[], Any]
    name: str
    scorer: Callable[[Any], ScoredModel]
    vocabulary: int
    options: Mapping[str, float | str] = field(default_factory=dict)
    policy: ScoredModel | None = None
    policy_model: Any = None
    fingerprint: Callable[[], str] = lambda: ""
    numerics: str = ""
    sharded: bool = False


@dataclass(frozen=True)
class ReferenceStrategy:
    """name: what `--reference` calls it; supplies: whether it gives log-probs at all; build: see ReferenceContext.

    distributions     whether it gives whole distributions too (it builds a `FullReference`)
    starts_as_policy  whether it agrees with the policy before the first step; then the run checks that it does
    moves             whether it follows the policy (it builds a `FollowingReference`), as `reference: moving` asks
    loads_model       whether it reads the weights of `ReferenceContext.name`, which the run then names with their fingerprint
    borrows           whether it scores with the policy's own weights (`ReferenceContext.policy`)
    options           numbers or texts, with their defaults; the default says which of the two an option is
    """

    name: str
    meaning: str
    build: Callable[[ReferenceContext], Reference | None]
    supplies: bool = True
    distributions: bool = False
    starts_as_policy: bool = False
    moves: bool = False
    loads_model: bool = False
    borrows: bool = False
    options: Mapping[str, float | str] = field(default_factory=dict)

    def with_options(self, text: str) -> Mapping[str, float | str]:
        """The options of `every=64,mixup=0.6`. Raises SettingsError for an unknown name or what is no number where one is wanted."""
        given = dict(self.options)
        for entry in filter(None, text.split(",")):
            name, _, value = entry.partition("=")
            if name not in given:
                message = f"the reference {self.name} has no option {name!r}"
                raise SettingsError("unknown-setting", message, place=Place("--reference"), hint=nearest(name, given))
            given[name] = value if isinstance(self.options[name], str) else self._number(name, value)
        return given

    def _number(self, name: str, value: str) -> float:
        try:
            return float(value)
        except ValueError:
            message = f"{name}={value} is no number"
            hint = f"such as {self.name}:{name}={self.options[name]:g}"
            raise SettingsError("wrong-value", message, place=Place("--reference"), hint=hint) from None
