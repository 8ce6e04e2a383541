"""What this package supplies. halo imports this module and calls what is marked; torch is imported when a sampler is built."""

from __future__ import annotations

from pydantic import Field

from halo.plugin import Options, Sampler, SamplerContext, Sampling, hookimpl


class Wavers(Options):
    """What `--sampler my-sampler:share=NUMBER` may say."""

    share: float = Field(0.1, ge=0, le=1, description="chance of the second most likely token")


@hookimpl
def halo_samplers() -> list[Sampler]:
    meaning = "the most likely token each time, now and then the second most likely"
    return [Sampler("my-sampler", meaning, _wavering, Wavers)]


def _wavering(context: SamplerContext) -> Sampling:
    from my_sampler.wavering import Wavering

    return Wavering(context)
