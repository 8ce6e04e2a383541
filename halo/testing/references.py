"""Whether a reference strategy keeps its contract: the log-probs it gives, what it claims of itself, and what a run does with it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from halo.data.tokenized import TokenizedExample
from halo.plugin import FollowingReference, FullReference, ReferenceStrategy
from halo.scoring.distributions import LOGP
from halo.scoring.rows import RowBatch, build_rows
from halo.testing.parts import policy, reference_context, require, rows_of, tokenized, train_steps

NEAR = 1e-4
"""Nats: two ways through one float32 model differ by about 1e-6 in a token."""
SLOTS = ("chosen", "rejected")


def check_reference(strategy: ReferenceStrategy, options: str = "", *, follows: int = 4, **settings: Any) -> None:
    """Raises AssertionError unless the strategy keeps its contract, built for the embedded policy.

    options  as typed after `--reference name:`, such as "every=1,mixup=0.5"
    follows   in how many steps of the policy a reference that moves is seen to move, with these options
    settings  of the run that it is for, such as use_peft=True
    """
    say = _Say(strategy)
    model = policy(**settings)
    reference = strategy.build(reference_context(strategy, options, model))
    if strategy.gives == "nothing":
        say.unless(reference is None, f"says gives='nothing' and builds {reference!r}; None would be right")
        return
    say.unless(callable(getattr(reference, "logps", None)), f"builds {reference!r}, which has no `logps(rows)`")
    describe = getattr(reference, "describe", lambda: None)()
    one_line = isinstance(describe, str) and describe.strip() and len(describe.splitlines()) == 1
    say.unless(one_line, f"describe() is {describe!r}; one line that says which reference this is")
    _check_logps(reference, say)
    if "starts_as_policy" in strategy.abilities:
        _check_starts(reference, model, say)
    full = isinstance(reference, FullReference)
    gives_all = strategy.gives == "distributions"
    say.unless(full or not gives_all, "says gives='distributions' and has no `states(rows)`")
    if gives_all:
        _check_states(reference, model, say)
    moves = "moves" in strategy.abilities
    hint = "`follow`, `state_dict` and `load_state_dict` make one that moves, and the ability 'moves' says so"
    if isinstance(reference, FollowingReference):
        say.unless(moves, f"does not say 'moves', and its reference moves; {hint}")
    else:
        say.unless(not moves, f"says 'moves', and its reference does not move; {hint}")
    if moves:
        _check_moves(strategy, options, reference, model, follows, settings, say)
    _check_trains(strategy, options, settings, say)


class _Say:
    """Messages that begin with the strategy's name."""

    def __init__(self, strategy: ReferenceStrategy) -> None:
        self.name = strategy.name

    def unless(self, condition: object, message: str) -> None:
        require(condition, f"the reference {self.name}: {message}")


def _by_example(reference: Any, groups: Sequence[Sequence[TokenizedExample]], slots: Sequence[str]) -> dict[tuple[str, str], Tensor]:
    """Log-probs of every example's slot, asked for in these groups."""
    found: dict[tuple[str, str], Tensor] = {}
    for group in groups:
        rows, layout = build_rows(group, slots)
        flat = reference.logps(rows)
        for slot in slots:
            parts = flat[layout.flat[slot]].split([_count(example, slot) for example in group])
            found |= {(str(example.place), slot): part for example, part in zip(group, parts, strict=True)}
    return found


def _count(example: TokenizedExample, slot: str) -> int:
    if slot == "prompt":
        return len(example.prefix)
    return sum(sum(tail.scored) for tail in example.tails[slot])


def _check_logps(reference: Any, say: _Say) -> None:
    """Count, type, range, no gradient; and the same numbers in whatever order and grouping the rows come."""
    examples = tokenized(count=4)
    for slots in (SLOTS, ("prompt", *SLOTS)):
        _check_flat(reference.logps(rows_of(examples, slots)), sum(_count(e, s) for e in examples for s in slots), slots, say)
    together = _by_example(reference, [examples], SLOTS)
    ways = {
        "one example at a time": _by_example(reference, [[example] for example in examples], SLOTS),
        "in reverse order": _by_example(reference, [examples[::-1]], SLOTS),
        "again": _by_example(reference, [examples], SLOTS),
        "one completion at a time": _by_example(reference, [examples], SLOTS[:1]) | _by_example(reference, [examples], SLOTS[1:]),
    }
    hint = "a log-prob depends on its own row only (dropout off, no state between calls, no batch statistics)"
    for way, found in ways.items():
        worst = max(float((found[key] - together[key]).abs().max()) for key in together)
        say.unless(worst <= NEAR, f"the same rows scored {way} give log-probs that differ by {worst:.3g} nats; {hint}")


def _check_flat(flat: Any, count: int, slots: Sequence[str], say: _Say) -> None:
    say.unless(isinstance(flat, Tensor), f"logps(rows) gives a {type(flat).__name__}, not a tensor")
    wanted = f"({count},), one for each scored token{', those of the prompts first' if 'prompt' in slots else ''}"
    say.unless(flat.shape == (count,), f"logps(rows) has the shape {tuple(flat.shape)}, and {wanted} would be right")
    say.unless(flat.dtype == torch.float32, f"logps(rows) is {flat.dtype}; torch.float32 as the policy's log-probs are")
    say.unless(not flat.requires_grad, "logps(rows) has a gradient; put @torch.no_grad() above it")
    say.unless(torch.isfinite(flat).all(), f"logps(rows) holds {flat[~torch.isfinite(flat)][:1].tolist()}; log-probs are finite")
    say.unless((flat <= NEAR).all(), f"logps(rows) holds {float(flat.max()):.3g}; a log-prob is at most 0")


