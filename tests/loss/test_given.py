"""Inputs that do not fit are one message, which names the tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

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
WRONG: list[tuple[Callable[[], LossInputs], str]] = [
    (lambda: inputs(token_logps=LOGPS[:, 1:]), r"chosen.token_logps has the shape \(3, 3\); \(3, 4\), as its mask has"),
    (lambda: inputs(ref_token_logps=LOGPS[1:]), r"chosen.ref_token_logps has the shape \(2, 4\)"),
    (lambda: inputs(token_logps=LOGPS[1:], mask=FULL[1:], ref_token_logps=LOGPS[1:]), r"rejected.mask has the shape \(3, 4\)"),
    (lambda: inputs(mask=FULL[:, 0]), r"chosen.mask has the shape \(3,\); \(3, T\)"),
    (lambda: inputs(mask=LOGPS), r"chosen.mask holds torch.float32; a mask is bool"),
    (lambda: inputs(mask=wrong(FULL, 1, False)), "chosen.mask is false everywhere in an example"),
    (lambda: inputs(token_logps=wrong(LOGPS, 0, torch.nan)), "chosen.token_logps is nan"),
    (lambda: inputs(columns={"extra": torch.ones(B, T + 1)}), r"chosen.extra has the shape \(3, 5\)"),
    (lambda: replace(inputs(), columns={"score_gap": torch.ones(B, 1)}), r"score_gap has the shape \(3, 1\); \(3,\), one for each"),
    (lambda: replace(inputs(), columns={"score_gap": torch.full((B,), torch.nan)}), "score_gap is nan"),
    (lambda: replace(inputs(), weights=torch.ones(B + 1)), r"weights has the shape \(4,\)"),
    (lambda: replace(inputs(), weights=torch.tensor([1.0, -1.0, 1.0])), "weights hold a number below 0"),
    (lambda: replace(inputs(), weights=torch.zeros(B)), "weights are all 0"),
]


@pytest.mark.parametrize(("made", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_one_message(made: Callable[[], LossInputs], message: str) -> None:
    with pytest.raises(ObjectiveError, match=message) as caught:
        LOSS(made())
    assert caught.value.code == "wrong-value"
    assert str(caught.value).startswith("odpo: ")


def test_padding_may_hold_anything_finite_and_nan_behind_the_mask_is_not_looked_at() -> None:
    mask = FULL.clone()
    mask[:, -1] = False
    hidden = LOGPS.clone()
    hidden[:, -1] = torch.nan
    assert torch.equal(LOSS(inputs(mask=mask, token_logps=hidden)).loss, LOSS(inputs(mask=mask)).loss)


def test_a_mask_goes_by_its_name_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Completions(FULL, LOGPS)  # type: ignore[misc]
