"""The sampler keeps halo's contract, on a server that is repeatable."""

from __future__ import annotations

import pytest
from halo_vllm.hooks import halo_samplers
from vllm_double import serving

from halo.testing import check_sampler


@pytest.mark.slow
@pytest.mark.parametrize("options", ["temperature=0.7", "top_p=0.9"])
def test_it_keeps_the_contract(options: str) -> None:
    with serving() as double:
        check_sampler(halo_samplers()[0], f"url={double.url},{options}")
