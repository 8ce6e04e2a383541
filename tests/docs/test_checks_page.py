"""docs/checks.md lists every check; its table is written from the propositions. HALO_UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os

from checks_page import PAGE, page, table


def test_the_table_is_what_there_is() -> None:
    now = page()
    if os.environ.get("HALO_UPDATE_GOLDEN") == "1":
        PAGE.write_text(now)
    assert PAGE.read_text() == now, "HALO_UPDATE_GOLDEN=1 accepts the propositions as they are"
    assert table() in now
