"""What this package supplies. halo imports this module and calls what is marked; torch is imported when a reference is built."""

from __future__ import annotations

from halo.plugin import Reference, ReferenceContext, ReferenceStrategy, hookimpl

OPTIONS = {"share": 0.1}
"""Of the uniform distribution, unless `--reference my-reference:share=NUMBER` says otherwise."""


@hookimpl
def halo_reference_strategies() -> list[ReferenceStrategy]:
    meaning = "a frozen copy of the policy, mixed with the uniform distribution: share=SHARE of it"
    return [ReferenceStrategy("my-reference", meaning, _mixed, loads_model=True, options=OPTIONS)]


def _mixed(context: ReferenceContext) -> Reference:
    from my_reference.mixed import MixedReference

    return MixedReference(context)
