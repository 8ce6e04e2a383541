"""The reference of a run: built, compared with the policy before the first step, and scored ahead if asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from halo.backends.placement import Placement
from halo.data.tokenizing import TokenizedExample
from halo.errors import HaloError, Place, RunFailed, SettingsError
from halo.options import Options, parts
from halo.plugin.registry import choose, supplied
from halo.reference.fingerprint import weights_fingerprint
from halo.reference.interface import Reference, ReferenceContext, ReferenceStrategy
from halo.scoring.distributions import States
from halo.scoring.packed import register
from halo.scoring.rows import RowBatch, scored_counts
from halo.scoring.scorer import Scorer
from halo.training.data.feed import Table
from halo.training.model.loading import check_same_vocabulary, load_model
from halo.training.model.lora import trains_adapter
from halo.training.run.run import Run
from halo.training.settings import Settings
from halo.training.step.batch import logp_of

AGREEMENT = 1e-2  # nats per token that policy and reference may differ by before the first step, in bfloat16


def chosen_reference(settings: Settings) -> tuple[ReferenceStrategy, Options]:
    """The strategy of `--reference`, and its options. Raises PluginError, SettingsError."""
    name, options = parts(settings.reference)
    if name == "auto":
        under = trains_adapter(settings) and settings.reference_model_name_or_path is None
        name = "adapter" if under and any(item.name == "adapter" for item in supplied("reference")) else "frozen"
    strategy: ReferenceStrategy = choose("reference", name)
    return strategy, strategy.with_options(options)


def attach_reference(run: Run) -> None:
    """Builds the reference if the objective needs one, checks that the policy agrees with it, and scores ahead if asked."""
    needs, settings = run.compiled.graph.needs, run.settings
    if not needs.reference:
        run.say("reference  none: the objective needs none")
        return
    strategy, _ = chosen_reference(settings)
    if "borrows_policy" in strategy.abilities and needs.divergences and run.placement.sharded:
        message = f"{run.compiled.graph.name} reads {', '.join(needs.divergences)}, and --reference {strategy.name} is the sharded policy itself"
        raise SettingsError("plugin", message, place=Place("--reference"), hint="--reference frozen")
    context = reference_context(run)
    other = settings.reference_model_name_or_path
    if other and "loads_model" in strategy.abilities:
        check_same_vocabulary(run.tokenizer, other, settings)
    if settings.precompute_ref_log_probs and strategy.name == "frozen" and not other:
        reference: Reference | None = _Start(run)  # the policy has not moved yet: it is its own reference
    else:
        reference = strategy.build(context)
    assert reference is not None  # _check_needs asked for one that gives log-probs
    run.step.reference = reference
    run.say(f"reference  {reference.describe()}{_weights(context) if strategy.abilities & {'loads_model', 'starts_as_policy'} else ''}")
    if "starts_as_policy" in strategy.abilities and not other:
        _check_agreement(run)
    if settings.precompute_ref_log_probs:
        _precompute(run)


def reference_context(run: Run) -> ReferenceContext:
    """What this run gives a reference strategy to build from. Nothing is loaded."""
    settings = run.settings
    name, vocabulary = str(settings.reference_model_name_or_path or settings.model_name_or_path), run.step.vocab_size
    assert vocabulary is not None

    def wrapped(model: Any) -> _Scored:
        if run.scorer.path == "auto":
            register(model)
        return _Scored(run.placement.frozen(Scorer(model, run.scorer.path)), run.placement)

    return ReferenceContext(
        lambda: load_model(name, settings),
        name,
        wrapped,
        vocabulary,
        chosen_reference(settings)[1],
        policy=_Policy(run),
        policy_model=run.model,
        fingerprint=lambda: weights_fingerprint(name),
        numerics=_numerics(run),
        sharded=run.placement.sharded,
    )


def _numerics(run: Run) -> str:
    """Type of the weights, how a quantised base holds them, autocast, attention, path of the scorer, device."""
    path = {"auto": "packed"}.get(run.scorer.path, run.scorer.path)
    attention = "sdpa" if path == "packed" else run.model.config._attn_implementation  # packed attention is made of sdpa's
    autocast = {"no": ""}.get(run.placement.context.mixed_precision, f"{run.placement.context.mixed_precision}-autocast")
    bits = "4-bit" if run.settings.load_in_4bit else "8-bit" if run.settings.load_in_8bit else ""
    return " ".join(filter(None, [run.settings.dtype, bits, autocast, attention, path, run.placement.device.type]))


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
        return self.states(rows).scored()

    def states(self, rows: RowBatch) -> States:
        with self.placement.autocast():
            states: States = self.scorer.states(rows)
        return states


class _Policy:
    """The policy at work, scored as in a training step."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self, rows: RowBatch) -> Tensor:
        return self.run.step.score(rows)

    @torch.no_grad()
    def states(self, rows: RowBatch) -> Any:
        """A sharded policy cannot be run around its prepared scorer: there sums of distributions are all that can be had."""
        placement = self.run.placement
        return _Sums(self.run.step.score, rows) if placement.sharded else _Scored(self.run.scorer, placement).states(rows)


