"""Flat numbers of a batch: by slot and name, each over the slot's examples, completions and scored tokens, in this order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halo.loss.inputs import PADDING
from halo.scoring.distributions import Scored

Flat = dict[str, Scored]


def joined(parts: Sequence[Flat], unread: Sequence[Flat], slots: Sequence[str]) -> Flat:
    """The parts one behind the other. What fillers gave (`unread`) says only which names there are, and of which type."""
    return {slot: _in_a_row([part[slot] for part in parts], [part[slot] for part in unread]) for slot in slots}


def _in_a_row(parts: Sequence[Scored], unread: Sequence[Scored]) -> Scored:
    names = [*parts, *unread][0]
    return {name: torch.cat([part[name] for part in parts] + [part[name][:0] for part in unread]) for name in names}


def gathered(parts: Sequence[Flat], device: torch.device) -> Flat:
    """What every rank gave, one behind the other."""
    return {slot: {name: x.to(device) for name, x in _in_a_row([part[slot] for part in parts], []).items()} for slot in parts[0]}


def on_cpu(flat: Flat) -> Flat:
    """To be given to other ranks."""
    return {slot: {name: x.cpu() for name, x in named.items()} for slot, named in flat.items()}


def part_of(named: Scored, start: int, end: int) -> Scored:
    return {name: x[start:end] for name, x in named.items()}


def unknown(names: Sequence[str], size: int, dtype: torch.dtype, device: torch.device) -> Scored:
    """What stands where a number is not known yet: inside the domain of every word."""
    return {name: torch.full((size,), PADDING, dtype=dtype, device=device) for name in names}


def placed(whole: Scored, part: Scored, start: int) -> Scored:
    """The whole with a part of it exchanged."""
    return {name: _placed(whole[name], x, start) for name, x in part.items()}


def _placed(whole: Tensor, part: Tensor, start: int) -> Tensor:
    return torch.cat([whole[:start].to(part.dtype), part, whole[start + len(part) :].to(part.dtype)])


def tensors(flat: Flat) -> list[Tensor]:
    """All of them, slot by slot and name by name."""
    return [x for named in flat.values() for x in named.values()]
