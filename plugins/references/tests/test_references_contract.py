"""Every reference of the package keeps halo's contract."""

from __future__ import annotations

from typing import Any

import pytest

from halo.plugin.registry import choose
from halo.testing import check_reference

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("moving", "every=1", {}),
    ("moving", "every=2,mixup=0.5", {}),
    ("moving", "every=3,mixup=1", {}),
    ("cached", "", {}),
    ("adapter", "", {"use_peft": True}),
]


@pytest.mark.parametrize(("name", "options", "settings"), CASES, ids=[f"{name}:{options}" for name, options, _ in CASES])
def test_it_keeps_the_contract(name: str, options: str, settings: dict[str, Any]) -> None:
    if name == "adapter":
        pytest.importorskip("peft")
    check_reference(choose("reference", name), options, **settings)
