"""What a model can be scored with: one short row compared with its own logits before training, and fast paths ruled out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halo.errors import ModelError
from halo.scoring.distributions import LOGP
from halo.scoring.packed import register
from halo.scoring.rows import RowBatch
from halo.scoring.scorer import Scorer, whole_rows

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9, torch.bfloat16: 0.3, torch.float16: 0.05}


@torch.no_grad()
def compare_with_logits(scorer: Scorer, rows: RowBatch, path: str) -> float:
    """The largest difference in log-prob between the scorer's path and the model's own logits on these rows."""
    before, scorer.path = scorer.path, path  # type: ignore[assignment]
    try:
        ours = scorer(rows)[LOGP]
    finally:
        scorer.path = before
    if not len(ours):
        return 0.0
    return float((ours - own_logps(scorer.model, rows)).abs().max())


def own_logps(model: Any, rows: RowBatch) -> Tensor:
    """Log-probs of the scored tail tokens from the model's full logits, the slow and plain way."""
    ids, lengths, shift = whole_rows(rows)
    result = []
    for row, owner in enumerate(rows.owner.tolist()):
        beside = {name: each[owner] for name, each in rows.tensors.items()}
        logits = model(input_ids=ids[row : row + 1, : int(lengths[row])], use_cache=False, **beside).logits[0].double()
        if rows.temperature is not None:
            logits = logits / rows.temperature[row]
        logps = torch.log_softmax(logits, -1)
        for column in torch.nonzero(rows.scored[row]).flatten().tolist():
            position = int(shift[row]) + column
            result.append(logps[position - 1, ids[row, position]])
    if not result:
        return torch.zeros(0)
    return torch.stack(result)


def choose_path(scorer: Scorer, rows: RowBatch, packing: bool, dtype: torch.dtype) -> str:
    """Compares the paths with the model's own logits on a short row; sets `scorer.path`, returns one line that says so.

    Raises ModelError if even whole rows disagree (a softcap, a scale or another head that the chunked head does not
    know). A model that cannot be packed, or an attention that does more than look back, falls back to whole rows.
    """
    limit = TOLERANCE.get(dtype, 1e-3)
    plain = compare_with_logits(scorer, rows, "plain")
    if not plain <= limit:
        message = f"halo's log-probs differ from the model's own by {plain:.3g} nats"
        raise ModelError("self-test", message, hint="its head does something (softcap, scale) that halo does not know yet")
    scorer.path = "plain"
    if not packing:
        return "whole rows, as set"
    own = scorer.model.config._attn_implementation
    try:
        register(scorer.model)
        packed = compare_with_logits(scorer, rows, "packed")
        why = ""
        if not packed <= limit:
            why = f"they differ by {packed:.3g} nats"
    except Exception as problem:  # whatever a model with another attention raises: fall back and say so
        why = f"{type(problem).__name__}: {problem}".splitlines()[0]
    if why:
        scorer.model.set_attn_implementation(own)
        return f"whole rows; this model cannot be packed ({why})"
    scorer.path = "auto"
    return "packed rows with shared prompts where they save work"
