"""What this package supplies. Torch is imported when a reference is built."""

from __future__ import annotations

from pydantic import Field

from halo.plugin import Command, Options, Reference, ReferenceContext, ReferenceStrategy, hookimpl


class Moving(Options):
    """TRL's `ref_model_sync_steps` and `ref_model_mixup_alpha`, with its defaults."""

    every: int = Field(64, ge=1, description="steps between updates")
    mixup: float = Field(0.6, gt=0, le=1, description="share of the policy in an update")


class Cached(Options):
    """Where log-probs are kept."""

    folder: str = Field("", description="folder of the log-probs; left out: under HALO_CACHE")


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    moving = "a copy that follows the policy"
    cached = "log-probs kept on disk; the model is loaded only for what is missing"
    adapter = "the policy without its adapter, or with the one it started from: no second copy of the weights"
    return [
        ReferenceStrategy("moving", moving, _moving, "distributions", {"starts_as_policy", "moves", "loads_model"}, Moving),
        ReferenceStrategy("cached", cached, _cached, "logps", {"starts_as_policy", "loads_model"}, Cached),
        ReferenceStrategy("adapter", adapter, _adapter, "distributions", {"starts_as_policy", "borrows_policy"}),
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
