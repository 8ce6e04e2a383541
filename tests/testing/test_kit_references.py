"""The kit on references: core's and the moving one pass, planted mistakes are caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from halo.plugin import Options, ReferenceContext, ReferenceStrategy
from halo.plugin.registry import choose
from halo.testing import check_reference, policy, reference_context, tokenized

CORE = ("frozen", "uniform", "none")


@pytest.mark.parametrize("name", CORE)
def test_cores_references_pass(name: str) -> None:
    check_reference(choose("reference", name))


class Copy:
    """A sound reference, which the planted ones differ from in one thing."""

    trained = False

    def __init__(self, context: ReferenceContext) -> None:
        self.model = context.load_model().requires_grad_(self.trained)
        self.score = context.scorer(self.model)

    @torch.no_grad()
    def logps(self, rows: Any) -> Any:
        return self.score(rows)

    @torch.no_grad()
    def states(self, rows: Any) -> Any:
        return self.score.states(rows)

    def describe(self) -> str:
        return "a copy"


class WithGradient(Copy):
    trained = True

    def logps(self, rows: Any) -> Any:
        return self.score(rows)


class Centred(Copy):
    """Depends on what else is in the batch."""

    def logps(self, rows: Any) -> Any:
        found = super().logps(rows)
        return found - found.max()


class Drifting(Copy):
    calls = 0

    def logps(self, rows: Any) -> Any:
        self.calls += 1
        return super().logps(rows) - 0.01 * self.calls


class Double(Copy):
    def logps(self, rows: Any) -> Any:
        return super().logps(rows).double()


class TailsOnly(Copy):
    """Leaves the prompts' tokens out."""

    def logps(self, rows: Any) -> Any:
        return super().logps(replace(rows, score_prefix=False))


class Endless(Copy):
    def logps(self, rows: Any) -> Any:
        found = super().logps(rows)
        found[0] = -torch.inf
        return found


class Tempered(Copy):
    """Log-probs of another distribution than its states."""

    def logps(self, rows: Any) -> Any:
        return super().logps(rows) * 0.5


class Talkative(Copy):
    def describe(self) -> str:
        return "a copy\nof the policy"


class Moving(Copy):
    """Half way to the policy at each step."""

    @torch.no_grad()
    def follow(self, policy: Any, step: int) -> None:
        for own, other in zip(self.model.parameters(), policy.parameters(), strict=True):
            own.lerp_(other, 0.5)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.model.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state)


class Shared(Moving):
    """Moves the policy, not itself."""

    @torch.no_grad()
    def follow(self, policy: Any, step: int) -> None:
        for own, other in zip(self.model.parameters(), policy.parameters(), strict=True):
            other.lerp_(own, 0.5)


class Still(Moving):
    def follow(self, policy: Any, step: int) -> None:
        pass


class Forgetful(Moving):
    """Keeps half of its state: the embeddings are lost."""

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if "embed" not in name}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state, strict=False)


class Counting(Moving):
    """Moves at every third call, and the count is in no checkpoint."""

    calls = 0

    def follow(self, policy: Any, step: int) -> None:
        self.calls += 1
        if self.calls % 3 == 0:
            super().follow(policy, step)


WRONG = {
    "a gradient": (ReferenceStrategy("mine", "", WithGradient), "has a gradient; put @torch.no_grad()"),
    "the batch at large": (ReferenceStrategy("mine", "", Centred), "the same rows scored one example at a time"),
    "state between calls": (ReferenceStrategy("mine", "", Drifting), "the same rows scored"),
    "another type": (ReferenceStrategy("mine", "", Double), "logps(rows) is torch.float64"),
    "no prompts": (ReferenceStrategy("mine", "", TailsOnly), "those of the prompts first would be right"),
    "an infinity": (ReferenceStrategy("mine", "", Endless), "logps(rows) holds [-inf]"),
    "not the policy": (ReferenceStrategy("mine", "", Tempered, abilities={"starts_as_policy"}), "says 'starts_as_policy' and differs from the policy"),
    "two distributions": (ReferenceStrategy("mine", "", Tempered, "distributions"), "they are of one distribution"),
    "no distribution": (ReferenceStrategy("mine", "", lambda context: Bare(Copy(context)), "distributions"), "has no `states(rows)`"),
    "two lines": (ReferenceStrategy("mine", "", Talkative), "one line that says which reference this is"),
    "moves in silence": (ReferenceStrategy("mine", "", Moving), "does not say 'moves', and its reference moves"),
    "says that it moves": (ReferenceStrategy("mine", "", Copy, abilities={"moves"}), "says 'moves', and its reference does not move"),
    "does not move": (ReferenceStrategy("mine", "", Still, abilities={"moves"}), "is where it was 4 steps later"),
    "moves the policy": (ReferenceStrategy("mine", "", Shared, abilities={"moves"}), "follow changed the policy at step 1"),
    "forgets weights": (ReferenceStrategy("mine", "", Forgetful, abilities={"moves"}), "does not bring back the same log-probs"),
    "forgets its count": (ReferenceStrategy("mine", "", Counting, abilities={"moves"}), "what steers it belongs into state_dict() too"),
    "supplies none": (ReferenceStrategy("mine", "", Copy, "nothing"), "None would be right"),
    "builds none": (ReferenceStrategy("mine", "", lambda context: None), "has no `logps(rows)`"),
}  # fmt: skip


class Bare:
    """Only what a reference must have."""

    def __init__(self, inner: Copy) -> None:
        self.logps, self.describe = inner.logps, inner.describe


@pytest.mark.parametrize("case", WRONG)
def test_a_planted_mistake_is_caught(case: str) -> None:
    strategy, said = WRONG[case]
    with pytest.raises(AssertionError) as caught:
        check_reference(strategy)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the reference mine: ")


@pytest.mark.parametrize("strategy", [
    ReferenceStrategy("mine", "", Copy, "distributions", {"starts_as_policy"}),
    ReferenceStrategy("mine", "", Moving, "distributions", {"starts_as_policy", "moves"}),
])  # fmt: skip
def test_sound_ones_pass(strategy: ReferenceStrategy) -> None:
    check_reference(strategy)


def test_the_context_is_filled_as_in_a_run() -> None:
    class Every(Options):
        every: float = 2.0

    strategy = ReferenceStrategy("mine", "", Copy, options=Every)
    assert reference_context(strategy).options == Every(every=2.0)
    context = reference_context(strategy, "every=3")
    assert context.options == Every(every=3.0)
    assert context.vocabulary == policy().config.vocab_size
    assert context.policy is not None
    assert tokenized("ranked", ("completion",), 3)[2].ranks