class _Start(_Policy):
    """The policy before its first step, as its own reference: no second copy of the weights."""

    @torch.no_grad()
    def logps(self, rows: RowBatch) -> Tensor:
        return self(rows)

    def describe(self) -> str:
        return f"{self.run.settings.model_name_or_path} before the first step, scored ahead and then gone"


@dataclass(frozen=True)
class _Sums:
    """Distributions that exist within the prepared scorer alone: a sharded policy cannot be run around it."""

    score: Callable[..., Tensor]
    rows: RowBatch

    @torch.no_grad()
    def scored(self, words: Sequence[str] = ()) -> Tensor:
        return self.score(self.rows, words)


def _check_agreement(run: Run) -> None:
    """Policy and reference must give the same log-probs before the first step, and no divergence."""
    step, needs = run.step, run.compiled.graph.needs
    policy = step.measured(run.data.train[:2], [s for s in needs.slots if s in (*step.reference_slots, *needs.vocabulary)])
    reference = step.referenced(run.data.train[:2])
    gaps = [(logp_of(policy[slot]) - logp_of(reference[slot])).abs() for slot in step.reference_slots]
    columns = [1 + needs.policy_words.index(word) for word in needs.divergences]
    gaps += [flat[:, columns] for flat in policy.values()] if columns else []
    worst = max(float(gap.max()) for gap in gaps)
    if not worst <= AGREEMENT:
        raise RunFailed("self-test", f"policy and reference differ by {worst:.3g} nats in a token before the first step")


def _precompute(run: Run) -> None:
    """Gives every example its reference log-probs, then frees the reference."""
    slots, settings, begun = run.step.reference_slots, run.settings, time.perf_counter()
    assert isinstance(run.feed, Table), "a stream was refused before"
    for examples, wanted in ((run.data.train, run.feed.reached()), (run.data.held_out, list(range(len(run.data.held_out))))):
        for start in range(0, len(wanted), settings.per_device_train_batch_size):
            chosen = wanted[start : start + settings.per_device_train_batch_size]
            flat = run.step.referenced([examples[i] for i in chosen])
            cursor = dict.fromkeys(slots, 0)
            for i in chosen:
                examples[i] = _with_logps(examples[i], flat, cursor)
    if run.step.world.size > 1 and (filler := run.step.filler) is not None:  # scored too, since the reference goes
        run.step.filler = _with_logps(filler, run.step.referenced([filler]), dict.fromkeys(slots, 0))
    run.step.reference = None
    run.facts["reference_seconds"] = time.perf_counter() - begun


def _with_logps(example: TokenizedExample, flat: dict[str, Tensor], cursor: dict[str, int]) -> TokenizedExample:
    found: dict[str, tuple[tuple[float, ...], ...]] = {}
    for slot in cursor:
        rows = []
        for count in scored_counts(example, slot):
            rows.append(tuple(flat[slot][cursor[slot] : cursor[slot] + count].tolist()))
            cursor[slot] += count
        found[slot] = tuple(rows)
    return replace(example, ref_logps=found)
