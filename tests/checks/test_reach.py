"""What reaches several parts of a loss may cancel in their sum."""

from __future__ import annotations

from typing import Any

import pytest
from test_each_check import said

TERMS = {"pull": {"role": "chosen", "sign": -1}, "push": {"role": "chosen", "sign": 1, "reference_point": "none"}}


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"value": "z", "terms": TERMS}, "the role chosen"),  # -(r - r') + r = r'
        ({"value": "z", "terms": {"pull": {}, "push": {"sign": 1}}}, "the parameter beta, the role chosen, the role rejected"),
        ({"value": "logsigmoid(z)", "terms": TERMS}, None),
        ({"value": "z", "terms": {**TERMS, "push": {**TERMS["push"], "weight": 2}}}, None),
    ],
)
def test_parts_that_cancel_do_not_reach_the_loss(changes: dict[str, Any], value: str | None) -> None:
    (finding,) = said("reach", changes)
    assert (finding.verdict, finding.value) == ("refuted" if value else "proved", value)
