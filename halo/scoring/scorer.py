"""Scorer: the module that turns rows into token log-probs. It alone is given to the backend.

`forward` does backbone, selection of scored positions and the chunked head, so that a wrapper around it (DDP, FSDP) sees
every use of the weights. What it gives is named (`Scored`): a subclass that has more to say, such as a trained head, adds a name,
and a step takes gradients for all of them. Two exact paths: `packed` runs each prefix once for all its tails, without padding; `plain` runs
every row whole, padded, with the model's own attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from halo.scoring.distributions import Distributions, Scored, States
from halo.scoring.packed import pack
from halo.scoring.rows import RowBatch

Path = Literal["auto", "packed", "plain"]
WORTH_PACKING = 1.15  # padded tokens of whole rows over packed ones
LONG_ENOUGH = 64  # packed tokens of an example; below, attention one example at a time costs more than padding


class Scorer(nn.Module):
    """Wraps a causal language model. `path`: auto packs where that saves work.

    gives  the names of what it gives of its own accord, beside `logp` and the words that it is asked for
    """

    gives: tuple[str, ...] = ()

    def __init__(self, model: Any, path: Path = "auto") -> None:
        super().__init__()
        self.model = model
        self.path = path

    def forward(self, rows: RowBatch, words: Sequence[str] = (), reference: Distributions | None = None) -> Scored:
        """Flat numbers of the scored tokens, prefixes first if `rows.score_prefix`, then tails: log-probs (float32) at the rows'
        temperature, and the full-vocabulary `words` of the same distributions; `reference` is at the same positions."""
        return self.states(rows).scored(words, reference)

    def states(self, rows: RowBatch) -> States:
        """The hidden states that predict the scored tokens, in the same order, and the head they go to."""
        return self._packed(rows) if self._packs(rows) else self._plain(rows)

    def _packs(self, rows: RowBatch) -> bool:
        """A model that reads more than ids is given whole rows: where in a packed one an image belongs is not known."""
        if rows.tensors or self.path == "plain":
            return False
        return self.path == "packed" or _worth_packing(rows)

    def _packed(self, rows: RowBatch) -> States:
        ids, positions, packing, starts = pack(rows)
        whole = ids.new_ones(1, 1, 1, 1, dtype=torch.bool)  # four dimensions: transformers passes it on as it is
        hidden = self._backbone(ids, whole, positions, use_cache=False, packing=packing).last_hidden_state[0]
        row, column = torch.nonzero(rows.scored, as_tuple=True)
        before = torch.tensor(starts, device=ids.device)[row] + column - 1
        targets = rows.tail_ids[row, column]
        if rows.score_prefix:
            length = [end - start for start, end in packing.prefixes]
            inside = torch.cat([torch.arange(start, end, device=ids.device) for start, end in packing.prefixes])
            before, targets = torch.cat([inside, before]), torch.cat([_following(rows, max(length)), targets])
        return self._head(hidden[before], targets, rows)

    def _plain(self, rows: RowBatch) -> States:
        ids, lengths, shift = whole_rows(rows)
        out = self._backbone(ids, _real(lengths, ids.shape[1]).long(), _positions(ids), use_cache=False, **_beside(rows))
        width = ids.shape[1]
        column = shift[:, None] + _positions(rows.tail_ids)
        scored = torch.zeros(ids.shape[0], width + rows.tail_ids.shape[1], dtype=torch.bool, device=ids.device)
        scored.scatter_(1, column, rows.scored)
        hidden, targets = _predicting(out.last_hidden_state, ids, scored[:, :width])
        if rows.score_prefix:
            real = _real(rows.prefix_length, rows.prefix_ids.shape[1])
            before = out.last_hidden_state[_first_tail(rows)][:, : real.shape[1]][real[:, :width]]
            hidden, targets = torch.cat([before, hidden]), torch.cat([_following(rows, real.shape[1]), targets])
        return self._head(hidden, targets, rows)

    def _backbone(self, ids: Tensor, mask: Tensor, positions: Tensor, **more: Any) -> Any:
        return self.model.get_decoder()(input_ids=ids, attention_mask=mask, position_ids=positions, **more)

    def _head(self, hidden: Tensor, targets: Tensor, rows: RowBatch) -> States:
        head = self.model.get_output_embeddings()
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        return States(hidden, targets, head.weight, getattr(head, "bias", None), _temperatures(rows))


def _temperatures(rows: RowBatch) -> Tensor | None:
    """Of every scored token, in their order; those of a prefix are nobody's samples."""
    if rows.temperature is None:
        return None
    tails = rows.temperature[:, None].expand(rows.scored.shape)[rows.scored]
    if not rows.score_prefix:
        return tails
    return torch.cat([tails.new_ones(int(rows.prefix_length.sum())), tails])


def _beside(rows: RowBatch) -> dict[str, Tensor]:
    """What the model reads beside ids, for each tail that of its prefix."""
    if not rows.tensors:
        return {}
    owners = rows.owner.tolist()
    return {name: torch.cat([each[owner] for owner in owners]) for name, each in rows.tensors.items()}


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


def _following(rows: RowBatch, width: int) -> Tensor:
    """What every prefix position predicts: the prefix but its first token, then the first token of its tails."""
    following = torch.cat([rows.prefix_ids[:, 1:], torch.zeros_like(rows.prefix_ids[:, :1])], 1)
    last = (rows.prefix_length - 1).clamp(min=0)
    following = following.scatter(1, last[:, None], rows.tail_ids[_first_tail(rows), :1])
    return following[:, :width][_real(rows.prefix_length, width)]


def _first_tail(rows: RowBatch) -> Tensor:
    """For every prefix the index of its first tail."""
    order = torch.arange(len(rows.owner), device=rows.owner.device)
    first = torch.full((len(rows.prefix_length),), len(rows.owner), device=rows.owner.device)
    return first.scatter_reduce(0, rows.owner, order, "amin")


def _worth_packing(rows: RowBatch) -> bool:
    padded = len(rows.owner) * int((rows.prefix_length[rows.owner] + rows.tail_length).max())
    return padded > WORTH_PACKING * rows.tokens and rows.tokens > LONG_ENOUGH * len(rows.prefix_length)
