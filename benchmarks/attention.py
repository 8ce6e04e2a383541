"""Ways to attend over packed rows (halo/scoring/packed.py), with one signature: transformers' attention function.

`PACKED[name](module, query, key, value, mask, packing=...)`: (1, heads, N, d) each -> ((1, N, heads, d), None). What they must
agree on: a prompt attends causally to itself, each completion to its prompt and causally to itself.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from halo.scoring.packed import Packing
from halo.scoring.packed import attention as per_example


def packing(groups: Sequence[tuple[int, Sequence[int]]]) -> Packing:
    """Groups of (prompt, completions), in tokens, one behind the other."""
    made, cursor = Packing([], []), 0
    for prompt, tails in groups:
        made.prefixes.append((cursor, cursor + prompt))
        cursor += prompt
        places = []
        for tail in tails:
            places.append((cursor, cursor + tail))
            cursor += tail
        made.tails.append(places)
    return made


def seen(plan: Packing) -> float:
    """Pairs of a query and a key that see each other."""
    total = 0.0
    for (start, end), tails in zip(plan.prefixes, plan.tails, strict=True):
        prompt = end - start
        total += prompt * prompt / 2 + sum((b - a) * prompt + (b - a) ** 2 / 2 for a, b in tails)
    return total


# -- one kernel over sequences of their own lengths -----------------------------------------------------------------


@dataclass(frozen=True)
class Sequences:
    """Queries of consecutive sequences, and for each the keys that it sees, by index: the end of both is aligned.

    The first completion goes on where its prompt ends, so that the two are one causal sequence; every other completion is a
    sequence of queries over the keys of the prompt and its own. Ends are cumulative, with a 0 in front.
    """

    keys: Tensor
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, plan: Packing, device: torch.device) -> Sequences:
        keys: list[int] = []
        queries, lengths = [0], [0]
        for (p0, p1), tails in zip(plan.prefixes, plan.tails, strict=True):
            for index, (t0, t1) in enumerate(tails):
                own = list(range(p0, t1)) if index == 0 else [*range(p0, p1), *range(t0, t1)]
                queries.append(queries[-1] + (t1 - p0 if index == 0 else t1 - t0))
                lengths.append(lengths[-1] + len(own))
                keys += own

        def longest(ends: list[int]) -> int:
            return max(b - a for a, b in itertools.pairwise(ends))

        ends = torch.tensor([queries, lengths], dtype=torch.int32).to(device)
        return cls(torch.tensor(keys).to(device), ends[0], ends[1], longest(queries), longest(lengths))


def one_kernel(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packing: Packing | None = None, **options: Any
) -> tuple[Tensor, None]:
    """Keys and values gathered for every completion, then one varlen kernel for all. Other calls go to halo's own function."""
    if packing is None or query.shape[2] == 0:
        return per_example(module, query, key, value, attention_mask, packing, **options)
    if query.is_cuda and value.dtype not in (torch.bfloat16, torch.float16):
        return per_example(module, query, key, value, attention_mask, packing, **options)  # flash kernels have no float32
    plan = getattr(packing, "sequences", None)
    if plan is None:
        plan = packing.sequences = Sequences.of(packing, query.device)  # type: ignore[attr-defined]
    q, k, v = (x[0].transpose(0, 1).to(value.dtype) for x in (query, key, value))  # under autocast the rotary part is float32
    k, v = k.index_select(0, plan.keys), v.index_select(0, plan.keys)
    kernel = _flash() if query.is_cuda else by_sdpa
    return kernel(q, k, v, plan, options.get("scaling"))[None], None


@cache
def _flash() -> Callable[[Tensor, Tensor, Tensor, Sequences, float | None], Tensor]:
    """torch's varlen kernel as this version has it: older ones want equal heads, or say `is_causal` for a window."""
    from torch.nn.attention.varlen import varlen_attn

    known = inspect.signature(varlen_attn).parameters
    causal = {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}

    def run(q: Tensor, k: Tensor, v: Tensor, plan: Sequences, scale: float | None) -> Tensor:
        more: dict[str, Any] = {}
        if q.shape[1] != k.shape[1]:
            if "enable_gqa" in known:
                more["enable_gqa"] = True
            else:
                k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
        if scale is not None and "scale" in known:
            more["scale"] = scale
        elif scale is not None:
            q = q * (scale * q.shape[-1] ** 0.5)  # the kernel divides by the root of the width
        q, k, v = (x.contiguous() for x in (q, k, v))
        return varlen_attn(q, k, v, plan.query_ends, plan.key_ends, plan.longest_query, plan.longest_key, **causal, **more)

    return run


def by_sdpa(q: Tensor, k: Tensor, v: Tensor, plan: Sequences, scale: float | None = None) -> Tensor:
    """What the varlen kernel computes, a sequence at a time: where there is no such kernel, and to check its plan."""
    pieces = []
    for index in range(len(plan.query_ends) - 1):
        (q0, q1), (k0, k1) = plan.query_ends[index : index + 2].tolist(), plan.key_ends[index : index + 2].tolist()
        mask = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool, device=q.device).tril(k1 - k0 - (q1 - q0))
        own = [x[None].transpose(1, 2) for x in (q[q0:q1], k[k0:k1], v[k0:k1])]
        pieces.append(F.scaled_dot_product_attention(*own, attn_mask=mask, scale=scale, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(pieces)


# -- one mask ------------------------------------------------------------------------------------------------------


def _owners(plan: Packing, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every token the number of its group, and of its completion (0 for the prompt)."""
    groups: list[int] = []
    tails: list[int] = []
    for number, ((start, end), places) in enumerate(zip(plan.prefixes, plan.tails, strict=True)):
        groups += [number] * (places[-1][1] - start)
        tails += [0] * (end - start)
        for index, (a, b) in enumerate(places, 1):
            tails += [index] * (b - a)
    return torch.tensor(groups, device=device), torch.tensor(tails, device=device)


def dense_mask(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packing: Packing | None = None, **options: Any
) -> tuple[Tensor, None]:
    """One call with an N x N mask."""
    assert packing is not None
    group, tail = _owners(packing, query.device)
    same = (group[:, None] == group) & ((tail[:, None] == tail) | (tail == 0))
    mask = same.tril()
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=options.get("scaling"), enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


@cache
def _compiled() -> tuple[Any, Any]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    return torch.compile(flex_attention, dynamic=True), create_block_mask


def flex(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packing: Packing | None = None, **options: Any
) -> tuple[Tensor, None]:
    """FlexAttention compiled for any length. Its backward runs on GPUs only."""
    assert packing is not None
    function, create = _compiled()
    if not query.is_cuda:
        raise NotImplementedError("FlexAttention has no backward pass on this device")
    mask = getattr(packing, "block_mask", None)
    if mask is None:
        group, tail = _owners(packing, query.device)
        tokens = len(group)

        def visible(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (q >= k) & (group[q] == group[k]) & ((tail[q] == tail[k]) | (tail[k] == 0))

        mask = packing.block_mask = create(visible, None, None, tokens, tokens, device=query.device)  # type: ignore[attr-defined]
    out = function(query, key, value, block_mask=mask, scale=options.get("scaling"), enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None


PACKED: dict[str, Callable[..., tuple[Tensor, None]]] = {
    "as is": per_example,
    "varlen": one_kernel,
    "flex": flex,
    "dense mask": dense_mask,
}