def _scored(model: Any, rows: RowBatch) -> Tensor:
    context = reference_context(ReferenceStrategy("policy", "", lambda context: None), "", model)
    with torch.no_grad():
        return context.scorer(model)(rows)


def _check_starts(reference: Any, model: Any, say: _Say) -> None:
    rows = rows_of(tokenized(count=4), SLOTS)
    worst = float((reference.logps(rows) - _scored(model, rows)).abs().max())
    say.unless(worst <= NEAR, f"says 'starts_as_policy' and differs from the policy by {worst:.3g} nats in a token before the first step")


def _check_states(reference: Any, model: Any, say: _Say) -> None:
    """Whole distributions that add up to 1, over the policy's vocabulary, and that the log-probs come from."""
    rows = rows_of(tokenized(count=4), SLOTS)
    states, flat, vocabulary = reference.states(rows), reference.logps(rows), model.get_output_embeddings().weight.shape[0]
    say.unless(states.vocabulary == vocabulary, f"states(rows) is over {states.vocabulary} tokens, the policy's head has {vocabulary}")
    words = ("entropy", "log_sum_sq_probs")
    named = states.scored(words)
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    right = dict.fromkeys((LOGP, *words), (len(flat),))
    say.unless(shapes == right, f"states(rows).scored of two words gives {shapes}; {right} would be right")
    hint = "put @torch.no_grad() above it, and requires_grad_(False) on the model"
    say.unless(not any(x.requires_grad for x in named.values()), f"states(rows) has a gradient; {hint}")
    worst = float((named[LOGP] - flat).abs().max())
    say.unless(worst <= NEAR, f"logps(rows) and states(rows) differ by {worst:.3g} nats in a token; they are of one distribution")
    log_p = states.ready().log_probs(slice(0, len(flat)))
    if not log_p.ndim:  # one number where all tokens are alike
        log_p = log_p.expand(1, vocabulary)
    off = float(torch.logsumexp(log_p, -1).abs().max())
    say.unless(off <= NEAR, f"the probabilities of states(rows) add up to exp({off:.3g}), not to 1")
    entropy = float((named["entropy"] + (log_p.exp() * log_p).sum(-1)).abs().max())
    say.unless(entropy <= NEAR, f"the entropy of states(rows) is {entropy:.3g} nats off that of its own probabilities")


def _check_moves(
    strategy: ReferenceStrategy, options: str, reference: Any, model: Any, follows: int, settings: dict[str, Any], say: _Say
) -> None:
    """It moves when the policy has moved, leaves the policy alone, and its state brings it back bit for bit."""
    rows = rows_of(tokenized(count=4), SLOTS)
    before = reference.logps(rows)
    for step in range(1, follows + 1):
        _nudge(model, step)
        weights = [parameter.clone() for parameter in model.parameters()]
        reference.follow(model, step)
        same = all(map(torch.equal, weights, model.parameters()))
        say.unless(same, f"follow changed the policy at step {step}; it reads the policy's weights and moves its own")
    moved = float((reference.logps(rows) - before).abs().max())
    hint = 'give check_reference options, such as "every=1", with which it is seen to'
    say.unless(moved > NEAR, f"says 'moves' and is where it was {follows} steps later; {hint}")
    kept = io.BytesIO()
    torch.save(reference.state_dict(), kept)
    kept.seek(0)
    try:
        state = torch.load(kept, weights_only=True)
    except Exception as problem:
        raise AssertionError(f"the reference {strategy.name}: state_dict() holds more than tensors by name: {problem}") from problem
    other = strategy.build(reference_context(strategy, options, policy(**settings)))
    assert isinstance(other, FollowingReference)
    other.load_state_dict(state)
    say.unless(
        torch.equal(other.logps(rows), reference.logps(rows)), "load_state_dict(state_dict()) does not bring back the same log-probs"
    )
    for step in range(follows + 1, 2 * follows + 1):
        _nudge(model, step)
        reference.follow(model, step)
        other.follow(model, step)
    same = torch.equal(other.logps(rows), reference.logps(rows))
    say.unless(same, f"after {follows} further steps the restored reference is elsewhere; what steers it belongs into state_dict() too")


@torch.no_grad()
def _nudge(model: Any, seed: int) -> None:
    """A step of the policy, in a random direction."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter += 0.02 * torch.randn(parameter.shape, generator=generator)


def _check_trains(strategy: ReferenceStrategy, options: str, settings: dict[str, Any], say: _Say) -> None:
    """A real run with it; DPO's loss is log 2 where policy and reference agree."""
    name = "tdpo1" if strategy.gives == "distributions" else "dpo"
    typed = f"{strategy.name}:{options}" if options else strategy.name
    losses = [step["loss"] for step in train_steps(name, supplies=(("reference", strategy),), reference=typed, **settings).steps]
    say.unless(all(map(math.isfinite, losses)), f"two steps of {name} have the losses {losses}")
    agrees = "starts_as_policy" not in strategy.abilities or abs(losses[0] - math.log(2)) < NEAR
    say.unless(agrees, f"says 'starts_as_policy', and the first loss of {name} is {losses[0]:.6g}, not log 2")
