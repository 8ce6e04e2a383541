"""my-reference keeps halo's contract for references, and mixes as it says."""

from __future__ import annotations

import pytest
import torch
from my_reference.hooks import halo_reference_strategies
from my_reference.mixed import MixedReference

from halo.plugin import SettingsError
from halo.testing import check_reference, policy, reference_context, rows_of, tokenized

(STRATEGY,) = halo_reference_strategies()


@pytest.mark.parametrize("options", ["", "share=0.5"])
def test_it_keeps_the_contract(options: str) -> None:
    check_reference(STRATEGY, options)


def test_probabilities_are_mixed() -> None:
    context, rows = reference_context(STRATEGY, "share=0.25"), rows_of(tokenized(count=4))
    with torch.no_grad():
        frozen = context.scorer(policy())(rows).exp()
    mixed = MixedReference(context).logps(rows).exp()
    torch.testing.assert_close(mixed, 0.75 * frozen + 0.25 / context.vocabulary)


@pytest.mark.parametrize("share", ["0", "1", "-1", "much"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(SettingsError, match=f"share={share} is not a number above 0, below 1"):
        reference_context(STRATEGY, f"share={share}")
