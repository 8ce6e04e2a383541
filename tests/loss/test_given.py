"""Inputs that do not fit are one message, which names the tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from refusals import refused

import halo
from halo.errors import ObjectiveError
from halo.loss.function import LossFunction
from halo.loss.inputs import Completions, LossInputs

LOSS = LossFunction(halo.load_objective("odpo"), validate=False)
B, T = 3, 4


def completions(**changes: Any) -> Completions:
    logps = torch.full((B, T), -1.0)
    return replace(Completions(token_logps=logps, mask=torch.ones(B, T, dtype=torch.bool), ref_token_logps=logps), **changes)


def inputs(**changes: Any) -> LossInputs:
    """Good ones, with changes of the chosen completions."""
    both = {"chosen": completions(**changes), "rejected": completions()}
    return LossInputs(both, columns={"score_gap": torch.ones(B)})


def wrong(x: torch.Tensor, at: int, value: float) -> torch.Tensor:
    changed = x.clone()
    changed[at] = value
    return changed


FULL = torch.ones(B, T, dtype=torch.bool)
LOGPS = torch.full((B, T), -1.0)
WRONG: dict[str, Callable[[], LossInputs]] = {
    "token_logps of another length": lambda: inputs(token_logps=LOGPS[:, 1:]),
    "ref_token_logps of another batch": lambda: inputs(ref_token_logps=LOGPS[1:]),
    "a role of another batch": lambda: inputs(token_logps=LOGPS[1:], mask=FULL[1:], ref_token_logps=LOGPS[1:]),
    "a mask of one axis": lambda: inputs(mask=FULL[:, 0]),
    "a mask of numbers": lambda: inputs(mask=LOGPS),
    "a mask that is false everywhere": lambda: inputs(mask=wrong(FULL, 1, False)),
    "token_logps that are nan": lambda: inputs(token_logps=wrong(LOGPS, 0, torch.nan)),
    "a column of another length": lambda: inputs(columns={"extra": torch.ones(B, T + 1)}),
    "a column of two axes": lambda: replace(inputs(), columns={"score_gap": torch.ones(B, 1)}),
    "a column that is nan": lambda: replace(inputs(), columns={"score_gap": torch.full((B,), torch.nan)}),
    "weights of another batch": lambda: replace(inputs(), weights=torch.ones(B + 1)),
    "a weight below 0": lambda: replace(inputs(), weights=torch.tensor([1.0, -1.0, 1.0])),
    "weights that are all 0": lambda: replace(inputs(), weights=torch.zeros(B)),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_message(case: str) -> None:
    with refused(ObjectiveError, "wrong-value"):
        LOSS(WRONG[case]())


def test_padding_may_hold_anything_finite_and_nan_behind_the_mask_is_not_looked_at() -> None:
    mask = FULL.clone()
    mask[:, -1] = False
    hidden = LOGPS.clone()
    hidden[:, -1] = torch.nan
    assert torch.equal(LOSS(inputs(mask=mask, token_logps=hidden)).loss, LOSS(inputs(mask=mask)).loss)


def test_a_mask_goes_by_its_name_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Completions(FULL, LOGPS)  # type: ignore[misc]
