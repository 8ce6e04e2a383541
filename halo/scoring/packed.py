"""Attention over packed rows: every prefix once, its tails behind it, no padding anywhere.

All tokens of a batch stand in one row, so that the linear layers see them as one tall matrix. Attention runs example by example: the
prefix causally, then each tail over the prefix and itself. Registered with transformers under the name `halo`; calls that
pass no `packing` (generation, the model's own logits) go to its ordinary sdpa function.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from halo.scoring.rows import RowBatch

NAME = "halo"

WITHOUT_PLANS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All kernels but cuDNN's, which builds a plan for every new shape and stride: that was 8.4 s of a step's 8.9 on an H200."""


@dataclass
class Packing:
    """Where the examples of a packed row stand: for each, its prefix (start, end) and its tails' (start, end)."""

    prefixes: list[tuple[int, int]]
    tails: list[list[tuple[int, int]]]
    masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """Lengths of all segments in order: each prefix, then its tails."""
        groups = zip(self.prefixes, self.tails, strict=True)
        return [end - start for prefix, tails in groups for start, end in (prefix, *tails)]

    def mask(self, queries: int, before: int, device: torch.device) -> Tensor:
        """(queries, before + queries): a tail sees the whole prefix and itself causally. Made once per forward pass."""
        key = (queries, before)
        if key not in self.masks:
            whole = torch.ones(queries, before + queries, dtype=torch.bool, device=device)
            self.masks[key] = torch.tril(whole, diagonal=before)
        return self.masks[key]


def pack(rows: RowBatch) -> tuple[Tensor, Tensor, Packing, list[int]]:
    """Ids and positions (1, N) of all rows, where everything stands, and the start of each tail."""
    prefix_lengths, tail_lengths, owners = rows.prefix_length.tolist(), rows.tail_length.tolist(), rows.owner.tolist()
    ids: list[Tensor] = []
    positions: list[Tensor] = []
    packing, starts, cursor = Packing([], [[] for _ in prefix_lengths]), [0] * len(owners), 0
    device = rows.tail_ids.device
    for example, length in enumerate(prefix_lengths):
        ids.append(rows.prefix_ids[example, :length])
        positions.append(torch.arange(length, device=device))
        packing.prefixes.append((cursor, cursor + length))
        cursor += length
        for tail in (i for i, owner in enumerate(owners) if owner == example):
            size = tail_lengths[tail]
            ids.append(rows.tail_ids[tail, :size])
            positions.append(torch.arange(length, length + size, device=device))
            packing.tails[example].append((cursor, cursor + size))
            starts[tail] = cursor
            cursor += size
    return torch.cat(ids)[None], torch.cat(positions)[None], packing, starts


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packing: Packing | None = None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention function: (1, heads, N, d) each -> (1, N, heads, d). Raises ValueError for what it does not do."""
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        result: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return result
    unknown = [name for name in ("softcap", "sliding_window", "s_aux", "position_bias") if options.get(name) is not None]
    if unknown:
        raise ValueError(f"packed attention does not do {', '.join(unknown)}")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = options.get("scaling")
    # split, not slices: the gradient of a split is one cat, that of each slice a whole tensor of zeros
    queries, keys, values = (torch.split(x, packing.sizes, 2) for x in (query, key, value))
    pieces, at = [], 0
    with kernels(query.device):
        for tails in packing.tails:
            prefix = at
            pieces.append(
                F.scaled_dot_product_attention(queries[at], keys[at], values[at], is_causal=True, scale=scale)
                if packing.sizes[at]
                else queries[at]
            )
            for at in range(prefix + 1, prefix + 1 + len(tails)):
                seen_keys, seen_values = (torch.cat([x[prefix], x[at]], 2) for x in (keys, values))
                mask = packing.mask(packing.sizes[at], packing.sizes[prefix], query.device)
                pieces.append(F.scaled_dot_product_attention(queries[at], seen_keys, seen_values, attn_mask=mask, scale=scale))
            at = prefix + 1 + len(tails)
    return torch.cat(pieces, 2).transpose(1, 2).contiguous(), None


def kernels(device: torch.device) -> AbstractContextManager[None]:
    """Within it, attention on a GPU runs by kernels that need no plan. Set at every call: recomputation comes in the backward pass."""
    return sdpa_kernel(WITHOUT_PLANS) if device.type == "cuda" else nullcontext()


def register(model: Any) -> None:
    """Makes the model call `attention`. Raises ValueError for a model whose attention is not to be exchanged."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.config._attn_implementation not in ("sdpa", NAME):
        raise ValueError(f"its attention is {model.config._attn_implementation}, not sdpa")
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
