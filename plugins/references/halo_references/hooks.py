"""What this package supplies. Torch is imported when a reference is built."""

from __future__ import annotations

from halo.plugin import Command, Reference, ReferenceContext, ReferenceStrategy, hookimpl

MOVES = {"every": 64.0, "mixup": 0.6}
"""Steps between updates, and the share of the policy in each (TRL's `ref_model_sync_steps` and `ref_model_mixup_alpha`)."""


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    moving = "a copy that follows the policy: every=STEPS, mixup=SHARE of the policy"
    cached = "log-probs kept on disk; the model is loaded only for what is missing: folder=PATH"
    adapter = "the policy without its adapter, or with the one it started from: no second copy of the weights"
    return [
        ReferenceStrategy("moving", moving, _moving, distributions=True, starts_as_policy=True, moves=True, loads_model=True, options=MOVES),
        ReferenceStrategy("cached", cached, _cached, starts_as_policy=True, loads_model=True, options={"folder": ""}),
        ReferenceStrategy("adapter", adapter, _adapter, distributions=True, starts_as_policy=True, borrows=True),
    ]


@hookimpl
def halo_commands() -> list[Command]:
    return [Command("reference", "the log-probs that --reference cached keeps: build, list, remove, export, import", _command)]


def _adapter(context: ReferenceContext) -> Reference:
    from halo_references.adapter import AdapterReference

    return AdapterReference(context)


def _moving(context: ReferenceContext) -> Reference:
    from halo_references.moving import MovingReference

    return MovingReference(context)


def _cached(context: ReferenceContext) -> Reference:
    from halo_references.cached import CachedReference

    return CachedReference(context)


def _command(words: list[str]) -> int:
    from halo_references.command import run

    return run(words)
