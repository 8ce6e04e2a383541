"""Every format keeps halo's contract on its published rows."""

from __future__ import annotations

from typing import Any

import pytest
from published_rows import PUBLISHED

from halo.plugin.registry import choose
from halo.testing import check_format

OPTIONAL = {
    "alpaca": ("instruction",),  # empty where the input says it all
    "rejected-response": ("rejected_response",),  # an empty turn is a completion: of the end-of-sequence token
}
UNREAD = {"hh-prompt": ("response",)}


def rows_by_format() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for key, (row, _) in PUBLISHED.items():
        found.setdefault(key.split("/")[0], []).append(row)
    return found


@pytest.mark.parametrize(("name", "rows"), rows_by_format().items(), ids=rows_by_format())
def test_it_keeps_the_contract(name: str, rows: list[dict[str, Any]]) -> None:
    check_format(choose("format", name), rows if len(rows) > 1 else rows * 2, optional=OPTIONAL.get(name, ()), unread=UNREAD.get(name, ()))
