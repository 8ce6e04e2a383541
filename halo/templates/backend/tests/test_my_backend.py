"""my-backend keeps halo's contract for backends, and switches torch to deterministic algorithms."""

from __future__ import annotations

import pytest
import torch
from my_backend.hooks import halo_backends

from halo.plugin import BackendContext, SettingsError
from halo.testing import check_backend

(BACKEND,) = halo_backends()


def test_it_keeps_the_contract() -> None:
    check_backend(BACKEND)


def test_only_deterministic_algorithms_are_left() -> None:
    BACKEND.build(BackendContext("no", (), ".", True))
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="the launcher started 2; --backend ddp"):
        BACKEND.build(BackendContext("no", (), ".", True))
