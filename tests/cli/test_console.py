"""The progress line says what the objective defines, and nothing it does not know."""

from __future__ import annotations

from halo.cli.console import summary


def test_only_what_is_there_is_shown() -> None:
    record = {"loss": 0.5, "rewards/margins": 0.25, "tokens_per_second": 1234.0}
    assert summary(3, 10, record, 75.0) == "step 3/10  loss 0.500  margin 0.250  tok/s 1,234  left 1:15"
    assert summary(1, 10, {"loss": 0.5, "kl": 0.1}, None) == "step 1/10  loss 0.500  kl 0.100"
