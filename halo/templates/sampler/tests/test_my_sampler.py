"""my-sampler keeps halo's contract for samplers, and wavers as it says."""

from __future__ import annotations

import pytest
import torch
from my_sampler.hooks import halo_samplers

from halo.plugin import Sample, SettingsError
from halo.testing import check_sampler, policy, requests, sampler_context

(SAMPLER,) = halo_samplers()


def completions(share: float) -> list[Sample]:
    return list(SAMPLER.build(sampler_context(SAMPLER, {"share": share})).sample(requests(SAMPLER)))


def test_it_keeps_the_contract() -> None:
    check_sampler(SAMPLER, "share=0.5")


@torch.no_grad()
def test_it_takes_the_most_likely_token_or_the_second() -> None:
    """At 0 and 1 chance has no say: every token is the first, or the second, of those that the model gives behind its prompt."""
    model = policy().eval()
    for place in (0, 1):
        for request, sample in zip(requests(SAMPLER), completions(place), strict=True):
            assert sample.ids
            logits = model(torch.tensor([[*request.ids, *sample.ids]])).logits[0]
            ranked = logits[len(request.ids) - 1 : -1].argsort(-1, descending=True)
            assert tuple(ranked[:, place].tolist()) == sample.ids


@pytest.mark.parametrize("share", ["-0.1", "2", "much"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(SettingsError, match=f"share={share} is not a number from 0"):
        sampler_context(SAMPLER, f"share={share}")
