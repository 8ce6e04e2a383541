"""What this package supplies. Torch is imported when a reference is built."""

from __future__ import annotations

from halo.plugin import Reference, ReferenceContext, ReferenceStrategy, hookimpl

OPTIONS = {"every": 64.0, "mixup": 0.6}
"""Steps between updates, and the share of the policy in each (TRL's `ref_model_sync_steps` and `ref_model_mixup_alpha`)."""


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    meaning = "a copy that follows the policy: every=STEPS, mixup=SHARE of the policy"
    under = "the policy without its adapter, or with the one it started from: no second copy of the weights"
    return [
        ReferenceStrategy("moving", meaning, _moving, distributions=True, starts_as_policy=True, moves=True, loads_model=True, options=OPTIONS),
        ReferenceStrategy("adapter", under, _adapter, distributions=True, starts_as_policy=True),
    ]


def _adapter(context: ReferenceContext) -> Reference:
    from halo_references.adapter import AdapterReference

    return AdapterReference(context)


def _moving(context: ReferenceContext) -> Reference:
    from halo_references.moving import MovingReference

    return MovingReference(context)
