"""What this package supplies. halo imports this module and calls what is marked; torch is imported when a reference is built."""

from __future__ import annotations

from pydantic import Field

from halo.plugin import Options, Reference, ReferenceContext, ReferenceStrategy, hookimpl


class Mix(Options):
    """What `--reference my-reference:share=NUMBER` may say."""

    share: float = Field(0.1, gt=0, lt=1, description="share of the uniform distribution")


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    meaning = "a frozen copy of the policy, mixed with the uniform distribution"
    return [ReferenceStrategy("my-reference", meaning, _mixed, abilities={"loads_model"}, options=Mix)]


def _mixed(context: ReferenceContext) -> Reference:
    from my_reference.mixed import MixedReference

    return MixedReference(context)
