"""Scorer: the module that turns rows into token log-probs. It alone is given to the backend.

`forward` does backbone, selection of scored positions and the chunked head, so that a wrapper around it (DDP, FSDP) sees
every use of the weights. Two exact paths: `shared` runs each prefix once and lets its tails attend to its keys and values;
`plain` runs every row whole. Shared needs a key-value cache with gradients, which gradient checkpointing drops.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from halo.scoring.head import token_logps
from halo.scoring.rows import RowBatch

Path = Literal["shared", "plain"]
WORTH_SHARING = 1.15  # tokens of whole rows over tokens with prefixes once; below, one pass of whole rows is faster


class Scorer(nn.Module):
    """Wraps a causal language model. `path`: auto shares prefixes where that saves tokens."""

    def __init__(self, model: Any, path: Literal["auto", "shared", "plain"] = "auto") -> None:
        super().__init__()
        self.model = model
        self.path = path

    def forward(self, rows: RowBatch) -> Tensor:
        """Flat log-probs (float32) of the scored tokens: prefixes first if `rows.score_prefix`, then tails."""
        path = self.path if self.path != "auto" else "shared" if rows.unshared_tokens > WORTH_SHARING * rows.tokens else "plain"
        if path == "shared" and int(rows.prefix_length.min()) > 0:
            return self._shared(rows)
        return self._plain(rows)

    def _shared(self, rows: RowBatch) -> Tensor:
        count, width = rows.prefix_ids.shape
        real_prefix = _real(rows.prefix_length, width)
        first = self._backbone(rows.prefix_ids, real_prefix.long(), _positions(rows.prefix_ids), use_cache=True)
        cache = first.past_key_values
        cache.batch_select_indices(rows.owner)
        attend = torch.cat([real_prefix[rows.owner], _real(rows.tail_length, rows.tail_ids.shape[1])], 1)
        positions = rows.prefix_length[rows.owner, None] + _positions(rows.tail_ids)
        second = self._backbone(rows.tail_ids, attend.long(), positions, past_key_values=cache, use_cache=True)
        hidden, targets = _predicting(second.last_hidden_state, rows.tail_ids, rows.scored)
        if rows.score_prefix:
            before, prompt_targets = _prompt(first.last_hidden_state, rows, real_prefix)
            hidden, targets = torch.cat([before, hidden]), torch.cat([prompt_targets, targets])
        return self._head(hidden, targets)

    def _plain(self, rows: RowBatch) -> Tensor:
        ids, lengths, shift = whole_rows(rows)
        out = self._backbone(ids, _real(lengths, ids.shape[1]).long(), _positions(ids), use_cache=False)
        width = ids.shape[1]
        column = shift[:, None] + _positions(rows.tail_ids)
        scored = torch.zeros(ids.shape[0], width + rows.tail_ids.shape[1], dtype=torch.bool, device=ids.device)
        scored.scatter_(1, column, rows.scored)
        hidden, targets = _predicting(out.last_hidden_state, ids, scored[:, :width])
        if rows.score_prefix:
            chosen = _first_row_of_each(rows)
            before, prompt_targets = _prompt(out.last_hidden_state[chosen], rows, _real(rows.prefix_length, rows.prefix_ids.shape[1]))
            hidden, targets = torch.cat([before, hidden]), torch.cat([prompt_targets, targets])
        return self._head(hidden, targets)

    def _backbone(self, ids: Tensor, mask: Tensor, positions: Tensor, **cache: Any) -> Any:
        return self.model.get_decoder()(input_ids=ids, attention_mask=mask, position_ids=positions, **cache)

    def _head(self, hidden: Tensor, targets: Tensor) -> Tensor:
        head = self.model.get_output_embeddings()
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        return token_logps(hidden, targets, head.weight, getattr(head, "bias", None))


def whole_rows(rows: RowBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Every tail behind its own prefix: ids (M, P+R) right-padded, lengths (M), and where each tail begins (M)."""
    shift = rows.prefix_length[rows.owner]
    lengths = shift + rows.tail_length
    width = int(lengths.max())
    room = width + rows.tail_ids.shape[1] + rows.prefix_ids.shape[1]
    ids = torch.zeros(len(rows.owner), room, dtype=torch.long, device=rows.tail_ids.device)
    ids[:, : rows.prefix_ids.shape[1]] = rows.prefix_ids[rows.owner]
    ids.scatter_(1, shift[:, None] + _positions(rows.tail_ids), rows.tail_ids)
    return ids[:, :width].contiguous(), lengths, shift


def _real(lengths: Tensor, width: int) -> Tensor:
    return torch.arange(width, device=lengths.device)[None, :] < lengths[:, None]


def _positions(ids: Tensor) -> Tensor:
    return torch.arange(ids.shape[1], device=ids.device)[None, :].expand(ids.shape)


def _predicting(hidden: Tensor, ids: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """The states one position before each scored token, and the tokens."""
    return hidden[:, :-1][scored[:, 1:]], ids[:, 1:][scored[:, 1:]]


def _prompt(hidden: Tensor, rows: RowBatch, real_prefix: Tensor) -> tuple[Tensor, Tensor]:
    """States at every prefix position and the tokens they predict: the prefix but its first token, and the tail's first."""
    chosen = _first_row_of_each(rows)
    following = torch.cat([rows.prefix_ids[:, 1:], torch.zeros_like(rows.prefix_ids[:, :1])], 1)
    last = (rows.prefix_length - 1).clamp(min=0)
    following = following.scatter(1, last[:, None], rows.tail_ids[chosen, :1])
    return hidden[:, : real_prefix.shape[1]][real_prefix[:, : hidden.shape[1]]], following[real_prefix]


def _first_row_of_each(rows: RowBatch) -> Tensor:
    """For every prefix the index of its first tail."""
    size = len(rows.prefix_length)
    order = torch.arange(len(rows.owner), device=rows.owner.device)
    first = torch.full((size,), len(rows.owner), device=rows.owner.device)
    return first.scatter_reduce(0, rows.owner, order, "amin")
