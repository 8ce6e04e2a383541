"""The reference of a run: built, compared with the policy before the first step, and scored ahead if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from halo.backends.placement import Placement
from halo.data.tokenized import TokenizedExample
from halo.errors import HaloError, Place, RunFailed, SettingsError
from halo.options import Options, parts
from halo.plugin.registry import choose, supplied
from halo.reference.fingerprint import weights_fingerprint
from halo.reference.interface import Reference, ReferenceContext, ReferenceStrategy
from halo.scoring.distributions import LOGP, Scored, States
from halo.scoring.packed import register
from halo.scoring.rows import RowBatch, scored_counts
from halo.scoring.scorer import Scorer
from halo.training.data.datasets import Say
from halo.training.model.loading import check_same_vocabulary, load_model
from halo.training.model.lora import trains_adapter
from halo.training.run.run import Policy
from halo.training.settings import Settings
from halo.training.step.flat import Flat, part_of
from halo.training.step.step import Step

AGREEMENT = 1e-2  # nats per token that policy and reference may differ by before the first step, in bfloat16


def chosen_reference(settings: Settings) -> tuple[ReferenceStrategy, Options]:
    """The strategy of `--reference`, and its options. Raises PluginError, SettingsError."""
    name, options = parts(settings.reference)
    if name == "auto":
        name = "frozen"
        under = trains_adapter(settings) and settings.reference_model_name_or_path is None
        if under and any(item.name == "adapter" for item in supplied("reference")):
            name = "adapter"
    strategy: ReferenceStrategy = choose("reference", name)
    return strategy, strategy.with_options(options)


def build_reference(policy: Policy, say: Say) -> Reference | None:
    """The reference of a run, None if the objective needs none. Raises SettingsError for one that this run cannot have."""
    needs, settings = policy.compiled.graph.needs, policy.settings
    if not needs.reference:
        say("reference  none: the objective needs none")
        return None
    strategy, _ = chosen_reference(settings)
    if "borrows_policy" in strategy.abilities and needs.divergences and policy.placement.sharded:
        reads = f"{policy.compiled.graph.name} reads {', '.join(needs.divergences)}"
        message = f"{reads}, and --reference {strategy.name} is the sharded policy itself"
        raise SettingsError("plugin", message, place=Place("--reference"), hint="--reference frozen")
    context = reference_context(policy)
    other = settings.reference_model_name_or_path
    if other and "loads_model" in strategy.abilities:
        check_same_vocabulary(policy.tokenizer, other, settings)
    if settings.precompute_ref_log_probs and strategy.name == "frozen" and not other:
        reference: Reference | None = _Start(policy)  # the policy has not moved yet: it is its own reference
    else:
        reference = strategy.build(context)
    assert reference is not None  # check_needs asked for one that gives log-probs
    weights = ""
    if strategy.abilities & {"loads_model", "starts_as_policy"}:
        weights = _weights(context)
    say(f"reference  {reference.describe()}{weights}")
    return reference


def reference_context(policy: Policy) -> ReferenceContext:
    """What a run gives a reference strategy to build from. Nothing is loaded."""
    settings, placement, path = policy.settings, policy.placement, policy.scorer.path
    name = str(settings.reference_model_name_or_path or settings.model_name_or_path)

    def wrapped(model: Any) -> _Scored:
        if path == "auto":
            register(model)
        return _Scored(placement.frozen(Scorer(model, path)), placement)

    return ReferenceContext(
        lambda: load_model(name, settings),
        name,
        wrapped,
        policy.vocabulary,
        chosen_reference(settings)[1],
        policy=_AtWork(policy),
        policy_model=policy.model,
        fingerprint=lambda: weights_fingerprint(name),
        numerics=numerics(policy),
        sharded=placement.sharded,
    )


def numerics(policy: Policy) -> str:
    """Type of the weights, how a quantised base holds them, autocast, attention, path of the scorer, device."""
    settings, placement = policy.settings, policy.placement
    path = {"auto": "packed"}.get(policy.scorer.path, policy.scorer.path)
    attention = {"packed": "sdpa"}.get(path, policy.model.config._attn_implementation)  # packed attention is made of sdpa's
    autocast = {"bf16": "bf16-autocast"}.get(placement.context.mixed_precision, "")
    bits = ""
    if settings.load_in_4bit:
        bits = "4-bit"
    elif settings.load_in_8bit:
        bits = "8-bit"
    return " ".join(filter(None, [settings.dtype, bits, autocast, attention, path, placement.device.type]))


def _weights(context: ReferenceContext) -> str:
    """The weights' first digits for the `reference` line; only what keeps log-probs by them insists on having them."""
    try:
        return f", weights {context.fingerprint()[:12]}"
    except (HaloError, OSError) as problem:
        return f", weights without a fingerprint ({problem})"


@dataclass(frozen=True)
class _Scored:
    """A model's scorer in the precision of the run."""

    scorer: Any
    placement: Placement

    def __call__(self, rows: RowBatch) -> Tensor:
        return self.states(rows).scored()[LOGP]

    def states(self, rows: RowBatch) -> States:
        with self.placement.autocast():
            states: States = self.scorer.states(rows)
        return states


class _AtWork:
    """The policy at work, scored as in a training step."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, rows: RowBatch) -> Tensor:
        flat: Tensor = self.policy.placement.module(rows)[LOGP]
        return flat

    @torch.no_grad()
    def states(self, rows: RowBatch) -> Any:
        """A sharded policy cannot be run around its prepared scorer: there sums of distributions are all that can be had."""
        placement = self.policy.placement
        return _Sums(placement.module, rows) if placement.sharded else _Scored(self.policy.scorer, placement).states(rows)


class _Start(_AtWork):
    """The policy before its first step, as its own reference: no second copy of the weights."""

    @torch.no_grad()
    def logps(self, rows: RowBatch) -> Tensor:
        return self(rows)

    def describe(self) -> str:
        return f"{self.policy.settings.model_name_or_path} before the first step, scored ahead and then gone"


@dataclass(frozen=True)
class _Sums:
    """Distributions that exist within the prepared scorer alone: a sharded policy cannot be run around it."""

    score: Callable[..., Scored]
    rows: RowBatch

    @torch.no_grad()
    def scored(self, words: Sequence[str] = ()) -> Scored:
        return self.score(self.rows, words)


def starts_as_policy(settings: Settings) -> bool:
    """Whether the reference must agree with the policy before the first step."""
    return "starts_as_policy" in chosen_reference(settings)[0].abilities and not settings.reference_model_name_or_path


def check_agreement(step: Step, examples: Sequence[TokenizedExample]) -> None:
    """Policy and reference must give the same log-probs before the first step, and no divergence. Raises RunFailed."""
    needs = step.needs
    policy = step.measured(examples, [s for s in needs.slots if s in (*step.reference_slots, *needs.vocabulary)])
    reference = step.referenced(examples)
    gaps = [(policy[slot][LOGP] - reference[slot][LOGP]).abs() for slot in step.reference_slots]
    gaps += [named[word] for named in policy.values() for word in needs.divergences]
    worst = max(float(gap.max()) for gap in gaps)
    if not worst <= AGREEMENT:
        raise RunFailed("self-test", f"policy and reference differ by {worst:.3g} nats in a token before the first step")


def scored_ahead(step: Step, examples: Sequence[TokenizedExample], wanted: Sequence[int], size: int) -> list[TokenizedExample]:
    """The examples; the `wanted` ones, by index, with their reference log-probs, scored `size` at a time."""
    found = list(examples)
    for start in range(0, len(wanted), size):
        chosen = wanted[start : start + size]
        flat = step.referenced([found[i] for i in chosen])
        cursor = dict.fromkeys(step.reference_slots, 0)
        for i in chosen:
            found[i] = _with_logps(found[i], flat, cursor)
    return found


def _with_logps(example: TokenizedExample, flat: Flat, cursor: dict[str, int]) -> TokenizedExample:
    found: dict[str, tuple[dict[str, tuple[float, ...]], ...]] = {}
    for slot in cursor:
        rows = []
        for count in scored_counts(example, slot):
            own = part_of(flat[slot], cursor[slot], cursor[slot] + count)
            rows.append({name: tuple(numbers.tolist()) for name, numbers in own.items()})
            cursor[slot] += count
        found[slot] = tuple(rows)
    return replace(example, ref_logps=found)
